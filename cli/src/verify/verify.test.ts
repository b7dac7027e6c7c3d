import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import type { LedgerRow, ProofRow, RecordsAnswer, RecordsQuestion } from '@sluice/model';
import { homePaths } from '../home.ts';
import type { Records } from '../records.ts';
import { LedgerFixture, newRoot, newWriter, type Row } from './fixtures.ts';
import { type VerifyOptions, verify } from './verify.ts';

const root = newRoot();
const ledger = new LedgerFixture('ingress-20261123T010000000Z-0a1b2c3d-0', newWriter(root.privateKey, 'ingress'));
const body = Buffer.from(Array.from({ length: 2_500 }, (_, index) => index % 251));
ledger.open().calls(2).write('response', '{}', 9, body).calls(1).seal();

/** Bodies over this size are left out of pages, and come in parts of it. */
const partBytes = 1_000;
/** Rows in a page, at least. */
const pageRows = 3;

function proofRow({ header, bytes, ...row }: Row): ProofRow {
  const shown = bytes.length > partBytes ? '' : bytes.toString('base64');
  return { ...row, headerBase64: header.toString('base64'), size: bytes.length, bytesBase64: shown };
}

/** A record of one ledger that answers in small pages. */
function recordOf(rows: readonly Row[], ledgers: readonly LedgerRow[] = [ledgerRow(rows)]): Records {
  const answer = (question: RecordsQuestion): RecordsAnswer => {
    switch (question.kind) {
      case 'ledgers':
        return { kind: 'ledgers', ledgers: question.session === undefined ? ledgers : [] };
      case 'proof': {
        const behind = rows.filter(({ seq }) => seq > question.afterSeq);
        // All rows of a position are in one answer.
        const end = behind[pageRows - 1]?.seq ?? Infinity;
        const page = behind.filter(({ seq }) => seq <= end);
        return { kind: 'proof', rows: page.map(proofRow), more: page.length < behind.length };
      }
      case 'part': {
        const bytes = rows.filter(({ seq }) => seq === question.seq)[question.row]?.bytes ?? Buffer.alloc(0);
        const part = bytes.subarray(question.offset, question.offset + partBytes);
        return { kind: 'part', bytesBase64: part.toString('base64') };
      }
      case 'calls':
      case 'sessions':
      case 'frames':
      case 'sql':
        return { kind: 'error', message: 'not asked here' };
    }
  };
  return {
    ask: async (question) => answer(question) as never,
    close: async () => undefined,
  };
}

function ledgerRow(rows: readonly Row[]): LedgerRow {
  return { ledger: ledger.name, rows: rows.length, first: 1, last: rows.at(-1)?.seq ?? 0, bytes: 0 };
}

/** What the command finds and writes, in a home whose second home is whole. */
async function found(t: TestContext, records: Records, options: VerifyOptions = {}): Promise<unknown> {
  const home = homePaths(mkdtempSync(join(tmpdir(), 'sl-')));
  t.after(() => rmSync(home.root, { recursive: true }));
  for (const dir of [home.keys, home.seals]) mkdirSync(dir);
  writeFileSync(join(home.keys, 'root.pub'), `${root.publicKey}\n`);
  writeFileSync(join(home.seals, 'seals-2026-11-23.jsonl'), ledger.lines.join('\n'));
  const out = new PassThrough();
  const terminal = new PassThrough() as unknown as NodeJS.WriteStream;
  const whether = await verify(home, records, { ...options, json: true }, { out, terminal });
  out.end();
  const { frames, unproven, faults } = JSON.parse(await text(out)) as Readonly<Record<string, unknown>>;
  return { whether, frames, unproven, faults };
}

const whole = { whether: 'whole', frames: ledger.rows.length, unproven: [], faults: [] };

test('a ledger is read page by page, and a large body part by part', async (t) => {
  assert.deepEqual(await found(t, recordOf(ledger.rows)), whole);
});

test('of two rows at one position each body is read', async (t) => {
  const index = ledger.rows.findIndex(({ bytes }) => bytes.length === body.length);
  const original = ledger.rows[index];
  assert.ok(original);
  const { seq } = original;
  const wrong = { ...original, bytes: Buffer.from(body).fill(0, 2_400) };
  const fault = (what: string, message: string) => ({ ledger: ledger.name, seq, what, message });
  const double = fault('double', 'this position has another row');
  const hash = fault('hash', 'header and bytes are not those the hash was made of');
  const before = ledger.rows.slice(0, index);
  const after = ledger.rows.slice(index + 1);
  const faulty = { ...whole, whether: 'faulty', frames: ledger.rows.length + 1 };
  assert.deepEqual(await found(t, recordOf([...before, original, wrong, ...after])), {
    ...faulty,
    faults: [hash, double],
  });
  assert.deepEqual(await found(t, recordOf([...before, wrong, original, ...after])), {
    ...faulty,
    faults: [hash, double],
  });
});

test('a ledger is checked as far as it went when it was listed', async (t) => {
  const more = new LedgerFixture(ledger.name, newWriter(newRoot().privateKey, 'ingress')).open().calls(20).rows;
  const growing = [...ledger.rows, ...more.slice(ledger.rows.length)];
  assert.deepEqual(await found(t, recordOf(growing, [ledgerRow(ledger.rows)])), whole);
});

test('what cannot be read is said in one line', async (t) => {
  const records = recordOf(ledger.rows);
  await assert.rejects(found(t, records, { session: 'x' }), /^Error: no session x in the record; /);
  await assert.rejects(found(t, records, { root: '/no/such/file' }), /^Error: cannot read the root keys: ENOENT/);
  await assert.rejects(found(t, records, { seals: '/no/such/dir' }), /^Error: there are no seals in \/no\/such\/dir$/);
  const failing = {
    ...records,
    ask: (question: RecordsQuestion) =>
      question.kind === 'proof' ? Promise.reject(new Error('no')) : records.ask(question),
  };
  await assert.rejects(found(t, failing as Records), new RegExp(`^Error: ${ledger.name} behind frame 0: no$`));
});
