import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { LedgerRow } from '@sluice/model';
import type { HomePaths } from '../home.ts';
import type { Records } from '../records.ts';
import { Faults } from './faults.ts';
import { Progress } from './progress.ts';
import { hashesAt, readLedger, readRoots, readSecondHome, readStream } from './read.ts';
import { RecordCheck } from './record.ts';
import { type Report, reportJson, reportText } from './report.ts';
import { Roots } from './second-home.ts';

/** `sluice verify`, with its options parsed. */
export interface VerifyOptions {
  /** Only the ledgers that hold frames of this session, and those of the recorder, which tell of them. */
  readonly session?: string;
  /** A file with the root's public keys; default: the one in the home. */
  readonly root?: string;
  /** A directory with a copy of the second home; default: the one the recorder writes. */
  readonly seals?: string;
  readonly json?: true;
}

/** So many ledgers are read at once: the recorder answers two questions at a time. */
const lanes = 3;

/**
 * Proves the record, and says what is wrong or not proven. `faulty`: something is wrong. Throws an `Error` when the
 * record, the root keys or the second home cannot be read.
 */
export async function verify(
  home: HomePaths,
  records: Records,
  options: VerifyOptions,
  { out, terminal }: { readonly out: NodeJS.WritableStream; readonly terminal: NodeJS.WriteStream },
): Promise<'whole' | 'faulty'> {
  const roots = rootsOf(home, options);
  const sealsDir = options.seals ?? home.seals;
  const faults = new Faults();
  // First the second home, then the list of ledgers: what is named there is in the record by then.
  const secondHome = await readSecondHome(sealsDir, roots, faults);
  if (secondHome === null && options.seals !== undefined) throw new Error(`there are no seals in ${sealsDir}`);
  const all = (await records.ask({ kind: 'ledgers' })).ledgers;
  const chosen = await choose(records, all, options.session);
  const secondHomeIs = options.seals === undefined ? 'own' : 'copy';
  const check = new RecordCheck(all, { roots, secondHome, secondHomeIs, faults });
  await readAll(records, chosen, check, terminal);
  for (const place of check.unsettled()) check.settle(place, await hashesAt(records, place));
  for (const end of check.doubtfulStreams()) check.judgeStream(end, await readStream(records, end.call));
  const later = check.lacksSeals ? await readSecondHome(sealsDir, roots, new Faults()) : secondHome;
  const report: Report = {
    verdict: check.verdict(later),
    faults: faults.sorted(),
    faultsLeftOff: faults.leftOff,
    secondHome: later,
    sealsDir,
    sharesDisk: home.clickhouseUrl === '' && isOnOneDisk(sealsDir, home.database),
    nowMs: Date.now(),
  };
  out.write(options.json ? reportJson(report) : reportText(report));
  return report.faults.length === 0 ? 'whole' : 'faulty';
}

function rootsOf(home: HomePaths, { root }: VerifyOptions): Roots {
  const file = root ?? join(home.keys, 'root.pub');
  // A Sluice that never sealed has none; a record with seals is full of faults then.
  if (root === undefined && !existsSync(file)) return new Roots([]);
  try {
    return readRoots(file);
  } catch (error) {
    throw new Error(`cannot read the root keys: ${(error as Error).message}`, { cause: error });
  }
}

async function choose(
  records: Records,
  all: readonly LedgerRow[],
  session: string | undefined,
): Promise<readonly LedgerRow[]> {
  if (session === undefined) return all;
  const { ledgers } = await records.ask({ kind: 'ledgers', session });
  if (ledgers.length === 0) throw new Error(`no session ${session} in the record; \`sluice sessions list\` shows ids`);
  const held = new Set(ledgers.map(({ ledger }) => ledger));
  return all.filter(({ ledger }) => held.has(ledger) || ledger.startsWith('recorder-'));
}

/** Reads ledgers side by side, the largest first. */
async function readAll(
  records: Records,
  ledgers: readonly LedgerRow[],
  check: RecordCheck,
  terminal: NodeJS.WriteStream,
): Promise<void> {
  const progress = new Progress(ledgers, terminal);
  const left = ledgers.toSorted((a, b) => b.bytes - a.bytes).values();
  const lane = async (): Promise<void> => {
    for (const row of left) await readLedger(records, row, check.ledger(row.ledger), (bytes) => progress.row(bytes));
  };
  try {
    await Promise.all(Array.from({ length: lanes }, lane));
  } finally {
    progress.end();
  }
}

function isOnOneDisk(a: string, b: string): boolean {
  try {
    return statSync(a).dev === statSync(b).dev;
  } catch {
    return false;
  }
}
