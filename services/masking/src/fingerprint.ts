// Values are remembered without the values: by keyed hashes of how they begin and of the whole, in each way a text may
// write them (architecture, section 3). Pure.
import { createHmac, type KeyObject } from 'node:crypto';
import type { Finding } from './finding.ts';

/**
 * What is kept of one way to write a value: rolling hashes of its first 4 and first 8 bytes, its length, and an HMAC of
 * all of it.
 */
export interface Fingerprint {
  readonly first4: number;
  readonly first8: number;
  readonly length: number;
  readonly hmac: Buffer;
}

/** Shorter values are not kept: they would be found in ordinary text. Bytes. */
export const minValueBytes = 8;
/** Longer values are kept in parts of this size: a multiple of 3, so that base64 has each part for itself. Bytes. */
const partBytes = 1020;
const maxParts = 16;
/** A line of a value, which programs may print by itself. Bytes. */
const minLineBytes = 16;
const maxLines = 64;
const hmacBytes = 12;
const encodedBytes = 4 + 4 + 2 + hmacBytes;
/** The longest way to write a part: hex, or every byte percent-encoded. */
export const longestBytes = 3 * partBytes;

/** Makes fingerprints, all by one key: 32 bytes. */
export class Fingerprints {
  readonly #key: KeyObject;
  /** The base of the rolling hash: odd, and secret, so that nobody can make texts that collide. */
  readonly #base: number;
  readonly #power: number;

  constructor(key: KeyObject) {
    this.#key = key;
    this.#base = createHmac('sha256', key).update('base').digest().readUInt32BE(0) | 1;
    let power = 1;
    for (let times = 0; times < minValueBytes; times++) power = Math.imul(power, this.#base);
    this.#power = power;
  }

  /** Of a value, in all the ways it may come again. None of one that is too short. */
  of(value: Buffer): Fingerprint[] {
    const wholes = new Map<string, Buffer>();
    for (const part of partsOf(value)) {
      for (const form of formsOf(part)) if (form.length >= minValueBytes) wholes.set(form.toString('latin1'), form);
    }
    return [...wholes.values()].map((form) => ({
      first4: this.#hash(form, 0, 4),
      first8: this.#hash(form, 0, minValueBytes),
      length: form.length,
      hmac: this.#hmac(form),
    }));
  }

  /** What tells whether a value is known already: its own first part. */
  idOf(value: Buffer): string {
    return this.#hmac(value.subarray(0, partBytes)).toString('latin1');
  }

  /**
   * Finds known values. One pass; where a beginning matches, the whole is compared. `decided`: what is before this holds no
   * beginning of one that could go on.
   */
  find(text: Buffer, known: KnownSet, isEnd: boolean): { readonly findings: Finding[]; readonly decided: number } {
    const findings: Finding[] = [];
    let decided = text.length;
    if (known.isEmpty) return { findings, decided };
    let hash = 0;
    for (let at = 0; at < text.length; at++) {
      hash = (Math.imul(hash, this.#base) + (text[at] as number)) | 0;
      if (at >= minValueBytes) hash = (hash - Math.imul(text[at - minValueBytes] as number, this.#power)) | 0;
      const start = at - minValueBytes + 1;
      if (start < 0 || !known.mayBegin(hash)) continue;
      for (const { length, hmac } of known.beginning(hash)) {
        if (start + length > text.length) {
          if (!isEnd) decided = Math.min(decided, start);
        } else if (this.#hmac(text.subarray(start, start + length)).equals(hmac)) {
          findings.push({ start, end: start + length, by: 'known' });
        }
      }
    }
    // The last bytes are too few for a window: from the fourth on they are held if one begins like this.
    const tail = isEnd ? text.length : Math.max(0, text.length - minValueBytes + 1);
    for (let start = tail; start <= text.length - 4; start++) {
      if (known.mayBeginWith4(this.#hash(text, start, 4))) decided = Math.min(decided, start);
    }
    return { findings, decided };
  }

  #hash(bytes: Buffer, from: number, length: number): number {
    let hash = 0;
    for (let at = from; at < from + length; at++) hash = (Math.imul(hash, this.#base) + (bytes[at] as number)) | 0;
    return hash;
  }

  #hmac(bytes: Buffer): Buffer {
    return createHmac('sha256', this.#key).update(bytes).digest().subarray(0, hmacBytes);
  }
}

/** Fingerprints to be looked for, in the order they were learned. */
export class KnownSet {
  readonly all: readonly Fingerprint[];
  readonly #by8 = new Map<number, Fingerprint[]>();
  readonly #by4: ReadonlySet<number>;
  /** Most positions begin nothing: told by one read. */
  readonly #filter = new Uint8Array(1 << 16);

  constructor(all: readonly Fingerprint[]) {
    this.all = all;
    this.#by4 = new Set(all.map(({ first4 }) => first4));
    for (const fingerprint of all) {
      const same = this.#by8.get(fingerprint.first8);
      if (same === undefined) this.#by8.set(fingerprint.first8, [fingerprint]);
      else same.push(fingerprint);
      this.#filter[fingerprint.first8 >>> 16] = 1;
    }
  }

  get isEmpty(): boolean {
    return this.all.length === 0;
  }

  mayBegin(first8: number): boolean {
    return this.#filter[first8 >>> 16] === 1 && this.#by8.has(first8);
  }

  mayBeginWith4(first4: number): boolean {
    return this.#by4.has(first4);
  }

  beginning(first8: number): readonly Fingerprint[] {
    return this.#by8.get(first8) ?? [];
  }
}

/** A row of fixed size each. */
export function encodeFingerprints(all: readonly Fingerprint[]): Buffer {
  const bytes = Buffer.alloc(all.length * encodedBytes);
  for (const [index, { first4, first8, length, hmac }] of all.entries()) {
    const at = index * encodedBytes;
    bytes.writeInt32BE(first4, at);
    bytes.writeInt32BE(first8, at + 4);
    bytes.writeUInt16BE(length, at + 8);
    hmac.copy(bytes, at + 10);
  }
  return bytes;
}

export function decodeFingerprints(bytes: Buffer): Fingerprint[] {
  return Array.from({ length: Math.floor(bytes.length / encodedBytes) }, (_, index) => {
    const row = bytes.subarray(index * encodedBytes, (index + 1) * encodedBytes);
    const [first4, first8] = [row.readInt32BE(0), row.readInt32BE(4)];
    return { first4, first8, length: row.readUInt16BE(8), hmac: row.subarray(10) };
  });
}

/** The value in parts, and its longer lines. */
function partsOf(value: Buffer): Buffer[] {
  const parts: Buffer[] = [];
  for (let at = 0; at < value.length && parts.length < maxParts; at += partBytes) {
    const part = value.subarray(at, at + partBytes);
    if (part.length >= minValueBytes) parts.push(part);
  }
  if (!value.includes(0x0a)) return parts;
  const lines = value
    .toString('latin1')
    .split(/\r?\n/)
    .filter((line) => line.length >= minLineBytes);
  return [...parts, ...lines.slice(0, maxLines).map((line) => Buffer.from(line.slice(0, partBytes), 'latin1'))];
}

/** As it is; base64 at each alignment, in both alphabets; hex; escaped as JSON and in URLs do. */
function formsOf(part: Buffer): Buffer[] {
  const text = part.toString();
  const isText = Buffer.byteLength(text) === part.length;
  const base64 = [0, 1, 2].flatMap((shift) => {
    const encoded = Buffer.concat([Buffer.alloc(shift), part])
      .toString('base64')
      .replace(/=+$/, '');
    // The characters that the bytes beside it have no part in.
    const inner = encoded.slice(Math.ceil((shift * 4) / 3), Math.floor(((shift + part.length) * 4) / 3));
    return [inner, inner.replaceAll('+', '-').replaceAll('/', '_')];
  });
  const hex = part.toString('hex');
  const written = [...base64, hex, hex.toUpperCase()];
  if (isText) written.push(JSON.stringify(text).slice(1, -1), encodeURIComponent(text));
  return [part, ...written.map((one) => Buffer.from(one))];
}
