import type { Closing } from './claims.ts';
import type { Run } from './words.ts';

/**
 * Why positions have no row. `lost`: with their writer, as a recorder says. `missing`: they had one. `awaited`: nothing
 * says that they ever had; frames of bodies travel by another stream, and may come later.
 */
export interface Gap {
  readonly kind: 'lost' | 'missing' | 'awaited';
  readonly run: Run;
}

export interface GapEvidence {
  /** Up to here the ledger was whole in the record when a recorder said so. */
  readonly wholeUpTo: number;
  /** Up to here all that was not lost was in the record once. */
  readonly recordedUpTo: number;
  readonly closings: readonly Closing[];
}

/** Explains a run of positions without rows. */
export function explainGap(gap: Run, evidence: GapEvidence): Gap[] {
  const explained: Gap[] = [];
  for (const run of cut(gap, evidence)) {
    const kind = kindOf(run[0], evidence);
    const before = explained.at(-1);
    if (before?.kind === kind) explained.splice(-1, 1, { kind, run: [before.run[0], run[1]] });
    else explained.push({ kind, run });
  }
  return explained;
}

/** Into runs that are of one kind each. */
function cut([first, last]: Run, { wholeUpTo, recordedUpTo, closings }: GapEvidence): Run[] {
  const ends = [wholeUpTo, recordedUpTo, last];
  for (const closing of closings) ends.push(reach(closing), ...closing.missing.flatMap(([from, to]) => [from - 1, to]));
  const runs: Run[] = [];
  let from = first;
  for (const end of ends.toSorted((a, b) => a - b)) {
    if (end < from || end > last) continue;
    runs.push([from, end]);
    from = end + 1;
  }
  return runs;
}

function kindOf(seq: number, { wholeUpTo, recordedUpTo, closings }: GapEvidence): Gap['kind'] {
  if (seq > wholeUpTo && isLost(seq, closings)) return 'lost';
  return seq <= recordedUpTo ? 'missing' : 'awaited';
}

/** Each closing that goes so far must say so: what one of them saw was there. And a seal must cover what they say. */
function isLost(seq: number, closings: readonly Closing[]): boolean {
  const proven = closings.filter(({ isProven }) => isProven);
  const says = ({ missing }: Closing): boolean => missing.some(([first, last]) => first <= seq && seq <= last);
  return proven.some(says) && proven.every((closing) => says(closing) || seq > reach(closing));
}

/** Behind the last frames that were lost there is at least one more. */
function reach({ head, missing }: Closing): number {
  return Math.max(head.seq, ...missing.map(([, last]) => last + 1));
}
