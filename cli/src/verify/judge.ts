import type { Claims, Mark } from './claims.ts';
import type { Faults } from './faults.ts';
import { explainGap } from './gaps.ts';
import type { LedgerCheck, Segment } from './ledger.ts';
import type { Run } from './words.ts';

/** Why frames are not proven, without being wrong. */
export const unprovenReasons = {
  unsealed: 'no seal covers them',
  unsigned: 'their writer signed nothing of this ledger',
  'before-seals': 'written by a Sluice that did not seal',
  awaited: 'not in the record, which does not say that they ever were',
  lost: 'lost with their writer, as the recorder says',
} as const;

/** A run of positions that is not proven. */
export interface Unproven {
  readonly ledger: string;
  readonly first: number;
  readonly last: number;
  readonly why: keyof typeof unprovenReasons;
  /** When the first of them was written, at the earliest; microseconds since the epoch, 0 where they are not there. */
  readonly sinceMicros: number;
}

/** Judges one ledger by all that is said of it. `hashesAt`: of the rows at a position. */
export function judgeLedger(
  check: LedgerCheck,
  claims: Claims,
  hashesAt: (seq: number) => readonly string[],
  faults: Faults,
): Unproven[] {
  const marks = claims.marks(check.name).toSorted((a, b) => a.seq - b.seq);
  const there = marks.filter(({ seq }) => check.has(seq));
  const isTrue = ({ seq, hash }: Mark): boolean => hashesAt(seq).includes(hash);
  const denied = there.find((mark) => !isTrue(mark));
  if (denied !== undefined) {
    faults.add(check.name, denied.seq, 'head', `${placeOf(denied)} names another frame ${denied.seq}`);
  }
  const provers = there.filter((mark) => mark.isProven && isTrue(mark));
  judgeEnd(check, claims, faults);
  const frames = check.isUnsealed ? judgeUnsealed(check, claims, faults) : unprovenFrames(check, claims, provers);
  return [...judgeGaps(check, claims, marks, faults), ...frames];
}

/** What names a frame, for people. */
export function placeOf(mark: Mark): string {
  if (mark.in === null) return 'the second home';
  const what = { list: 'the list', closing: 'the closing', next: 'the next ledger', 'second home': 'the seal' }[
    mark.by
  ];
  return `${what} in ${mark.in.ledger} at ${mark.in.seq}`;
}

/** A ledger that its writer did not close, and a recorder did, ends where it said; what is behind a gap it does not say. */
function judgeEnd(check: LedgerCheck, claims: Claims, faults: Faults): void {
  const closings = claims.closings(check.name);
  if (check.closed > 0 || closings.length === 0 || closings.some(({ missing }) => missing.length > 0)) return;
  const end = Math.max(...closings.map(({ head }) => head.seq));
  if (check.last > end) faults.add(check.name, end + 1, 'end', `the recorder closed the ledger with frame ${end}`);
}

/** A modern ledger cannot pass for an old one: those are the ones that the first lists name. */
function judgeUnsealed(check: LedgerCheck, claims: Claims, faults: Faults): Unproven[] {
  if (!claims.isOld(check.name)) {
    faults.add(check.name, 1, 'unlisted', 'the ledger is not sealed, and was not there when seals began');
  }
  return check.segments.map(({ first, last, sinceMicros }) => ({
    ledger: check.name,
    first,
    last,
    why: 'before-seals',
    sinceMicros,
  }));
}

function judgeGaps(check: LedgerCheck, claims: Claims, marks: readonly Mark[], faults: Faults): Unproven[] {
  const top = (of: readonly Mark[]): number => of.reduce((highest, { seq }) => Math.max(highest, seq), 0);
  const wholeUpTo = top(marks.filter(({ by }) => by === 'list' || by === 'closing'));
  // All frames of a recorder travel by one stream, in order: when a seal has arrived, so has what is before it.
  const ownSeals = check.isRecorders ? check.sealed - 1 : 0;
  // Of others, bodies may come later than the seal. But the seal itself was there, right behind what it covers.
  const cutOff = marks.filter(({ by, seq }) => by === 'second home' && !check.has(seq + 1));
  const recordedUpTo = Math.max(wholeUpTo, top(cutOff), ownSeals);
  const tail: readonly Run[] = top(marks) > check.last ? [[check.last + 1, top(marks)]] : [];
  const gaps = [...check.gaps, ...tail].flatMap((gap) =>
    explainGap(gap, { wholeUpTo, recordedUpTo, closings: claims.closings(check.name) }),
  );
  const unproven: Unproven[] = [];
  for (const { kind, run } of gaps) {
    const [first, last] = run;
    if (kind !== 'missing') {
      unproven.push({ ledger: check.name, first, last, why: kind, sinceMicros: 0 });
      continue;
    }
    const by = marks.findLast((mark) => mark.by !== 'next' && mark.seq >= first);
    const witness =
      by === undefined ? 'a later seal of this ledger covers them' : `${placeOf(by)} names frame ${by.seq}`;
    const what = first === last ? `frame ${first} is` : `frames ${first} to ${last} are`;
    faults.add(check.name, first, 'missing', `${what} not there, though ${witness}`);
  }
  return unproven;
}

function unprovenFrames(check: LedgerCheck, claims: Claims, provers: readonly Mark[]): Unproven[] {
  const closings = claims.closings(check.name).filter(({ isProven }) => isProven);
  // What came later no recorder has seen being written: for that only the writer's own signature speaks.
  const end = Math.min(Infinity, ...closings.map(({ head }) => head.seq));
  return check.segments.flatMap((segment): Unproven[] => {
    const proven = check.sealed > 0 ? provenIn(segment, provers, end) : 0;
    const first = Math.max(segment.first, proven + 1);
    if (first > segment.last) return [];
    const why = check.sealed === 0 ? 'unsigned' : 'unsealed';
    return [{ ledger: check.name, first, last: segment.last, why, sinceMicros: segment.sinceMicros }];
  });
}

/** Up to which position a segment is proven. A seal is its own proof. */
function provenIn({ first, last, sealed }: Segment, provers: readonly Mark[], end: number): number {
  const inside = provers.filter(({ seq }) => first <= seq && seq <= last).map(({ seq }) => Math.min(seq, end));
  return Math.max(sealed, ...inside);
}
