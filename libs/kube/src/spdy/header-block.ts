import { Inflate, Z_SYNC_FLUSH } from 'pako';
import { headerDictionary } from './dictionary.ts';
import { SpdyError } from './frames.ts';

/** Names in lower case. A name with several values has them in one string, parted by NUL. One character is one byte. */
export type SpdyHeaders = ReadonlyMap<string, string>;

export interface HeaderLimits {
  /** Of one block after inflation. */
  readonly maxHeaderBytes: number;
  readonly maxHeaders: number;
}

/**
 * Reads the header blocks of one direction. They share one zlib stream, so each block must pass through here in its
 * order, also those whose headers nobody wants.
 */
export class HeaderReader {
  readonly #limits: HeaderLimits;
  readonly #inflate = new Inflate({ windowBits: 15, dictionary: headerDictionary, chunkSize: 4096 });
  #parts: Uint8Array[] = [];
  #bytes = 0;

  constructor(limits: HeaderLimits) {
    this.#limits = limits;
    this.#inflate.onData = (part) => {
      this.#bytes += part.length;
      if (this.#bytes > limits.maxHeaderBytes) {
        throw new SpdyError(`a header block exceeds ${limits.maxHeaderBytes} bytes`);
      }
      this.#parts.push(part);
    };
  }

  /** Throws `SpdyError`, after which nothing more can be read. */
  read(block: Buffer): SpdyHeaders {
    this.#parts = [];
    this.#bytes = 0;
    this.#inflate.push(block, Z_SYNC_FLUSH);
    if (this.#inflate.ended) throw new SpdyError('a header block is not zlib');
    return parseHeaders(Buffer.concat(this.#parts), this.#limits.maxHeaders);
  }
}

function parseHeaders(block: Buffer, maxHeaders: number): SpdyHeaders {
  let at = 0;
  const word = (): number => {
    if (at + 4 > block.length) throw new SpdyError('a header block is cut short');
    at += 4;
    return block.readUInt32BE(at - 4);
  };
  const text = (): string => {
    const end = word() + at;
    if (end > block.length) throw new SpdyError('a header block is cut short');
    const start = at;
    at = end;
    return block.toString('latin1', start, end);
  };
  const count = word();
  if (count > maxHeaders) throw new SpdyError(`a header block has ${count} headers`);
  const headers = new Map<string, string>();
  for (let index = 0; index < count; index += 1) {
    const name = text();
    if (!/^[\x21-\x40\x5b-\x7e]+$/.test(name)) throw new SpdyError('a header name is empty or not in lower case');
    if (headers.has(name)) throw new SpdyError('a header occurs twice');
    headers.set(name, text());
  }
  if (at !== block.length) throw new SpdyError('a header block goes on after its last header');
  return headers;
}

/** zlib's header, and the checksum of the dictionary (RFC 1950, 2.2). */
const zlibStart = Buffer.from('78bbe3c6a7c2', 'hex');
/** An empty stored block, which is what a sync flush writes: readers give out what they have at this point. */
const syncFlush = Buffer.from('000000ffff', 'hex');
const maxStoredBytes = 0xffff;

/** Writes the header blocks of one direction. They are stored, not compressed: a session has a dozen short ones. */
export class HeaderWriter {
  #hasStarted = false;

  write(headers: SpdyHeaders): Buffer {
    const parts: Buffer[] = [word(headers.size)];
    for (const [name, value] of headers) {
      parts.push(word(name.length), Buffer.from(name, 'latin1'), word(value.length), Buffer.from(value, 'latin1'));
    }
    const plain = Buffer.concat(parts);
    const blocks: Buffer[] = this.#hasStarted ? [] : [zlibStart];
    this.#hasStarted = true;
    for (let at = 0; at < plain.length; at += maxStoredBytes)
      blocks.push(stored(plain.subarray(at, at + maxStoredBytes)));
    return Buffer.concat([...blocks, syncFlush]);
  }
}

/** A stored block that is not the last (RFC 1951, 3.2.4). */
function stored(bytes: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt16LE(bytes.length, 1);
  head.writeUInt16LE(bytes.length ^ 0xffff, 3);
  return Buffer.concat([head, bytes]);
}

function word(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value, 0);
  return bytes;
}
