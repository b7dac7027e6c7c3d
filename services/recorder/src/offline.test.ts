import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, test } from 'node:test';
import type { RecordsAnswer, RecordsQuestion } from '@sluice/model';
import { asked, callId, sessionId, stored } from './fixtures.ts';
import { openStore } from './store.ts';

const dir = mkdtempSync(join(tmpdir(), 'sl-'));
after(() => rmSync(dir, { recursive: true, force: true }));

async function answers(questions: readonly RecordsQuestion[], env: NodeJS.ProcessEnv): Promise<RecordsAnswer[]> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'offline.ts')], {
    env,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  child.stdin.end(questions.map((question) => `${JSON.stringify(question)}\n`).join(''));
  const [said, [code]] = await Promise.all([text(child.stdout), once(child, 'exit') as Promise<[number]>]);
  assert.equal(code, 0);
  return said
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as RecordsAnswer);
}

test('a stopped record answers one question after the other, in their order, until there are no more', async () => {
  const store = await openStore({ kind: 'embedded', dir });
  const meta = asked('allow');
  await store.insert([stored({ ledger: 'l', seq: 1, call: callId(1), session: sessionId(1), kind: 'call', meta })]);
  await store.close();
  const questions: readonly RecordsQuestion[] = [
    { kind: 'calls', limit: 10 },
    { kind: 'part', ledger: 'no such', seq: 1, row: 0, offset: 0 },
    { kind: 'ledgers' },
    { kind: 'frames', call: callId(1), after: null },
  ];
  const found = await answers(questions, { SLUICE_DATABASE_DIR: dir });
  assert.deepEqual(
    found.map(({ kind }) => kind),
    ['calls', 'error', 'ledgers', 'frames'],
  );
  assert.ok(found[0]?.kind === 'calls' && found[0].calls[0]?.id === callId(1));
});

test('where there is no record, each question is answered so, and no database is made', async () => {
  const missing = join(dir, 'missing');
  const error = {
    kind: 'error',
    message: 'nothing has been recorded here yet; start Sluice with `npm start`',
  } as const;
  const question = { kind: 'ledgers' } as const;
  assert.deepEqual(await answers([question, question], { SLUICE_DATABASE_DIR: missing }), [error, error]);
  assert.deepEqual(await answers([question], { SLUICE_DATABASE_DIR: missing }), [error]);
});
