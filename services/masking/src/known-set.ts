// Fingerprints of known values as a set to look up in, and as bytes. Pure.

/**
 * What is kept of one way to write a value: hashes of its first 4 and first 8 bytes, its length, and an HMAC of all of it.
 */
export interface Fingerprint {
  readonly first4: number;
  readonly first8: number;
  readonly length: number;
  readonly hmac: Buffer;
}

export const hmacBytes = 12;
const encodedBytes = 4 + 4 + 2 + hmacBytes;
/** Words of the filter for each fingerprint, about. */
const filterShare = 1;
const maxFilterBits = 14;

/** Fingerprints to be looked for, in the order they were learned. */
export class KnownSet {
  readonly all: readonly Fingerprint[];
  /** Most places begin nothing: told by one read. Two bits in a word for each beginning, see `filterMask`. */
  readonly filter: Uint32Array;
  /** A hash shifted by so much is the place of its word. */
  readonly filterShift: number;
  readonly #by8 = new Map<number, Fingerprint[]>();
  readonly #by4: ReadonlySet<number>;

  constructor(all: readonly Fingerprint[]) {
    this.all = all;
    this.#by4 = new Set(all.map(({ first4 }) => first4));
    const bits = Math.min(maxFilterBits, Math.max(4, Math.ceil(Math.log2(all.length * filterShare + 1))));
    this.filter = new Uint32Array(1 << bits);
    this.filterShift = 32 - bits;
    for (const fingerprint of all) {
      const same = this.#by8.get(fingerprint.first8);
      if (same === undefined) this.#by8.set(fingerprint.first8, [fingerprint]);
      else same.push(fingerprint);
      const word = fingerprint.first4 >>> this.filterShift;
      this.filter[word] = (this.filter[word] as number) | filterMask(fingerprint.first4);
    }
  }

  get isEmpty(): boolean {
    return this.all.length === 0;
  }

  mayBeginWith4(first4: number): boolean {
    return this.#by4.has(first4);
  }

  beginning(first8: number): readonly Fingerprint[] | undefined {
    return this.#by8.get(first8);
  }
}

/** The bits of a beginning in its word of the filter. */
export function filterMask(first4: number): number {
  return (1 << (first4 >>> 13)) | (1 << (first4 >>> 8));
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
