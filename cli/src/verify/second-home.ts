import { certificateHolds, type Head, type SealKey, type SignedHead, sealHolds } from '@sluice/model';
import type { Faults } from './faults.ts';
import { fields, isHead, isKey } from './words.ts';

/** The seals of one ledger in the second home. */
export interface KeptSeals {
  /** The highest. */
  readonly top: Head;
  readonly key: SealKey;
  /** Positions of all heads, ascending. */
  readonly seqs: readonly number[];
}

/** What the second home holds. */
export interface SecondHome {
  readonly ledgers: ReadonlyMap<string, KeptSeals>;
  readonly seals: number;
  /** ISO 8601, as the recorder wrote them; empty where there is none. */
  readonly oldest: string;
  readonly newest: string;
  /** Lines that are not JSON: a line that broke off when its recorder died. */
  readonly unreadable: number;
}

/** Knows which keys may sign: those that a root has signed. */
export class Roots {
  /** Raw, base64. */
  readonly #keys: readonly string[];
  /** Answers so far: the same few keys come with every line. */
  readonly #known = new Map<string, boolean>();

  constructor(keys: readonly string[]) {
    this.#keys = keys;
  }

  /** Whether a root has signed the key, and it is of the service that the ledger is named after. */
  vouchFor(key: SealKey, ledger: string): boolean {
    if (!ledger.startsWith(`${key.writer}-`)) return false;
    const text = JSON.stringify([key.kid, key.writer, key.publicKey, key.certificate]);
    let isSigned = this.#known.get(text);
    if (isSigned === undefined) {
      isSigned = this.#keys.some((root) => certificateHolds(root, key));
      this.#known.set(text, isSigned);
    }
    return isSigned;
  }
}

/** Reads the second home line by line. */
export class SecondHomeReader {
  readonly #roots: Roots;
  readonly #faults: Faults;
  readonly #ledgers = new Map<string, { top: Head; readonly key: SealKey; readonly seqs: number[] }>();
  #seals = 0;
  #oldest = '';
  #newest = '';
  #unreadable = 0;

  /** `faults`: gets those of lines that do not hold. */
  constructor(roots: Roots, faults: Faults) {
    this.#roots = roots;
    this.#faults = faults;
  }

  line(text: string): void {
    const signed = signedHeadIn(text);
    if (signed === null) {
      this.#unreadable++;
      return;
    }
    const { ledger, seq, hash, key, signature, at } = signed;
    const head = { ledger, seq, hash };
    if (!this.#roots.vouchFor(key, ledger) || !sealHolds(key, head, signature)) {
      this.#faults.add(ledger, seq, 'second-home', 'the signature in the second home does not hold');
      return;
    }
    this.#seals++;
    if (this.#oldest === '' || at < this.#oldest) this.#oldest = at;
    if (at > this.#newest) this.#newest = at;
    const kept = this.#ledgers.get(ledger);
    if (kept === undefined) this.#ledgers.set(ledger, { top: head, key, seqs: [seq] });
    else {
      kept.seqs.push(seq);
      if (seq > kept.top.seq) kept.top = head;
    }
  }

  end(): SecondHome {
    for (const { seqs } of this.#ledgers.values()) seqs.sort((a, b) => a - b);
    return {
      ledgers: this.#ledgers,
      seals: this.#seals,
      oldest: this.#oldest,
      newest: this.#newest,
      unreadable: this.#unreadable,
    };
  }
}

function signedHeadIn(line: string): SignedHead | null {
  const { ledger, seq, hash, at, key, signature } = fields(line);
  const head = { ledger, seq, hash };
  if (!isHead(head) || !isKey(key) || typeof at !== 'string' || typeof signature !== 'string') return null;
  return { ...head, at, key, signature };
}
