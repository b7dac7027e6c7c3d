import type { Cursor, LedgerRow } from '@sluice/model';
import { Claims } from './claims.ts';
import { Faults } from './faults.ts';
import { judgeLedger, placeOf, type Unproven } from './judge.ts';
import { LedgerCheck } from './ledger.ts';
import type { Roots, SecondHome } from './second-home.ts';
import type { DoubtfulStream, WholeStream } from './streams.ts';

export interface RecordTrust {
  readonly roots: Roots;
  /** Read before the list of ledgers: what it names was in the record then. `null` where there is none. */
  readonly secondHome: SecondHome | null;
  /** Whether the recorder writes it, or it is a copy, which may be older than the record. */
  readonly secondHomeIs: 'own' | 'copy';
  readonly faults: Faults;
}

/** What is found once all ledgers were read. */
export interface Verdict {
  readonly ledgers: number;
  readonly frames: number;
  /** When the newest seal that holds was written; microseconds since the epoch, 0 where there is none. */
  readonly provenMicros: number;
  readonly unproven: readonly Unproven[];
  /** The first of the seals that are younger than the second home, where that is no fault. */
  readonly behind: Cursor | null;
}

/** Checks a whole record: each ledger by itself, in any order, and then what they say of each other. */
export class RecordCheck {
  readonly #trust: RecordTrust;
  readonly #claims = new Claims();
  readonly #checks = new Map<string, LedgerCheck>();
  /** All ledgers of the record, checked or not. */
  readonly #there: ReadonlySet<string>;
  /** Hashes of the rows at a place. */
  readonly #hashes = new Map<string, readonly string[]>();

  constructor(ledgers: readonly LedgerRow[], trust: RecordTrust) {
    this.#trust = trust;
    this.#there = new Set(ledgers.map(({ ledger }) => ledger));
    for (const { ledger, first, last } of ledgers) {
      for (const seq of [first, last]) if (!isPosition(seq)) trust.faults.add(ledger, seq, 'column', noPosition);
    }
    for (const { top } of trust.secondHome?.ledgers.values() ?? []) {
      this.#claims.mark({ ...top, by: 'second home', in: null, isProven: true });
    }
  }

  /** Begins to check a ledger. */
  ledger(name: string): LedgerCheck {
    const kept = this.#trust.secondHome?.ledgers.get(name);
    const check = new LedgerCheck(name, { ...this.#trust, kept, claims: this.#claims });
    this.#checks.set(name, check);
    return check;
  }

  /** When all ledgers were read: places whose hashes must be looked up before `verdict`, because they are named. */
  unsettled(): Cursor[] {
    const places: Cursor[] = [];
    for (const check of this.#checks.values()) {
      for (const { ledger, seq } of this.#claims.marks(check.name)) {
        if (check.has(seq) && check.hashAt(seq) === null) places.push({ ledger, seq });
      }
    }
    return places;
  }

  /** When all ledgers were read: streams of which all frames must be looked up before `verdict`. */
  doubtfulStreams(): DoubtfulStream[] {
    return [...this.#checks.values()].flatMap(({ streams }) => streams.doubtful);
  }

  /** Judges one of them. Where frames of it may be lacking, that is said of the positions that are not there. */
  judgeStream(end: DoubtfulStream, whole: WholeStream): void {
    const differing = whole.differing(end);
    if (differing === null) return;
    for (const ledger of whole.ledgers(end)) {
      const check = this.#checks.get(ledger);
      if (check === undefined || check.gaps.some((gap) => whole.mayHold(end, ledger, gap))) return;
    }
    this.#trust.faults.add(end.ledger, end.seq, 'stream', `call ${end.call}: ${differing}`);
  }

  /** Whether seals of the record were not in the second home when it was read: then it is read once more. */
  get lacksSeals(): boolean {
    return this.#checks.values().some(({ notKept }) => notKept.length > 0);
  }

  settle({ ledger, seq }: Cursor, hashes: readonly string[]): void {
    this.#hashes.set(`${ledger} ${seq}`, hashes);
  }

  /** `secondHome`: read after all ledgers, for the seals that came in meanwhile. */
  verdict(secondHome: SecondHome | null): Verdict {
    const { faults } = this.#trust;
    for (const ledger of this.#claims.ledgers()) if (!this.#there.has(ledger)) this.#reportGone(ledger);
    const checks = [...this.#checks.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1));
    const unproven = checks.flatMap((check) =>
      judgeLedger(check, this.#claims, (seq) => this.#hashesAt(check, seq), faults),
    );
    const behind =
      secondHome === null ? this.#judgeNoHome(checks) : checks.flatMap((check) => this.#judgeKept(check, secondHome));
    return {
      ledgers: checks.length,
      frames: checks.reduce((sum, { frames }) => sum + frames, 0),
      provenMicros: checks.reduce((newest, { sealedMicros }) => Math.max(newest, sealedMicros), 0),
      unproven,
      behind: behind[0] ?? null,
    };
  }

  #hashesAt(check: LedgerCheck, seq: number): readonly string[] {
    const known = check.hashAt(seq);
    return known === null ? (this.#hashes.get(`${check.name} ${seq}`) ?? []) : [known];
  }

  #reportGone(ledger: string): void {
    const highest = this.#claims.marks(ledger).toSorted((a, b) => b.seq - a.seq)[0];
    if (highest === undefined) return;
    const { faults } = this.#trust;
    faults.add(
      ledger,
      1,
      'gone',
      `${placeOf(highest)} names frame ${highest.seq} of this ledger, of which nothing is there`,
    );
  }

  #judgeNoHome(checks: readonly LedgerCheck[]): Cursor[] {
    const newest = checks.toSorted((a, b) => b.sealedMicros - a.sealedMicros)[0];
    if (newest !== undefined && newest.sealed > 0) {
      const message = 'there is no second home, and this ledger has the newest seal of the record';
      this.#trust.faults.add(newest.name, newest.sealed, 'second-home', message);
    }
    return [];
  }

  /** Holds a ledger's seals against the second home; returns the first of those that it may still lack. */
  #judgeKept(check: LedgerCheck, secondHome: SecondHome): Cursor[] {
    const kept = secondHome.ledgers.get(check.name);
    const there = new Set(check.notKept.length === 0 ? [] : kept?.seqs);
    // Older ones were cleared away there.
    const oldestMicros = Date.parse(secondHome.oldest) * 1000;
    const lacking = check.notKept.filter(({ seq, atMicros }) => !there.has(seq) && !(atMicros < oldestMicros));
    const [first] = lacking;
    if (first === undefined) return [];
    // A recorder that was killed may have died between the two homes.
    const isLastOfOpen = lacking.length === 1 && !this.#hasEnded(check);
    const isBehind = first.seq > (kept?.top.seq ?? 0);
    if (isBehind && (isLastOfOpen || this.#trust.secondHomeIs === 'copy')) {
      return [{ ledger: check.name, seq: first.seq }];
    }
    const message = `the second home lacks the seal over frame ${first.seq}`;
    this.#trust.faults.add(check.name, first.seq, 'second-home', message);
    return [];
  }

  #hasEnded({ name, closed }: LedgerCheck): boolean {
    return closed > 0 || this.#claims.closings(name).length > 0;
  }
}

const noPosition = 'positions go from 1 to 2^53 - 1: no writer gives this one';

/** Rows elsewhere are in no answer that a check gets to see. */
function isPosition(seq: number): boolean {
  return seq >= 1 && Number.isSafeInteger(seq);
}
