import type { Cursor, Head } from '@sluice/model';
import type { Run } from './words.ts';

/**
 * A frame that is named somewhere else than in its own ledger. `list`, `closing`: by a recorder, which had all frames
 * up to it in the record. `second home`: its writer's signature, kept outside the record. `next`: by the same process's
 * next ledger.
 */
export interface Mark extends Head {
  readonly by: 'list' | 'closing' | 'second home' | 'next';
  /** The frame that names it; `null` for the second home. */
  readonly in: Cursor | null;
  /** Whether a seal covers the frame that names it. */
  readonly isProven: boolean;
}

/** What a recorder says about the end of a ledger. */
export interface Closing {
  readonly head: Head;
  /** Positions that were lost with their writer. */
  readonly missing: readonly Run[];
  readonly isProven: boolean;
}

/** What ledgers say of each other. */
export class Claims {
  readonly #marks = new Map<string, Map<string, Mark>>();
  readonly #closings = new Map<string, Closing[]>();
  #firstLister = '';
  #firstListed = new Set<string>();

  /**
   * Of the lists in one ledger the highest mark is kept: its recorder saw the frames between two lists chained to each
   * other. Lists of several recorders may contradict each other: a recorder goes by what it found in the database.
   */
  mark(mark: Mark): void {
    if (mark.seq === 0) return;
    const ofLedger = entry(this.#marks, mark.ledger, () => new Map<string, Mark>());
    const source = mark.by === 'closing' ? `${mark.in?.ledger} ${mark.in?.seq}` : (mark.in?.ledger ?? '');
    const key = `${mark.by} ${source} ${mark.isProven}`;
    if (mark.seq > (ofLedger.get(key)?.seq ?? -1)) ofLedger.set(key, mark);
  }

  close(closing: Closing): void {
    entry(this.#closings, closing.head.ledger, () => []).push(closing);
  }

  /** A list in the ledger `lister` names a ledger. Only the very first recorder's lists matter; its names bear the time. */
  listed(lister: string, ledger: string): void {
    const instance = lister.slice(0, lister.lastIndexOf('-'));
    if (this.#firstLister === '' || instance < this.#firstLister) {
      this.#firstLister = instance;
      this.#firstListed = new Set();
    }
    if (instance === this.#firstLister) this.#firstListed.add(ledger);
  }

  /** Ledgers that are named anywhere. */
  ledgers(): Iterable<string> {
    return this.#marks.keys();
  }

  /** Each named frame once. */
  marks(ledger: string): Mark[] {
    return [...(this.#marks.get(ledger)?.values() ?? [])];
  }

  closings(ledger: string): readonly Closing[] {
    return this.#closings.get(ledger) ?? [];
  }

  /** Whether a ledger was there when the first recorder that writes lists wrote them; true where none did. */
  isOld(ledger: string): boolean {
    return this.#firstLister === '' || this.#firstListed.has(ledger);
  }
}

function entry<V>(map: Map<string, V>, key: string, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}
