import { posix } from 'node:path';
import type { Files } from './files.ts';
import { FileError } from './files.ts';
import { absolute, complain, input, type Job, maxTextBytes, put } from './job.ts';

const blockBytes = 512;

/** `tar cf - PATH…` and `tar xf - [-C DIRECTORY]`, as kubectl cp runs them. */
export async function tar(job: Job): Promise<number> {
  const args = [...job.args];
  const to = args.indexOf('-C');
  const directory = to < 0 ? job.directory : absolute(job, args.splice(to, 2)[1] ?? '.');
  const [mode = '', archive, ...paths] = args.filter((arg) => arg !== '-');
  const inside = { ...job, directory };
  const letters = mode.replace(/^-/, '');
  if (letters.includes('c')) return pack(inside, [...(archive === undefined ? [] : [archive]), ...paths]);
  return letters.includes('x') ? unpack(inside) : complain(job, 'only c and x are simulated', 2);
}

async function pack(job: Job, paths: readonly string[]): Promise<number> {
  const { files } = job.container;
  let status = 0;
  for (const path of paths) {
    const full = absolute(job, path);
    if (files.find(full) === undefined) {
      status = await complain(job, `${path}: No such file or directory`);
      continue;
    }
    if (path.startsWith('/')) await complain(job, "removing leading '/' from member names");
    await packOne(job, full, path.replace(/^\/+/, '') || '.');
  }
  await put(job, Buffer.alloc(2 * blockBytes));
  return status;
}

async function packOne(job: Job, full: string, name: string): Promise<void> {
  const { files } = job.container;
  const entry = files.get(full);
  if (entry.kind === 'directory') {
    await put(job, header(`${name}/`, 0, '5'));
    for (const inside of files.list(full)) await packOne(job, posix.join(full, inside), posix.join(name, inside));
    return;
  }
  const size = Number.isFinite(entry.size) ? entry.size : 0;
  await put(job, header(name, size, '0'));
  if (size > 0) for (const chunk of files.read(full)) await put(job, chunk);
  await put(job, Buffer.alloc(padding(size)));
}

/** A header of the ustar format. A name above 100 bytes is split at a slash. */
function header(name: string, size: number, type: '0' | '5'): Buffer {
  const block = Buffer.alloc(blockBytes);
  const split = Buffer.byteLength(name) <= 100 ? -1 : name.indexOf('/', Buffer.byteLength(name) - 101);
  block.write(name.slice(split + 1), 0, 100);
  if (split > 0) block.write(name.slice(0, split), 345, 155);
  block.write(type === '5' ? '0000755' : '0000644', 100);
  block.write('0000000', 108);
  block.write('0000000', 116);
  block.write(size.toString(8).padStart(11, '0'), 124);
  block.write(
    Math.floor(Date.now() / 1000)
      .toString(8)
      .padStart(11, '0'),
    136,
  );
  block.write(type, 156);
  block.write('ustar\u000000', 257, 'latin1');
  block.write('        ', 148);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\u0000 `, 148, 'latin1');
  return block;
}

async function unpack(job: Job): Promise<number> {
  const archive = new Archive(input(job, []));
  let longName: string | undefined;
  for (;;) {
    const block = await archive.take(blockBytes);
    if (block === undefined || block.every((byte) => byte === 0)) break;
    const text = (from: number, bytes: number): string =>
      block.toString('utf8', from, from + bytes).split('\0', 1)[0] ?? '';
    const prefix = text(257, 5) === 'ustar' ? text(345, 155) : '';
    const name = longName ?? (prefix === '' ? text(0, 100) : `${prefix}/${text(0, 100)}`);
    const size = Number.parseInt(text(124, 12).trim() || '0', 8);
    const type = text(156, 1);
    if (type === 'L' || type === 'x') {
      if (size > maxTextBytes) throw new FileError('corrupt archive');
      const long = ((await archive.take(size)) ?? Buffer.alloc(0)).toString();
      await archive.take(padding(size));
      longName = type === 'L' ? long.replace(/\0.*$/s, '') : (/\d+ path=([^\n]*)\n/.exec(long)?.[1] ?? longName);
      continue;
    }
    longName = undefined;
    await unpackOne(job.container.files, absolute(job, name.replace(/^\/+/, '')), type, size, archive);
    await archive.take(padding(size));
  }
  // The writer would wait for ever for room for what follows the end of the archive.
  await archive.drain();
  return 0;
}

async function unpackOne(files: Files, path: string, type: string, size: number, archive: Archive): Promise<void> {
  if (type === '5') return files.makeDirectory(path, 'with-parents');
  files.makeDirectory(posix.dirname(path), 'with-parents');
  const file = files.create(path);
  for (let left = size; left > 0; ) {
    const bytes = await archive.some(left);
    if (bytes === undefined) throw new FileError('short read');
    files.append(file, bytes);
    left -= bytes.length;
  }
}

function padding(size: number): number {
  return (blockBytes - (size % blockBytes)) % blockBytes;
}

class Archive {
  readonly #chunks: AsyncIterator<Buffer>;
  #rest = Buffer.alloc(0);

  constructor(chunks: AsyncIterable<Buffer>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  /** At least one byte and at most so many; `undefined` at the end. */
  async some(atMost: number): Promise<Buffer | undefined> {
    if (this.#rest.length === 0) {
      const next = await this.#chunks.next();
      if (next.done === true) return undefined;
      this.#rest = next.value as Buffer<ArrayBuffer>;
    }
    const bytes = this.#rest.subarray(0, atMost);
    this.#rest = this.#rest.subarray(bytes.length);
    return bytes;
  }

  /** So many bytes; `undefined` when there are fewer. */
  async take(count: number): Promise<Buffer | undefined> {
    const parts: Buffer[] = [];
    for (let left = count; left > 0; ) {
      const bytes = await this.some(left);
      if (bytes === undefined) return undefined;
      parts.push(bytes);
      left -= bytes.length;
    }
    return Buffer.concat(parts);
  }

  async drain(): Promise<void> {
    while ((await this.some(blockBytes)) !== undefined);
  }
}
