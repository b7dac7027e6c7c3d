import { posix } from 'node:path';
import type { Container } from './container.ts';
import { FileError } from './files.ts';
import { orAborted, type Pipe, type Sink } from './pipe.ts';
import type { Terminal } from './terminal.ts';

/** What a command is connected to. */
export interface Stdio {
  readonly stdin: Pipe;
  readonly stdout: Sink;
  readonly stderr: Sink;
  readonly terminal?: Terminal;
}

/** A command that runs. Aborted with `Killed`. */
export interface Job extends Stdio {
  readonly container: Container;
  readonly name: string;
  readonly args: readonly string[];
  readonly env: ReadonlyMap<string, string>;
  readonly directory: string;
  readonly signal: AbortSignal;
}

/** Why a command ends before it is through. */
export class Killed extends Error {
  /** 128 and the number of the signal. */
  readonly exitCode: number;
  constructor(exitCode: number) {
    super('Killed');
    this.exitCode = exitCode;
  }
}

/** Writes, and waits for room. */
export async function put(job: Job, bytes: Buffer | string): Promise<void> {
  await orAborted(job.stdout.write(typeof bytes === 'string' ? Buffer.from(bytes) : bytes), job.signal);
}

/** Says on stderr what is wrong; returns the exit code, default 1. */
export async function complain(job: Job, message: string, exitCode = 1): Promise<number> {
  await job.stderr.write(Buffer.from(`${job.name}: ${message}\n`));
  return exitCode;
}

export function absolute(job: Pick<Job, 'directory'>, path: string): string {
  return posix.resolve(job.directory, path);
}

/** What is to be read: the files that are named, in order, or stdin where none is, and for `-`. Throws `FileError`. */
export async function* input(job: Job, paths: readonly string[]): AsyncGenerator<Buffer> {
  for (const path of paths.length === 0 ? ['-'] : paths) {
    if (path !== '-' && path !== '/dev/stdin') {
      try {
        yield* job.container.files.read(absolute(job, path));
      } catch (error) {
        throw error instanceof FileError ? new FileError(`${path}: ${error.message}`) : error;
      }
      continue;
    }
    for (let bytes = await job.stdin.read(job.signal); bytes !== undefined; bytes = await job.stdin.read(job.signal))
      yield bytes;
  }
}

/** Its lines, each with its line feed, as bytes of one character each. */
export async function* lines(chunks: AsyncIterable<Buffer>): AsyncGenerator<string> {
  let rest = '';
  for await (const chunk of chunks) {
    const parts = (rest + chunk.toString('latin1')).split('\n');
    rest = parts.pop() ?? '';
    for (const line of parts) yield `${line}\n`;
  }
  if (rest !== '') yield rest;
}
