import { printable, table } from '../text.ts';
import type { Fault } from './faults.ts';
import { type Unproven, unprovenReasons } from './judge.ts';
import type { Verdict } from './record.ts';
import type { SecondHome } from './second-home.ts';

export interface Report {
  readonly verdict: Verdict;
  readonly faults: readonly Fault[];
  /** How many more there are. */
  readonly faultsLeftOff: number;
  readonly secondHome: SecondHome | null;
  readonly sealsDir: string;
  /** Whether the second home lies on the same disk as the record. */
  readonly sharesDisk: boolean;
  readonly nowMs: number;
}

/** For people, so many lines of a list are shown. */
const shownLines = 40;

/** One JSON object. */
export function reportJson({ verdict, faults, faultsLeftOff, secondHome, sealsDir, sharesDisk }: Report): string {
  const { ledgers, frames, provenMicros, behind } = verdict;
  const home = secondHome && {
    dir: sealsDir,
    seals: secondHome.seals,
    oldest: secondHome.oldest,
    newest: secondHome.newest,
    unreadableLines: secondHome.unreadable,
    behind,
    sharesDisk,
  };
  return `${JSON.stringify({
    ledgers,
    frames,
    provenAt: iso(provenMicros),
    unproven: verdict.unproven.map(({ sinceMicros, ...run }) => ({
      ...run,
      frames: count(run),
      since: iso(sinceMicros),
    })),
    secondHome: home,
    faults,
    ...(faultsLeftOff === 0 ? {} : { faultsLeftOff }),
  })}\n`;
}

/** For people. */
export function reportText(report: Report): string {
  const { verdict, faults, faultsLeftOff } = report;
  const { ledgers, frames, provenMicros } = verdict;
  const proven =
    provenMicros === 0
      ? 'Nothing is proven: no seal holds.'
      : `The newest seal is of ${iso(provenMicros)}; what is older is proven, but for what is listed here.`;
  return [
    `${counted(ledgers, 'ledger')}, ${counted(frames, 'frame')}.`,
    proven,
    ...unprovenLines(report),
    ...secondHomeLines(report),
    ...faultLines(faults, faultsLeftOff),
    '',
  ].join('\n');
}

function unprovenLines({ verdict, nowMs }: Report): string[] {
  const { unproven } = verdict;
  if (unproven.length === 0) return [];
  const rows = unproven
    .slice(0, shownLines)
    .map((run) => [
      run.ledger,
      run.first === run.last ? String(run.first) : `${run.first} to ${run.last}`,
      run.sinceMicros === 0 ? '' : age(nowMs - run.sinceMicros / 1000),
      unprovenReasons[run.why],
    ]);
  const total = unproven.reduce((sum, run) => sum + count(run), 0);
  const shown = table(['LEDGER', 'FRAMES', 'AGE', 'WHY'], rows).trimEnd();
  return ['', `Not proven: ${counted(total, 'frame')}.`, shown, ...more(unproven.length - shownLines), ''];
}

function secondHomeLines({ secondHome, sealsDir, sharesDisk, verdict }: Report): string[] {
  const dir = printable(sealsDir);
  if (secondHome === null)
    return [`There is no second home of seals in ${dir}: whole ledgers may be missing unnoticed.`];
  const { seals, newest, unreadable } = secondHome;
  const { behind } = verdict;
  return [
    `The second home ${dir} has ${counted(seals, 'seal')}, the newest of ${printable(newest)}.`,
    ...(behind === null
      ? []
      : [`It is older than the record: it lacks the seal of ${printable(behind.ledger)} over frame ${behind.seq}.`]),
    ...(unreadable === 0 ? [] : [`${unreadable.toLocaleString('en')} of its lines cannot be read.`]),
    ...(sharesDisk ? ['It shares its disk with the record: who can write to this disk can change both.'] : []),
  ];
}

function faultLines(faults: readonly Fault[], leftOff: number): string[] {
  if (faults.length === 0) return ['No faults.'];
  const rows = faults
    .slice(0, shownLines)
    .map(({ ledger, seq, what, message }) => [ledger, String(seq), what, message]);
  const total = faults.length + leftOff;
  return [
    '',
    `${counted(total, 'fault')}:`,
    table(['LEDGER', 'SEQ', 'WHAT', 'MESSAGE'], rows).trimEnd(),
    ...more(total - shownLines),
  ];
}

function more(n: number): string[] {
  return n > 0 ? [`and ${n.toLocaleString('en')} more`] : [];
}

function counted(n: number, what: string): string {
  return `${n.toLocaleString('en')} ${what}${n === 1 ? '' : 's'}`;
}

function count({ first, last }: Pick<Unproven, 'first' | 'last'>): number {
  return last - first + 1;
}

function iso(micros: number): string | null {
  const ms = Math.floor(micros / 1000);
  return micros === 0 || ms > 8.64e15 ? null : new Date(ms).toISOString();
}

function age(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3_600)} h` : `${Math.round(seconds / 86_400)} days`;
}
