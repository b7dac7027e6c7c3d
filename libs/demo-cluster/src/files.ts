import { createHash, randomBytes } from 'node:crypto';
import { posix } from 'node:path';

export interface Directory {
  readonly kind: 'directory';
  readonly modifiedMs: number;
}

export interface RegularFile {
  readonly kind: 'file';
  readonly modifiedMs: number;
  readonly chunks: Buffer[];
  size: number;
}

/** A file whose bytes are made when they are read, and which forgets what is written to it. */
export interface Device {
  readonly kind: 'device';
  /** Bytes; `Infinity` without an end. */
  readonly size: number;
  /** At least one byte from an offset below `size`, and at most so many. */
  readonly read: (offset: number, bytes: number) => Buffer;
}

export type Entry = Directory | RegularFile | Device;

/** Its message is what C's `strerror` says. */
export class FileError extends Error {}

/** What a container may hold. */
const maxBytes = 256 * 1_048_576;

/** Bytes that are read at a time. */
const chunkBytes = 65_536;

const zeros = Buffer.alloc(chunkBytes);

const devices: Readonly<Record<string, Device>> = {
  '/dev/null': { kind: 'device', size: 0, read: () => zeros },
  '/dev/zero': { kind: 'device', size: Infinity, read: (_, bytes) => zeros.subarray(0, bytes) },
  '/dev/urandom': { kind: 'device', size: Infinity, read: (_, bytes) => randomBytes(Math.min(bytes, chunkBytes)) },
  '/data/large': { kind: 'device', size: 1_073_741_824, read: numberedBlock },
};

/** The file system of one container: all in memory, by absolute path. */
export class Files {
  readonly #entries = new Map<string, Entry>();
  #bytes = 0;

  constructor() {
    for (const path of ['/', '/bin', '/data', '/dev', '/etc', '/proc', '/root', '/tmp', '/usr', '/var', '/var/log'])
      this.#entries.set(path, { kind: 'directory', modifiedMs: Date.now() });
    for (const [path, device] of Object.entries(devices)) this.#entries.set(path, device);
  }

  find(path: string): Entry | undefined {
    return this.#entries.get(path);
  }

  /** Throws `FileError` when nothing is there. */
  get(path: string): Entry {
    const found = this.find(path);
    if (found === undefined) throw new FileError('No such file or directory');
    return found;
  }

  /** Names in a directory, sorted. */
  list(directory: string): string[] {
    const names = [...this.#entries.keys()].filter((path) => path !== '/' && posix.dirname(path) === directory);
    return names.map((path) => posix.basename(path)).sort();
  }

  /** An empty file, in place of one that is there. Throws `FileError`. A device stays what it is. */
  create(path: string): RegularFile | Device {
    const current = this.#entries.get(path);
    if (current?.kind === 'device') return current;
    if (current?.kind === 'directory') throw new FileError('Is a directory');
    if (this.get(posix.dirname(path)).kind !== 'directory') throw new FileError('Not a directory');
    this.#bytes -= current?.size ?? 0;
    const file: RegularFile = { kind: 'file', modifiedMs: Date.now(), chunks: [], size: 0 };
    this.#entries.set(path, file);
    return file;
  }

  /** Throws `FileError` when the container is full. */
  append(file: RegularFile | Device, bytes: Buffer): void {
    if (file.kind === 'device') return;
    if (this.#bytes + bytes.length > maxBytes) throw new FileError('No space left on device');
    this.#bytes += bytes.length;
    file.size += bytes.length;
    const last = file.chunks.at(-1);
    // Byte by byte it would be a list of bytes.
    if (last !== undefined && last.length + bytes.length <= 4096)
      file.chunks.push(Buffer.concat([file.chunks.pop() ?? last, bytes]));
    else file.chunks.push(bytes);
  }

  /** A file with this text, and the directories above it. */
  write(path: string, content: string | Buffer): void {
    this.makeDirectory(posix.dirname(path), 'with-parents');
    this.append(this.create(path), Buffer.from(content));
  }

  /** Throws `FileError`. */
  makeDirectory(path: string, how: 'alone' | 'with-parents'): void {
    const current = this.#entries.get(path);
    if (current?.kind === 'directory' && how === 'with-parents') return;
    if (current !== undefined) throw new FileError('File exists');
    if (how === 'with-parents') this.makeDirectory(posix.dirname(path), how);
    if (this.get(posix.dirname(path)).kind !== 'directory') throw new FileError('Not a directory');
    this.#entries.set(path, { kind: 'directory', modifiedMs: Date.now() });
  }

  /** A file, or a directory with all that is in it. Throws `FileError` when nothing is there. */
  remove(path: string): void {
    this.get(path);
    for (const [each, entry] of this.#entries) {
      if (each !== path && !each.startsWith(path === '/' ? '/' : `${path}/`)) continue;
      if (entry.kind === 'file') this.#bytes -= entry.size;
      this.#entries.delete(each);
    }
  }

  /** The bytes of a file, made as they are taken. Throws `FileError`. */
  *read(path: string): Generator<Buffer> {
    const entry = this.get(path);
    if (entry.kind === 'directory') throw new FileError('Is a directory');
    if (entry.kind === 'file') return yield* entry.chunks.slice();
    for (let offset = 0; offset < entry.size; ) {
      const chunk = entry.read(offset, Math.min(chunkBytes, entry.size - offset));
      offset += chunk.length;
      yield chunk;
    }
  }
}

const noise = Buffer.concat(
  Array.from({ length: chunkBytes / 32 }, (_, index) => createHash('sha256').update(`block ${index}`).digest()),
);

/** Blocks that differ by their number alone: what is missing or twice shows, and any two readers read the same. */
function numberedBlock(offset: number, bytes: number): Buffer {
  const block = Buffer.from(noise);
  block.writeUInt32BE(Math.floor(offset / chunkBytes));
  return block.subarray(offset % chunkBytes, (offset % chunkBytes) + bytes);
}
