// Load of streams in a process of its own: opens sessions as `kubectl exec` does, one connection each, and prints what it
// saw as JSON. One question on argv: a `StreamLoad` as JSON.
import { WebSocket } from 'ws';
import { logText, messageBytes, protocol, status, stdin, stdout, toEnd } from './stream-words.ts';

/** What to do, with how many sessions at once. */
export interface StreamLoad {
  /** `wss://…` of the pod. */
  readonly url: string;
  /** PEM. */
  readonly ca: string;
  readonly headers: Readonly<Record<string, string>>;
  /**
   * `exec`: a command that says a line, again and again. `download`, `upload`: so many `bytes` of output and input.
   * `echo`: keys are typed, and each must come back before the next.
   */
  readonly work: 'exec' | 'download' | 'upload' | 'echo';
  readonly sessions: number;
  /** How long, of `exec` and `echo`. */
  readonly durationMs: number;
  /** Of each session; a whole number of messages. */
  readonly bytes: number;
}

/** What came of it. Times in milliseconds. */
export interface StreamResult {
  /** Of each command, or of each key. */
  readonly times: readonly number[];
  readonly seconds: number;
  /** Moved, of all sessions. */
  readonly bytes: number;
  readonly failed: number;
  /** CPU of this process, seconds. */
  readonly cpuSeconds: number;
}

const load = JSON.parse(process.argv[2] ?? '{}') as StreamLoad;
/** A quick typist, on a keyboard that repeats. */
const keyMs = 25;
const unsentBytes = 1 << 20;
const times: number[] = [];
let failed = 0;

interface Session {
  readonly socket: WebSocket;
  /** Whether the command succeeded; resolves when the connection is closed. */
  readonly ended: Promise<boolean>;
}

function open(
  command: readonly string[],
  flags: Readonly<Record<string, string>>,
  take: (bytes: Buffer) => void,
): Session {
  const query = new URLSearchParams({ container: 'main', stdout: 'true', ...flags });
  for (const argument of command) query.append('command', argument);
  const { url, ca, headers } = load;
  const socket = new WebSocket(`${url}/exec?${query.toString()}`, [protocol], {
    ca,
    headers,
    perMessageDeflate: false,
  });
  let hasSucceeded = false;
  socket.on('message', (data: Buffer) => {
    if (data[0] === stdout) take(data.subarray(1));
    else if (data[0] === status) hasSucceeded = data.includes('"Success"');
  });
  // It closes then.
  socket.on('error', () => undefined);
  const ended = new Promise<boolean>((resolve) => socket.on('close', () => resolve(hasSucceeded)));
  return { socket, ended };
}

/** Whether it opened. */
function opened({ socket, ended }: Session): Promise<boolean> {
  return Promise.race([new Promise<boolean>((resolve) => socket.once('open', () => resolve(true))), ended]);
}

async function exec(): Promise<void> {
  const from = performance.now();
  let said = 0;
  const session = open(['true'], {}, (bytes) => {
    said += bytes.length;
  });
  if ((await session.ended) && said > 0) times.push(performance.now() - from);
  else failed++;
}

async function download(): Promise<void> {
  let came = 0;
  const session = open(['bytes', String(load.bytes)], {}, (bytes) => {
    came += bytes.length;
  });
  if (!(await session.ended) || came !== load.bytes) failed++;
}

async function upload(): Promise<void> {
  let counted = '';
  const session = open(['count'], { stdin: 'true' }, (bytes) => {
    counted += bytes.toString();
  });
  const { socket, ended } = session;
  if (await opened(session)) {
    let sent = 0;
    await new Promise<void>((resolve) => {
      const more = (): void => {
        while (sent < load.bytes && socket.bufferedAmount <= unsentBytes) {
          const at = sent % logText.length;
          sent += messageBytes;
          socket.send(Buffer.concat([Buffer.of(stdin), logText.subarray(at, at + messageBytes)]), more);
        }
        if (sent >= load.bytes) resolve();
      };
      more();
      void ended.then(() => resolve());
    });
    socket.send(Buffer.of(toEnd, stdin));
  }
  if (!(await ended) || counted !== String(load.bytes)) failed++;
}

async function echo(untilMs: number): Promise<void> {
  let came: () => void = () => undefined;
  const session = open(['echo'], { stdin: 'true', tty: 'true' }, () => came());
  const { socket, ended } = session;
  if (!(await opened(session))) {
    failed++;
    return;
  }
  const line = 'ls -l /srv/shop/releases; tail -n 3 log\r';
  for (let n = 0; performance.now() < untilMs; n++) {
    const from = performance.now();
    const key = new Promise<boolean>((resolve) => {
      came = () => resolve(true);
    });
    socket.send(Buffer.of(stdin, line.charCodeAt(n % line.length)));
    if (await Promise.race([key, ended])) times.push(performance.now() - from);
    else {
      failed++;
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, keyMs));
  }
  socket.terminate();
}

const start = performance.now();
await Promise.all(
  Array.from({ length: load.sessions }, async (_, n) => {
    const untilMs = start + load.durationMs;
    if (load.work === 'download') return download();
    if (load.work === 'upload') return upload();
    if (load.work === 'exec') {
      while (performance.now() < untilMs && failed < 100) await exec();
      return;
    }
    // Nobody types in step.
    await new Promise((resolve) => setTimeout(resolve, (n * keyMs) / load.sessions));
    return echo(untilMs);
  }),
);
const { user, system } = process.cpuUsage();
const isMoving = load.work === 'download' || load.work === 'upload';
const result: StreamResult = {
  times,
  seconds: (performance.now() - start) / 1000,
  bytes: isMoving ? load.bytes * (load.sessions - failed) : 0,
  failed,
  cpuSeconds: (user + system) / 1e6,
};
process.stdout.write(JSON.stringify(result));
