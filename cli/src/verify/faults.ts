/** What can be wrong with a record. A closed list; `docs/proof.md` explains each. */
export const faultCodes = {
  header: 'a header that is not one of a frame, or not whole',
  column: 'a column that does not say what the header says',
  hash: 'bytes or header that are not those the hash was made of',
  double: 'two rows at one position',
  chain: 'a frame that does not follow on the one before it',
  missing: 'rows that are not there, though it is proven that they were',
  gone: 'a whole ledger that is not there, though it is proven that it was',
  opened: 'a first frame that does not open this ledger',
  certificate: 'a key that no root has signed',
  seal: 'a signature that does not hold',
  head: 'another frame than the one a list, a closing or the second home names',
  end: 'rows behind the end of a ledger',
  unlisted: 'an unsealed ledger that was not there when seals began',
  stream: 'an outcome that says something else of a channel than its frames',
  'second-home': 'a second home that lacks a seal of the record, or holds a false one',
} as const;

export type FaultCode = keyof typeof faultCodes;

export interface Fault {
  readonly ledger: string;
  /** The position; the first one, where it is about several. */
  readonly seq: number;
  readonly what: FaultCode;
  /** One sentence. */
  readonly message: string;
}

/** So many are kept, of a record that is wrong from end to end. */
const kept = 1_000;

/** Collects faults. */
export class Faults {
  readonly #list: Fault[] = [];
  #leftOff = 0;

  add(ledger: string, seq: number, what: FaultCode, message: string): void {
    if (this.#list.length < kept) this.#list.push({ ledger, seq, what, message });
    else this.#leftOff++;
  }

  /** By ledger and position. */
  sorted(): Fault[] {
    return this.#list.toSorted((a, b) => (a.ledger === b.ledger ? a.seq - b.seq : a.ledger < b.ledger ? -1 : 1));
  }

  /** How many were found beyond those that are kept. */
  get leftOff(): number {
    return this.#leftOff;
  }
}
