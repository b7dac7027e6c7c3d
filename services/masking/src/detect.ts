// Runs the detectors over bytes: one pass finds the anchors of all, and a row looks at what stands around its own. Pure.
import type { DetectorName } from '@sluice/model';
import { type Anchor, Anchors } from './anchors.ts';
import { byteClass, runEnd } from './byte-class.ts';
import { type Detector, detectors } from './detectors.ts';
import type { Finding, FindSecrets } from './finding.ts';
import { isBinary, isMask, type Until } from './secret-bytes.ts';

/** A finding, and how it goes on where it reaches the end of the bytes. */
export interface OpenFinding extends Finding {
  readonly until: Until;
}

export interface Scan {
  /** In order, without overlap. */
  readonly findings: readonly OpenFinding[];
  /** What is before this is decided; the bytes from here on may turn out to be a secret. */
  readonly decided: number;
}

interface Row extends Detector {
  readonly index: number;
}

const rows: readonly Row[] = detectors.map((detector, index) => ({ ...detector, index }));
const automaton = new Anchors<Row>(
  rows.flatMap((row) => row.anchors.map((text): Anchor<Row> => ({ text, ignoreCase: row.ignoreCase, value: row }))),
);

/** How a text comes. */
export interface Pace {
  /** Nothing comes after the bytes. */
  readonly isEnd: boolean;
  /** Somebody types it, or reads it as it comes: see `typingBytes`. */
  readonly isTyped: boolean;
}

/** Of what is typed so many bytes of a secret have to be there before it is held. */
export const typingBytes = 4;

/**
 * These go by a name of a few letters, or less. In bytes that are no text such a name comes by chance, every few dozen
 * megabytes, and a mask there would only break what it stands in.
 */
const byNames: ReadonlySet<DetectorName> = new Set<DetectorName>(['assigned', 'authorization', 'url-password']);
/** So many bytes before a name, and of the value behind it, tell whether they are a text. */
const around = 16;

/** Looks at all bytes. */
export function scan(bytes: Buffer, { isEnd, isTyped }: Pace): Scan {
  const found: OpenFinding[] = [];
  const seen = rows.map(() => 0);
  let decided = bytes.length;
  automaton.search(bytes, (row, start, end) => {
    // What a row has called a secret it need not look at again: each byte is read so often as there are rows, at most.
    // Only its end may be a name, with a value of its own behind it: `password: token: …`.
    if (end < (seen[row.index] as number) - 1) return;
    const verdict = row.check(bytes, start, end, isEnd);
    if (verdict === null) return;
    if ('from' in verdict) {
      // Names and anchors say nothing, so of what is typed they are not held.
      const from = isTyped ? verdict.from : start;
      if (!isTyped || bytes.length - from >= typingBytes) decided = Math.min(decided, from);
      return;
    }
    if (verdict.end <= verdict.start || isMask(bytes, verdict.start)) return;
    if (
      byNames.has(row.name) &&
      isBinary(bytes, Math.max(0, start - around), Math.min(verdict.end, verdict.start + around))
    )
      return;
    seen[row.index] = Math.max(seen[row.index] as number, verdict.end);
    found.push({ ...verdict, by: row.name });
  });
  if (!isEnd && !isTyped) decided = Math.min(decided, bytes.length - automaton.pending(bytes));
  return { findings: united(found), decided };
}

/** The whole text at once. */
export const findSecrets: FindSecrets = (text, also) => {
  const { findings } = scan(text, { isEnd: true, isTyped: false });
  return also.includes('high-entropy') ? united([...findings, ...randomWords(text)]) : findings;
};

/** Where anything begins that a detector would look at, ascending: a text without any of these has no secret to be found. */
export function suspects(bytes: Buffer): readonly number[] {
  const starts: number[] = [];
  automaton.search(bytes, (_, start) => starts.push(start));
  return starts.sort((a, b) => a - b);
}

/** Findings that overlap are one. */
export function united<T extends Finding>(findings: readonly T[]): T[] {
  if (findings.length < 2) return [...findings];
  const result: T[] = [];
  for (const finding of [...findings].sort((a, b) => a.start - b.start || b.end - a.end)) {
    const last = result.at(-1);
    if (last === undefined || finding.start >= last.end) result.push(finding);
    else if (finding.end > last.end) result[result.length - 1] = { ...finding, start: last.start, by: last.by };
  }
  return result;
}

const randomBytes = byteClass('A-Za-z0-9+/=_-');
const minRandom = 20;
const minBits = 4;

function randomWords(bytes: Buffer): OpenFinding[] {
  const found: OpenFinding[] = [];
  for (let at = 0; at < bytes.length; at++) {
    const end = runEnd(bytes, at, randomBytes);
    if (end - at >= minRandom && bitsPerByte(bytes, at, end) >= minBits && !isMask(bytes, at))
      found.push({ start: at, end, by: 'high-entropy' satisfies DetectorName, until: 'base64' });
    at = end;
  }
  return found;
}

/** Shannon's entropy of the bytes. */
function bitsPerByte(bytes: Buffer, start: number, end: number): number {
  const counts = new Map<number, number>();
  for (let at = start; at < end; at++) counts.set(bytes[at] as number, (counts.get(bytes[at] as number) ?? 0) + 1);
  const size = end - start;
  return [...counts.values()].reduce((sum, count) => sum - (count / size) * Math.log2(count / size), 0);
}
