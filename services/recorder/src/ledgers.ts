// Which frames are in the record already, and how far each ledger hangs together. Pure.
import type { Head } from '@sluice/model';

/** What the recorder needs of a frame to find its place. Hashes are hex. */
export interface Link {
  readonly ledger: string;
  readonly seq: number;
  readonly prev: string;
  readonly hash: string;
}

/**
 * `new`: not seen before. `repeat`: the same frame again. `conflict`: another frame stands at its position. `below`: at
 * or below the connected head, whose frames are in the table: only that knows which frame is there.
 */
export type Place = 'new' | 'repeat' | 'conflict' | 'below';

interface Known {
  head: Head;
  /** Frames above the head, by position. */
  readonly above: Map<number, Link>;
}

/** The hash before a ledger's first frame. */
const noHash = '0'.repeat(64);

export class Ledgers {
  readonly #ledgers = new Map<string, Known>();

  /** Finds a frame's place; a new one counts as seen from now on. */
  place(link: Link): Place {
    const known = this.#of(link.ledger);
    if (link.seq <= known.head.seq) return 'below';
    const there = known.above.get(link.seq);
    if (there !== undefined) return there.hash === link.hash ? 'repeat' : 'conflict';
    known.above.set(link.seq, link);
    for (let next = known.above.get(known.head.seq + 1); next?.prev === known.head.hash; ) {
      known.above.delete(next.seq);
      known.head = { ledger: link.ledger, seq: next.seq, hash: next.hash };
      next = known.above.get(next.seq + 1);
    }
    return 'new';
  }

  /** Starts a ledger that is in the table, connected up to its head. */
  restore(head: Head): void {
    this.#ledgers.set(head.ledger, { head, above: new Map() });
  }

  has(ledger: string): boolean {
    return this.#ledgers.has(ledger);
  }

  /** The last frame that is connected with the first; position 0 where there is none. */
  head(ledger: string): Head {
    return this.#ledgers.get(ledger)?.head ?? emptyHead(ledger);
  }

  /** All ledgers that have frames. */
  heads(): Head[] {
    return [...this.#ledgers.values()].map(({ head }) => head);
  }

  /** Runs of positions between the head and the last frame that are not there: first and last of each. */
  missing(ledger: string): [first: number, last: number][] {
    const known = this.#ledgers.get(ledger);
    if (known === undefined) return [];
    const runs: [number, number][] = [];
    let last = known.head.seq;
    for (const seq of [...known.above.keys()].toSorted((a, b) => a - b)) {
      if (seq > last + 1) runs.push([last + 1, seq - 1]);
      last = seq;
    }
    return runs;
  }

  #of(ledger: string): Known {
    let known = this.#ledgers.get(ledger);
    if (known === undefined) {
      known = { head: emptyHead(ledger), above: new Map() };
      this.#ledgers.set(ledger, known);
    }
    return known;
  }
}

function emptyHead(ledger: string): Head {
  return { ledger, seq: 0, hash: noHash };
}
