// What `sluice verify` reads: the record by questions, the second home and the root keys from files.
import { createReadStream, existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Cursor, LedgerRow, RecordsAnswer } from '@sluice/model';
import { framesAsWritten } from '../call-frames.ts';
import type { Records } from '../records.ts';
import type { Faults } from './faults.ts';
import type { LedgerCheck } from './ledger.ts';
import { maxBodyBytes, readRow } from './row.ts';
import { Roots, type SecondHome, SecondHomeReader } from './second-home.ts';
import { WholeStream } from './streams.ts';

/** Raw public keys in base64, one per line. */
export function readRoots(file: string): Roots {
  return new Roots(readFileSync(file, 'utf8').split('\n').filter(Boolean));
}

/** Reads `seals-*.jsonl` in a directory; `null` where there is none. */
export async function readSecondHome(dir: string, roots: Roots, faults: Faults): Promise<SecondHome | null> {
  const files = existsSync(dir) ? readdirSync(dir).filter((name) => /^seals-.*\.jsonl$/.test(name)) : [];
  if (files.length === 0) return null;
  const reader = new SecondHomeReader(roots, faults);
  for (const file of files.toSorted()) {
    for await (const line of createInterface({ input: createReadStream(join(dir, file)) })) reader.line(line);
  }
  return reader.end();
}

/** Feeds a ledger's rows to its check, as far as the ledger went when it was listed. `onRow`: bytes of each row. */
export async function readLedger(
  records: Records,
  { ledger, last }: LedgerRow,
  check: LedgerCheck,
  onRow: (bytes: number) => void,
): Promise<void> {
  const ask = (afterSeq: number) =>
    records.ask({ kind: 'proof', ledger, afterSeq }).catch((error: unknown) => {
      throw new Error(`${ledger} behind frame ${afterSeq}: ${(error as Error).message}`, { cause: error });
    });
  let asked: ReturnType<typeof ask> | null = ask(0);
  while (asked !== null) {
    const page: Extract<RecordsAnswer, { kind: 'proof' }> = await asked;
    const end = page.rows.at(-1)?.seq ?? last;
    // The next page is on its way while this one is checked.
    asked = page.more && end < last ? ask(end) : null;
    asked?.catch(() => undefined);
    for (const [index, row] of page.rows.entries()) {
      if (row.seq > last) break;
      const isLeftOut = row.bytesBase64 === '' && row.size > 0 && row.size <= maxBodyBytes;
      const body = isLeftOut
        ? await readParts(records, { ledger, seq: row.seq }, index - page.rows.findIndex(({ seq }) => seq === row.seq))
        : Buffer.from(row.bytesBase64, 'base64');
      check.row(row, body);
      onRow(row.headerBase64.length * 0.75 + body.byteLength);
    }
  }
  check.end();
}

/** The hashes that the rows at one place have. */
export async function hashesAt(records: Records, { ledger, seq }: Cursor): Promise<string[]> {
  const { rows } = await records.ask({ kind: 'proof', ledger, afterSeq: seq - 1 });
  const there = rows.filter((row) => row.seq === seq);
  return there.flatMap((row) => {
    const { frame } = readRow(ledger, row, Buffer.alloc(0));
    return frame === null ? [] : [Buffer.from(frame.hash).toString('hex')];
  });
}

/** All frames of a call. */
export async function readStream(records: Records, call: string): Promise<WholeStream> {
  const whole = new WholeStream();
  for await (const { bytesBase64, ...frame } of framesAsWritten(records, call)) {
    whole.hear({ ...frame, bytes: Buffer.from(bytesBase64, 'base64') });
  }
  return whole;
}

/** A body that does not stand in a page. `row`: which one, of the rows at this place. */
async function readParts(records: Records, place: Cursor, row: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  for (let offset = 0; ; ) {
    const { bytesBase64 } = await records.ask({ kind: 'part', ...place, row, offset });
    if (bytesBase64 === '') return Buffer.concat(parts);
    const part = Buffer.from(bytesBase64, 'base64');
    parts.push(part);
    offset += part.length;
  }
}
