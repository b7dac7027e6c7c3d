// Values are remembered without the values: by keyed hashes of how they begin and of the whole, in each way a text may
// write them (architecture, section 3). Pure.
import { createHmac, type KeyObject } from 'node:crypto';
import type { Finding } from './finding.ts';
import { type Fingerprint, hmacBytes, type KnownSet } from './known-set.ts';
import { formsOf, minValueBytes, partBytes } from './value-forms.ts';
import { unwrapped } from './wrapped.ts';

/** What of a text are known values. `decided`: what is before this holds no beginning of one that could go on. */
export interface KnownFindings {
  readonly findings: readonly Finding[];
  readonly decided: number;
}

/** Makes fingerprints, all by one key: 32 bytes. */
export class Fingerprints {
  readonly #key: KeyObject;
  /** Of the hashes: secret, so that nobody can make texts that collide. Odd. */
  readonly #factor: number;
  readonly #mask: number;

  constructor(key: KeyObject) {
    this.#key = key;
    const secret = createHmac('sha256', key).update('base').digest();
    this.#factor = secret.readInt32BE(0) | 1;
    this.#mask = secret.readInt32BE(4);
  }

  /** Of a value, in all the ways it may come again. None of one that is too short. */
  of(value: Buffer): Fingerprint[] {
    return formsOf(value).map((form) => ({
      first4: this.#hash4(form, 0),
      first8: this.#hash8(form, 0),
      length: form.length,
      hmac: this.#hmac(form),
    }));
  }

  /** What tells whether a value is known already: its own first part. */
  idOf(value: Buffer): string {
    return this.#hmac(value.subarray(0, partBytes)).toString('latin1');
  }

  /** Finds known values, in wrapped base64 also over the ends of its lines. */
  find(text: Buffer, known: KnownSet, isEnd: boolean): KnownFindings {
    if (known.isEmpty) return { findings: [], decided: text.length };
    const plain = this.#find(text, known, isEnd);
    const flat = unwrapped(text);
    if (flat === null) return plain;
    const { findings, decided } = this.#find(flat.bytes, known, isEnd);
    return {
      findings: [
        ...plain.findings,
        ...findings.map(({ start, end, by }) => ({ start: flat.place(start), end: flat.place(end - 1) + 1, by })),
      ],
      decided: Math.min(plain.decided, decided === flat.bytes.length ? text.length : flat.place(decided)),
    };
  }

  /** One pass; where a beginning matches, the whole is compared. */
  #find(text: Buffer, known: KnownSet, isEnd: boolean): KnownFindings {
    const findings: Finding[] = [];
    let decided = text.length;
    const { filter, filterShift } = known;
    const [factor, mask] = [this.#factor, this.#mask];
    const lastStart = text.length - minValueBytes;
    let four = text.length < 3 ? 0 : ((text[0] as number) << 16) | ((text[1] as number) << 8) | (text[2] as number);
    for (let start = 0; start <= lastStart; start++) {
      four = (four << 8) | (text[start + 3] as number);
      const hash = Math.imul(four ^ mask, factor);
      const word = filter[hash >>> filterShift] as number;
      if (((word >>> (hash >>> 13)) & (word >>> (hash >>> 8)) & 1) === 0) continue;
      for (const { length, hmac } of known.beginning(this.#hash8(text, start)) ?? []) {
        if (start + length > text.length) {
          if (!isEnd) decided = Math.min(decided, start);
        } else if (this.#hmac(text.subarray(start, start + length)).equals(hmac)) {
          findings.push({ start, end: start + length, by: 'known' });
        }
      }
    }
    if (isEnd) return { findings, decided };
    // The last bytes are too few for the longer hash: from the fourth on they are held if one begins like this.
    for (let start = Math.max(0, lastStart + 1); start <= text.length - 4 && start < decided; start++) {
      if (known.mayBeginWith4(this.#hash4(text, start))) decided = start;
    }
    return { findings, decided };
  }

  #hash4(bytes: Buffer, at: number): number {
    return Math.imul(bytes.readInt32BE(at) ^ this.#mask, this.#factor);
  }

  #hash8(bytes: Buffer, at: number): number {
    return (
      (Math.imul(this.#hash4(bytes, at), this.#factor) +
        Math.imul(bytes.readInt32BE(at + 4) ^ this.#mask, this.#factor ^ 0x5bd1e996)) |
      0
    );
  }

  #hmac(bytes: Buffer): Buffer {
    return createHmac('sha256', this.#key).update(bytes).digest().subarray(0, hmacBytes);
  }
}
