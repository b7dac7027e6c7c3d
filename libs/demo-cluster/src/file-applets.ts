import { posix } from 'node:path';
import { absolute, complain, has, input, type Job, maxTextBytes, operands, put, sizeOf } from './job.ts';

export async function dd(job: Job): Promise<number> {
  const option = new Map(job.args.map((arg) => arg.split(/=(.*)/s, 2) as [string, string]));
  const blockBytes = sizeOf(option.get('bs') ?? '512');
  if (!(blockBytes >= 1 && blockBytes <= maxTextBytes)) return complain(job, 'invalid block size');
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

export async function ls(job: Job): Promise<number> {
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

export async function mkdir(job: Job): Promise<number> {
  for (const path of operands(job))
    job.container.files.makeDirectory(absolute(job, path), has(job, 'p') ? 'with-parents' : 'alone');
  return 0;
}

export async function rm(job: Job): Promise<number> {
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

export function isTrue(job: Job, args: readonly string[]): boolean {
  const [first = '', second = '', third = ''] = args;
  if (first === '!') return !isTrue(job, args.slice(1));
  if (args.length === 3) return comparisons[second]?.(first, third) ?? false;
  if (args.length < 2) return first !== '';
  if (first === '-n' || first === '-z') return (second === '') === (first === '-z');
  return fileTests[first]?.(job.container.files.find(absolute(job, second))?.kind) ?? false;
}
