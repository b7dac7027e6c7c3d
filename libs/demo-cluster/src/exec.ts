import type { StreamRequest } from '@sluice/model';
import type { Container } from './container.ts';
import { Killed } from './job.ts';
import type { Json } from './objects.ts';
import { emptyPipe, Pipe, type Sink } from './pipe.ts';
import { Terminal } from './terminal.ts';

/** What comes from the client. */
export interface Incoming {
  /** Resolves when more may come. */
  readonly stdin: (bytes: Buffer) => Promise<void>;
  readonly end: () => void;
  /** Takes `{"Width":80,"Height":24}`. */
  readonly resize: (bytes: Buffer) => void;
}

/** An open exec or attach, whatever it is spoken over. */
export interface Wire {
  /** Resolves when there is room for more. Rejects with `BrokenPipe` when the client is gone. */
  send(channel: 'stdout' | 'stderr', bytes: Buffer): Promise<void>;
  /** Says how it ended, and closes. */
  finish(exitCode: number): void;
  receive(incoming: Incoming): void;
  /** Aborted with `Killed` when the client is gone. */
  readonly gone: AbortSignal;
}

/** Runs an exec or an attach to its end. */
export async function runStream(container: Container, request: StreamRequest, wire: Wire): Promise<void> {
  if (request.kind === 'attach') await attach(container, request, wire);
  else await exec(container, request, wire);
}

async function exec(container: Container, request: StreamRequest, wire: Wire): Promise<void> {
  // Who did not ask for it does not get it.
  const stdout: Sink = { write: async (bytes) => (request.stdout ? wire.send('stdout', bytes) : undefined) };
  const stderr: Sink = { write: async (bytes) => (request.stderr ? wire.send('stderr', bytes) : undefined) };
  if (request.tty) {
    const terminal = new Terminal(stdout);
    wire.receive({
      stdin: (bytes) => terminal.type(bytes),
      end: () => terminal.input.end(),
      resize: (bytes) => resize(terminal, bytes),
    });
    if (!request.stdin) terminal.input.end();
    const stdio = { stdin: terminal.input, stdout: terminal.output, stderr: terminal.output, terminal };
    const exitCode = await container.run(request.command, stdio, wire.gone);
    terminal.input.break();
    return wire.finish(exitCode);
  }
  const stdin = request.stdin ? new Pipe() : emptyPipe();
  wire.receive({
    stdin: (bytes) => stdin.write(bytes),
    end: () => stdin.end(),
    resize: () => undefined,
  });
  const exitCode = await container.run(request.command, { stdin, stdout, stderr }, wire.gone);
  stdin.break();
  wire.finish(exitCode);
}

/** Ends when the client goes or the container does; stdin that ends leaves the process its own. */
async function attach({ main, ended }: Container, request: StreamRequest, wire: Wire): Promise<void> {
  const { stdin, terminal } = main;
  wire.receive({
    stdin: async (bytes) => {
      if (!request.stdin) return;
      if (terminal === undefined) await stdin?.write(bytes);
      else await terminal.type(bytes);
    },
    end: () => undefined,
    resize: (bytes) => {
      if (terminal !== undefined) resize(terminal, bytes);
    },
  });
  const detach = main.attach({ write: (bytes) => wire.send('stdout', bytes) });
  const over = AbortSignal.any([ended, wire.gone]);
  if (!over.aborted) await new Promise((resolve) => over.addEventListener('abort', resolve, { once: true }));
  detach();
  wire.finish(over.reason instanceof Killed ? over.reason.exitCode : 0);
}

function resize(terminal: Terminal, bytes: Buffer): void {
  const { Width: columns = 80, Height: rows = 24 } = JSON.parse(bytes.toString()) as {
    Width?: number;
    Height?: number;
  };
  Object.assign(terminal, { columns, rows });
}

/** How an exec ended, as the API server says it. */
export function statusOf(exitCode: number): Json {
  if (exitCode === 0) return { metadata: {}, status: 'Success' };
  const causes = [{ reason: 'ExitCode', message: String(exitCode) }];
  return {
    metadata: {},
    status: 'Failure',
    message: `command terminated with non-zero exit code: exit status ${exitCode}`,
    reason: 'NonZeroExitCode',
    details: { causes },
  };
}
