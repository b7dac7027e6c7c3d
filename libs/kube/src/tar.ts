/** A member of an archive. Names are as they stand there, `..` and all. */
export interface TarEntry {
  readonly name: string;
  /** Bytes of its content; 0 for what has none. */
  readonly size: number;
  readonly type: 'file' | 'directory' | 'link' | 'symlink' | 'other';
}

/** What a reader tells. */
export interface TarEvents {
  entry(entry: TarEntry): void;
  /** Once: the bytes are no archive, or none that this reader knows. Nothing is told after it. */
  notTar(): void;
}

const blockBytes = 512;
/** Of a long name or an extended header; what is longer is read past, and the short name stands. */
const maxNameBytes = 64 * 1024;

const types: Readonly<Record<string, TarEntry['type']>> = {
  '0': 'file',
  '\0': 'file',
  '7': 'file',
  '1': 'link',
  '2': 'symlink',
  '5': 'directory',
};
/** Links, devices, directories, pipes: no content follows, whatever size is said. */
const withoutContent = /[1-6]/;

/**
 * Reads the headers of a tar archive (POSIX ustar and pax, GNU long names) as its bytes pass by, for the record of what a
 * copy carries. Holds a block and a name, never content. Throws nothing: bytes that are no archive are told once.
 */
export class TarReader {
  readonly #events: TarEvents;
  readonly #block = Buffer.alloc(blockBytes);
  #filled = 0;
  /** Bytes of content, padded to blocks, before the next header. */
  #skipped = 0;
  /** A header that speaks of the next one, and how much of its content is still to come. */
  #extension: { readonly type: string; readonly parts: Buffer[]; missing: number } | undefined;
  /** What such headers said, until the member that they speak of. */
  #said: { name?: string; size?: number } = {};
  #state: 'reading' | 'ended' | 'notTar' = 'reading';

  constructor(events: TarEvents) {
    this.#events = events;
  }

  /** Whether the archive has come to its end; padding may follow. */
  get hasEnded(): boolean {
    return this.#state === 'ended';
  }

  push(chunk: Buffer): void {
    for (let at = 0; at < chunk.length && this.#state === 'reading'; ) {
      const wanted = this.#skipped > 0 ? this.#skipped : blockBytes - this.#filled;
      const part = chunk.subarray(at, at + wanted);
      at += part.length;
      if (this.#skipped > 0) {
        this.#skip(part);
        continue;
      }
      part.copy(this.#block, this.#filled);
      this.#filled = (this.#filled + part.length) % blockBytes;
      if (this.#filled === 0) this.#header();
    }
  }

  #skip(bytes: Buffer): void {
    this.#skipped -= bytes.length;
    const extension = this.#extension;
    if (extension === undefined) return;
    // The rest is padding.
    const content = bytes.subarray(0, extension.missing);
    extension.missing -= content.length;
    extension.parts.push(content);
    if (this.#skipped > 0) return;
    this.#extension = undefined;
    this.#extend(extension.type, Buffer.concat(extension.parts));
  }

  #extend(type: string, content: Buffer): void {
    if (type === 'L') {
      this.#said.name = untilNul(content);
      return;
    }
    const { path, size } = paxRecords(content);
    if (path !== undefined) this.#said.name = path;
    if (size !== undefined && /^[0-9]{1,15}$/.test(size)) this.#said.size = Number(size);
  }

  #header(): void {
    const block = this.#block;
    if (block.every((byte) => byte === 0)) {
      // Two of these end an archive, and only padding follows.
      this.#state = 'ended';
      return;
    }
    const size = numberAt(block, 124, 12);
    if (!hasChecksum(block) || size === undefined) {
      this.#state = 'notTar';
      return this.#events.notTar();
    }
    const type = block.toString('latin1', 156, 157);
    if ('LKxg'.includes(type)) {
      this.#skipped = padded(size);
      const isRead = (type === 'L' || type === 'x') && size > 0 && size <= maxNameBytes;
      this.#extension = isRead ? { type, parts: [], missing: size } : undefined;
      return;
    }
    const content = withoutContent.test(type) ? 0 : (this.#said.size ?? size);
    const name = this.#said.name ?? nameIn(block);
    this.#said = {};
    this.#skipped = padded(content);
    this.#events.entry({ name, size: content, type: types[type] ?? 'other' });
  }
}

function padded(size: number): number {
  return Math.ceil(size / blockBytes) * blockBytes;
}

function nameIn(block: Buffer): string {
  const name = untilNul(block.subarray(0, 100));
  // GNU tar, whose magic ends with spaces, has times where POSIX has a prefix.
  const prefix = block.toString('latin1', 257, 263) === 'ustar\0' ? untilNul(block.subarray(345, 500)) : '';
  return prefix === '' ? name : `${prefix}/${name}`;
}

function untilNul(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString('utf8', 0, end === -1 ? bytes.length : end);
}

/** Octal digits, or, beyond 8 GiB, a number of base 256 with its highest bit set. Undefined: neither. */
function numberAt(block: Buffer, at: number, length: number): number | undefined {
  if (((block[at] as number) & 0x80) !== 0) {
    const isSmall = block[at] === 0x80 && block.subarray(at + 1, at + length - 6).every((byte) => byte === 0);
    return isSmall ? block.readUIntBE(at + length - 6, 6) : undefined;
  }
  const text = block.toString('latin1', at, at + length).replaceAll(/^[ \0]+|[ \0]+$/g, '');
  return /^[0-7]*$/.test(text) ? Number.parseInt(text || '0', 8) : undefined;
}

/** The sum of the header's bytes with spaces in its place; old programs summed them as signed. */
function hasChecksum(block: Buffer): boolean {
  let [unsigned, signed] = [0, 0];
  for (let at = 0; at < blockBytes; at += 1) {
    const byte = at >= 148 && at < 156 ? 0x20 : (block[at] as number);
    unsigned += byte;
    signed += (byte << 24) >> 24;
  }
  const sum = numberAt(block, 148, 8);
  return sum === unsigned || sum === signed;
}

/** `LENGTH KEY=VALUE\n`, one after the other (POSIX pax); what is broken ends them. */
function paxRecords(content: Buffer): { readonly path?: string; readonly size?: string } {
  const found: { path?: string; size?: string } = {};
  for (let at = 0; at < content.length; ) {
    const head = /^([1-9][0-9]{0,5}) ([^=\n]*)=/.exec(content.toString('latin1', at, at + 256));
    if (head === null) break;
    const end = at + Number(head[1]);
    if (end > content.length || content[end - 1] !== 0x0a) break;
    const value = content.toString('utf8', at + head[0].length, end - 1);
    if (head[2] === 'path') found.path = value;
    if (head[2] === 'size') found.size = value;
    at = end;
  }
  return found;
}
