// A redis-server for Sluice's queues alone: its configuration, and a question to it. The library that works with queues is
// elsewhere; whoever only starts the server needs no more than this.
import { connect } from 'node:net';

export interface QueueServer {
  readonly port: number;
  readonly password: string;
}

/** Where it listens, with its password. */
export function queueUrl({ port, password }: QueueServer): string {
  return `redis://:${password}@127.0.0.1:${port}/0`;
}

/**
 * The configuration of a redis-server, or Valkey, on loopback. It holds the password, so its file is for its owner alone.
 * `dir` keeps the data, for its owner alone, too; `password` is letters, digits, `-` and `_`.
 */
export function queueConfig({ port, password }: QueueServer, dir: string): string {
  // No `maxmemory`: a queue that drops jobs by itself is worse than one that is full. The command line stays as it was
  // given, so that a process is known by the file it was started with.
  return `bind 127.0.0.1
port ${port}
protected-mode yes
requirepass ${password}
unixsocket ""
daemonize no
set-proc-title no
dir ${JSON.stringify(dir)}
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
`;
}

const answerDeadlineMs = 2_000;

/**
 * Sends one command without arguments; resolves with the first line of the answer (`+PONG`, `-LOADING …`), or with
 * nothing when there is none within 2 s.
 */
export function askQueueServer({ port, password }: QueueServer, command: 'PING' | 'FLUSHALL'): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    let heard = '';
    const end = (answer: string): void => {
      resolve(answer);
      socket.destroy();
    };
    socket.setTimeout(answerDeadlineMs, () => end(''));
    socket.on('error', () => end(''));
    socket.on('close', () => end(''));
    socket.on('data', (data) => {
      heard += data.toString('latin1');
      // The first line answers AUTH.
      const [, answer, rest] = heard.split('\r\n');
      if (answer !== undefined && rest !== undefined) end(answer);
    });
    socket.write(`AUTH ${password}\r\n${command}\r\n`);
  });
}
