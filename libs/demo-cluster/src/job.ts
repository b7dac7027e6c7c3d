import { posix } from 'node:path';
import { setImmediate } from 'node:timers/promises';
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
  /** Of the shells it is inside of. */
  readonly depth: number;
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

/** What a command may hold of what it reads, in one piece. */
export const maxTextBytes = 1_048_576;

let turns = 0;

/** Lets everything else have its turn now and then: a command that only ever reads and writes in memory would not. */
export async function yieldNow(): Promise<void> {
  if (++turns % 32 === 0) await setImmediate();
}

/** Writes, and waits for room. */
export async function put(job: Job, bytes: Buffer | string): Promise<void> {
  await yieldNow();
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
        for (const bytes of job.container.files.read(absolute(job, path))) {
          await yieldNow();
          job.signal.throwIfAborted();
          yield bytes;
        }
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
    // Without an end of line it would grow for ever.
    if (rest.length > maxTextBytes) yield rest;
    if (rest.length > maxTextBytes) rest = '';
  }
  if (rest !== '') yield rest;
}

/** Writes; the exit code of success. */
export async function say(job: Job, text: string): Promise<number> {
  await put(job, text);
  return 0;
}

/** Arguments that are no options. */
export function operands({ args }: Job): string[] {
  return args.filter((arg) => arg === '-' || !arg.startsWith('-'));
}

export function has({ args }: Job, letter: string): boolean {
  return args.some((arg) => /^-[A-Za-z0-9]+$/.test(arg) && arg.includes(letter));
}

export function sizeOf(text: string): number {
  const unit = { k: 1024, K: 1024, M: 1_048_576, G: 1_073_741_824 }[text.at(-1) ?? ''];
  return unit === undefined ? Number(text) : Number(text.slice(0, -1)) * unit;
}
