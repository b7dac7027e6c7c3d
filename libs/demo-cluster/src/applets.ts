import { createHash } from 'node:crypto';
import { posix } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { FileError } from './files.ts';
import { absolute, complain, input, type Job, lines, put } from './job.ts';
import { BrokenPipe } from './pipe.ts';
import { sh } from './shell.ts';
import { tar } from './tar.ts';

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
  echo: ({ args, ...job }) => (args[0] === '-n' ? say(job, args.slice(1).join(' ')) : say(job, `${args.join(' ')}\n`)),
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

/** Runs what a name stands for. Rejects with `Killed`. */
export async function runApplet(job: Job): Promise<number> {
  const name = posix.basename(job.name);
  const applet = Object.hasOwn(applets, name) ? applets[name] : undefined;
  if (applet === undefined) return complain(job, 'not found', 127);
  job.signal.throwIfAborted();
  try {
    return await applet(job);
  } catch (error) {
    if (error instanceof BrokenPipe) return 141;
    if (error instanceof FileError) return complain(job, error.message);
    throw error;
  }
}

async function say(job: Omit<Job, 'args'>, text: string): Promise<number> {
  await put({ ...job, args: [] }, text);
  return 0;
}

async function pass(job: Job, chunks: AsyncIterable<Buffer>): Promise<number> {
  for await (const chunk of chunks) await put(job, chunk);
  return 0;
}

/** Arguments that are no options. */
function operands({ args }: Job): string[] {
  return args.filter((arg) => arg === '-' || !arg.startsWith('-'));
}

function has({ args }: Job, letter: string): boolean {
  return args.some((arg) => /^-[A-Za-z0-9]+$/.test(arg) && arg.includes(letter));
}

async function base64(job: Job): Promise<number> {
  let rest = Buffer.alloc(0);
  if (has(job, 'd')) {
    for await (const chunk of input(job, operands(job))) {
      const text = rest.toString('latin1') + chunk.toString('latin1').replace(/\s/g, '');
      await put(job, Buffer.from(text.slice(0, text.length - (text.length % 4)), 'base64'));
      rest = Buffer.from(text.slice(text.length - (text.length % 4)), 'latin1');
    }
    await put(job, Buffer.from(rest.toString('latin1'), 'base64'));
    return 0;
  }
  // 57 bytes are a line of 76 characters.
  const lineOf = (bytes: Buffer): string => `${bytes.toString('base64')}\n`;
  for await (const chunk of input(job, operands(job))) {
    rest = Buffer.concat([rest, chunk]);
    const whole = rest.length - (rest.length % 57);
    let text = '';
    for (let at = 0; at < whole; at += 57) text += lineOf(rest.subarray(at, at + 57));
    await put(job, text);
    rest = rest.subarray(whole);
  }
  return rest.length === 0 ? 0 : say(job, lineOf(rest));
}

async function dd(job: Job): Promise<number> {
  const option = new Map(job.args.map((arg) => arg.split(/=(.*)/s, 2) as [string, string]));
  const blockBytes = sizeOf(option.get('bs') ?? '512');
  const count = sizeOf(option.get('count') ?? 'Infinity');
  const to = option.get('of');
  const file = to === undefined ? undefined : job.container.files.create(absolute(job, to));
  let rest = Buffer.alloc(0);
  let blocks = 0;
  let bytes = 0;
  const write = async (block: Buffer): Promise<void> => {
    bytes += block.length;
    if (file === undefined) await put(job, block);
    else job.container.files.append(file, block);
  };
  for await (const chunk of input(job, [option.get('if') ?? '-'])) {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= blockBytes) {
      if (blocks === count) break;
      blocks++;
      await write(rest.subarray(0, blockBytes));
      rest = rest.subarray(blockBytes);
    }
    if (blocks === count) break;
  }
  const isPartial = blocks < count && rest.length > 0;
  if (isPartial) await write(rest);
  const records = `${blocks}+${Number(isPartial)}`;
  await job.stderr.write(Buffer.from(`${records} records in\n${records} records out\n${bytes} bytes copied\n`));
  return 0;
}

function sizeOf(text: string): number {
  const unit = { k: 1024, K: 1024, M: 1_048_576, G: 1_073_741_824 }[text.at(-1) ?? ''];
  return unit === undefined ? Number(text) : Number(text.slice(0, -1)) * unit;
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

async function grep(job: Job): Promise<number> {
  const [pattern = '', ...paths] = operands(job);
  const flags = has(job, 'i') ? 'i' : '';
  // Patterns are plain text here: one of a caller's own could run for ever.
  const wanted = new RegExp(pattern.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'), flags);
  let found = 0;
  for await (const line of lines(input(job, paths))) {
    if (wanted.test(Buffer.from(line, 'latin1').toString()) === has(job, 'v')) continue;
    found++;
    if (!has(job, 'q') && !has(job, 'c')) await put(job, Buffer.from(line, 'latin1'));
  }
  if (has(job, 'c')) await put(job, `${found}\n`);
  return found === 0 ? 1 : 0;
}

/** `-n N`, `-nN`, `-N`, and `-c` likewise, with what is left. */
function counted({ args }: Job): { unit: string; count: string; paths: string[] } {
  const [first = '', second = '', ...rest] = args;
  const [, unit = '', count = ''] = /^-([nc]?)(\+?\d*[kMG]?)$/.exec(first) ?? [];
  if (unit === '' && count === '') return { unit: 'n', count: '10', paths: [...args] };
  return count === '' ? { unit, count: second, paths: rest } : { unit: unit || 'n', count, paths: args.slice(1) };
}

async function head(job: Job): Promise<number> {
  const { unit, count, paths } = counted(job);
  let left = sizeOf(count);
  if (left === 0) return 0;
  if (unit === 'n') {
    for await (const line of lines(input(job, paths))) {
      await put(job, Buffer.from(line, 'latin1'));
      if (--left === 0) break;
    }
    return 0;
  }
  for await (const chunk of input(job, paths)) {
    await put(job, chunk.subarray(0, left));
    left -= Math.min(left, chunk.length);
    if (left === 0) break;
  }
  return 0;
}

async function tail(job: Job): Promise<number> {
  const { unit, count, paths } = counted(job);
  if (count.startsWith('+')) {
    let skip = sizeOf(count.slice(1)) - 1;
    const pieces = unit === 'c' ? input(job, paths) : lines(input(job, paths));
    for await (const piece of pieces) {
      const bytes = typeof piece === 'string' ? Buffer.from(piece, 'latin1') : piece;
      const skipped = unit === 'c' ? Math.min(skip, bytes.length) : skip > 0 ? bytes.length : 0;
      skip -= unit === 'c' ? skipped : Math.min(skip, 1);
      await put(job, bytes.subarray(skipped));
    }
    return 0;
  }
  const size = sizeOf(count);
  let kept: string[] = [];
  for await (const piece of unit === 'c' ? input(job, paths) : lines(input(job, paths))) {
    kept.push(typeof piece === 'string' ? piece : piece.toString('latin1'));
    if (unit === 'c') kept = [kept.join('').slice(-size)];
    else if (kept.length > size) kept.shift();
  }
  await put(job, Buffer.from(kept.join(''), 'latin1'));
  return 0;
}

async function ls(job: Job): Promise<number> {
  const { files } = job.container;
  const paths = operands(job);
  let status = 0;
  for (const path of paths.length === 0 ? ['.'] : paths) {
    const full = absolute(job, path);
    const entry = files.find(full);
    if (entry === undefined) {
      status = await complain(job, `${path}: No such file or directory`);
      continue;
    }
    const isDirectory = entry.kind === 'directory' && !has(job, 'd');
    const names = isDirectory ? files.list(full).filter((name) => has(job, 'a') || !name.startsWith('.')) : [path];
    if (isDirectory && paths.length > 1) await put(job, `${path}:\n`);
    for (const name of names) {
      const shown = isDirectory ? files.get(posix.join(full, name)) : entry;
      const mode = { directory: 'drwxr-xr-x', file: '-rw-r--r--', device: 'crw-rw-rw-' }[shown.kind];
      const size = shown.kind === 'file' ? shown.size : 0;
      await put(job, has(job, 'l') ? `${mode} 1 root root ${String(size).padStart(9)} ${name}\n` : `${name}\n`);
    }
  }
  return status;
}

async function mkdir(job: Job): Promise<number> {
  for (const path of operands(job))
    job.container.files.makeDirectory(absolute(job, path), has(job, 'p') ? 'with-parents' : 'alone');
  return 0;
}

async function od(job: Job): Promise<number> {
  let offset = 0;
  let rest = Buffer.alloc(0);
  const line = async (bytes: Buffer): Promise<void> => {
    const hex = [...bytes].map((byte) => ` ${byte.toString(16).padStart(2, '0')}`).join('');
    await put(job, `${offset.toString(8).padStart(7, '0')}${hex}\n`);
    offset += bytes.length;
  };
  for await (const chunk of input(job, [])) {
    rest = Buffer.concat([rest, chunk]);
    for (; rest.length >= 16; rest = rest.subarray(16)) await line(rest.subarray(0, 16));
  }
  if (rest.length > 0) await line(rest);
  return say(job, `${offset.toString(8).padStart(7, '0')}\n`);
}

function formatted([format = '', ...values]: readonly string[]): string {
  const escapes: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', '\\': '\\', e: '\u001b' };
  const unescaped = format.replace(
    /\\(?:x([0-9a-f]{1,2})|([0-7]{1,3})|(.))/gi,
    (all, hex?: string, octal?: string, letter?: string) =>
      letter === undefined
        ? String.fromCharCode(hex === undefined ? Number.parseInt(octal ?? '0', 8) : Number.parseInt(hex, 16))
        : (escapes[letter] ?? all),
  );
  const rest = [...values];
  const once = (): string =>
    unescaped.replace(/%(%|[sd])/g, (_, what: string) =>
      what === '%' ? '%' : (rest.shift() ?? (what === 'd' ? '0' : '')),
    );
  let text = once();
  while (rest.length > 0 && rest.length < values.length) {
    const before = rest.length;
    text += once();
    if (rest.length === before) break;
  }
  return text;
}

async function rm(job: Job): Promise<number> {
  const { files } = job.container;
  for (const path of operands(job)) {
    const full = absolute(job, path);
    const entry = files.find(full);
    if (entry === undefined && has(job, 'f')) continue;
    if (entry?.kind === 'directory' && !has(job, 'r')) return complain(job, `${path}: Is a directory`);
    files.remove(full);
  }
  return 0;
}

async function seq(job: Job): Promise<number> {
  const numbers = job.args.map(Number);
  const [first = 1, last = 0] = numbers.length > 1 ? [numbers[0], numbers.at(-1)] : [1, numbers[0]];
  const step = numbers.length > 2 ? (numbers[1] ?? 1) : 1;
  let text = '';
  for (let number = first; step > 0 ? number <= last : number >= last; number += step) {
    text += `${number}\n`;
    if (text.length < 16_384) continue;
    await put(job, text);
    text = '';
  }
  return say(job, text);
}

async function sha256sum(job: Job): Promise<number> {
  const paths = operands(job);
  for (const path of paths.length === 0 ? ['-'] : paths) {
    const hash = createHash('sha256');
    for await (const chunk of input(job, [path])) hash.update(chunk);
    await put(job, `${hash.digest('hex')}  ${path}\n`);
  }
  return 0;
}

async function sleep({ args, signal }: Job): Promise<number> {
  try {
    await wait(args[0] === 'infinity' ? 2 ** 31 - 1 : Number(args[0]) * 1000, undefined, { signal, ref: false });
  } catch {
    signal.throwIfAborted();
  }
  return 0;
}

const fileTests: Readonly<Record<string, (kind: string | undefined) => boolean>> = {
  '-d': (kind) => kind === 'directory',
  '-e': (kind) => kind !== undefined,
  '-f': (kind) => kind === 'file',
  '-r': (kind) => kind !== undefined,
  '-w': (kind) => kind !== undefined,
};

const comparisons: Readonly<Record<string, (a: string, b: string) => boolean>> = {
  '=': (a, b) => a === b,
  '!=': (a, b) => a !== b,
  '-eq': (a, b) => Number(a) === Number(b),
  '-ne': (a, b) => Number(a) !== Number(b),
  '-lt': (a, b) => Number(a) < Number(b),
  '-le': (a, b) => Number(a) <= Number(b),
  '-gt': (a, b) => Number(a) > Number(b),
  '-ge': (a, b) => Number(a) >= Number(b),
};

function isTrue(job: Job, args: readonly string[]): boolean {
  const [first = '', second = '', third = ''] = args;
  if (first === '!') return !isTrue(job, args.slice(1));
  if (args.length === 3) return comparisons[second]?.(first, third) ?? false;
  if (args.length < 2) return first !== '';
  if (first === '-n' || first === '-z') return (second === '') === (first === '-z');
  return fileTests[first]?.(job.container.files.find(absolute(job, second))?.kind) ?? false;
}

async function wc(job: Job): Promise<number> {
  let [lineCount, words, bytes] = [0, 0, 0];
  let isInWord = false;
  for await (const chunk of input(job, operands(job))) {
    bytes += chunk.length;
    for (const byte of chunk) {
      if (byte === 0x0a) lineCount++;
      const isBlank = byte === 0x20 || (byte >= 0x09 && byte <= 0x0d);
      if (!isBlank && !isInWord) words++;
      isInWord = !isBlank;
    }
  }
  const counts = { l: lineCount, w: words, c: bytes };
  const asked = Object.entries(counts).filter(([letter]) => has(job, letter));
  return say(job, `${(asked.length === 0 ? Object.entries(counts) : asked).map(([, count]) => count).join(' ')}\n`);
}

async function yes(job: Job): Promise<number> {
  const line = `${job.args.join(' ') || 'y'}\n`;
  const block = Buffer.from(line.repeat(Math.ceil(16_384 / line.length)));
  for (;;) await put(job, block);
}
