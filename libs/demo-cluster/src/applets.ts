import { posix } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { dd, isTrue, ls, mkdir, rm } from './file-applets.ts';
import { FileError } from './files.ts';
import { complain, input, type Job, operands, put, say } from './job.ts';
import { BrokenPipe } from './pipe.ts';
import { sh } from './shell.ts';
import { tar } from './tar.ts';
import { base64, formatted, grep, head, od, seq, sha256sum, tail, wc, yes } from './text-applets.ts';

/** A command of the simulated containers: a program in memory that touches nothing of the machine. Returns its exit code. */
type Applet = (job: Job) => Promise<number> | number;

/** One row a command; nothing else is there to be run. */
const applets: Readonly<Record<string, Applet>> = {
  '[': (job) => (job.args.at(-1) === ']' ? Number(!isTrue(job, job.args.slice(0, -1))) : complain(job, 'missing ]', 2)),
  base64,
  cat: (job) => pass(job, input(job, operands(job))),
  date: (job) => say(job, `${new Date().toISOString().slice(0, 19)}Z\n`),
  dd,
  df: (job) => say(job, 'Filesystem 1K-blocks Used Available Use% Mounted on\noverlay 262144 0 262144 0% /\n'),
  echo: (job) => say(job, job.args[0] === '-n' ? job.args.slice(1).join(' ') : `${job.args.join(' ')}\n`),
  env,
  false: () => 1,
  grep,
  head,
  hostname: (job) => say(job, `${job.container.pod.metadata.name}\n`),
  id: (job) => say(job, 'uid=0(root) gid=0(root)\n'),
  ls,
  mkdir,
  od,
  printenv,
  printf: (job) => say(job, formatted(job.args)),
  ps: (job) => say(job, `PID USER COMMAND\n1 root ${job.container.mainCommand}\n7 root ps\n`),
  pwd: (job) => say(job, `${job.directory}\n`),
  rm,
  seq,
  sh,
  sha256sum,
  sleep,
  stty: (job) => {
    if (job.terminal === undefined) return complain(job, 'standard input: Not a tty');
    return say(job, job.args[0] === 'size' ? `${job.terminal.rows} ${job.terminal.columns}\n` : '');
  },
  tail,
  tar,
  test: (job) => Number(!isTrue(job, job.args)),
  true: () => 0,
  tty: async (job) => {
    await put(job, job.terminal === undefined ? 'not a tty\n' : '/dev/pts/0\n');
    return job.terminal === undefined ? 1 : 0;
  },
  wc,
  whoami: (job) => say(job, 'root\n'),
  yes,
};

/** Whether there is such a command. */
export function isApplet(name: string): boolean {
  return Object.hasOwn(applets, name);
}

/** Commands inside commands, so that one that runs itself comes to an end. */
const maxDepth = 40;

/** Runs what a name stands for. Rejects with `Killed`. */
export async function runApplet(job: Job): Promise<number> {
  const name = posix.basename(job.name);
  const applet = Object.hasOwn(applets, name) ? applets[name] : undefined;
  if (applet === undefined) return complain(job, 'not found', 127);
  if (job.depth > maxDepth) return complain(job, 'Resource temporarily unavailable', 126);
  job.signal.throwIfAborted();
  try {
    return await applet(job);
  } catch (error) {
    if (error instanceof BrokenPipe) return 141;
    if (error instanceof FileError) return complain(job, error.message);
    throw error;
  }
}

async function pass(job: Job, chunks: AsyncIterable<Buffer>): Promise<number> {
  for await (const chunk of chunks) await put(job, chunk);
  return 0;
}

async function env(job: Job): Promise<number> {
  const variables = new Map(job.env);
  const rest = [...job.args];
  for (let assigned = rest[0]; assigned?.includes('='); assigned = rest[0]) {
    variables.set(...(assigned.split(/=(.*)/s, 2) as [string, string]));
    rest.shift();
  }
  const [name, ...args] = rest;
  if (name !== undefined) return runApplet({ ...job, name, args, env: variables });
  return say(job, [...variables].map(([variable, value]) => `${variable}=${value}\n`).join(''));
}

async function printenv(job: Job): Promise<number> {
  if (job.args.length === 0) return env(job);
  const values = job.args.map((name) => job.env.get(name));
  await put(job, values.map((value) => (value === undefined ? '' : `${value}\n`)).join(''));
  return values.includes(undefined) ? 1 : 0;
}

async function sleep({ args, signal }: Job): Promise<number> {
  try {
    await wait(args[0] === 'infinity' ? 2 ** 31 - 1 : Number(args[0]) * 1000, undefined, { signal, ref: false });
  } catch {
    signal.throwIfAborted();
  }
  return 0;
}
