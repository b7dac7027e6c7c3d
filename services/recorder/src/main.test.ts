import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createLogger, ensureKeys, openBroker, openLedger, provision } from '@sluice/runtime';
import { newSealer, TestBroker, until } from '@sluice/testing';
import { openStore } from './store.ts';

const dir = mkdtempSync(join(tmpdir(), 'sl-'));
after(() => rmSync(dir, { recursive: true, force: true }));

const log = createLogger('test', '/dev/null');
const callOf = (index: number): string => `01a20850-635b-7dcb-abe1-${String(index % 10).padStart(12, '0')}`;

async function startRecorder(env: NodeJS.ProcessEnv): Promise<ChildProcess> {
  const child = fork(join(import.meta.dirname, 'main.ts'), { env: { ...process.env, ...env }, stdio: 'ignore' });
  const [message] = (await once(child, 'message')) as [{ kind: string }];
  assert.equal(message.kind, 'ready');
  return child;
}

test('a recorder that is killed again and again loses no frame and stores none twice', async () => {
  const server = await TestBroker.start();
  const broker = await openBroker(server.env, 'test', log);
  await provision(broker);
  const env = {
    ...server.env,
    SLUICE_DATABASE_DIR: dir,
    SLUICE_KEYS_DIR: join(dir, 'keys'),
    SLUICE_SEALS_DIR: join(dir, 'seals'),
  };
  ensureKeys(env.SLUICE_KEYS_DIR);
  const ledger = await openLedger({ broker, sealer: newSealer('writer'), log, onLost: assert.fail });
  const total = 2_000;
  const writing = (async () => {
    for (let i = 0; i < total; i++) {
      const meta = { status: 200, contentType: 't' };
      const entry = {
        kind: 'response',
        call: callOf(i),
        session: '0'.repeat(32),
        meta,
        bytes: Buffer.from(`${i}`),
      } as const;
      const acked = ledger.append(i % 2 === 0 ? 'calls' : 'bytes', entry);
      if (i % 20 === 0) await acked;
    }
  })();
  // Each is killed while it works: before an insert, after it, or between insert and ack.
  for (let round = 0; round < 5; round++) {
    const recorder = await startRecorder(env);
    await new Promise((resolve) => setTimeout(resolve, 150 + round * 80));
    recorder.kill('SIGKILL');
    await once(recorder, 'exit');
  }
  await writing;
  assert.equal(await ledger.drain(10_000), 0);

  const last = await startRecorder(env);
  const left = async (stream: string): Promise<number> => {
    const info = await broker.request(`$JS.API.STREAM.INFO.${stream}`, new Uint8Array(0), 5_000);
    return (JSON.parse(Buffer.from(info).toString()) as { state: { messages: number } }).state.messages;
  };
  await until('the streams to be empty', async () => (await left('CALLS')) + (await left('BYTES')) === 0);
  last.kill('SIGTERM');
  const [code] = (await once(last, 'exit')) as [number];
  assert.equal(code, 0, 'it drains');

  const store = await openStore({ kind: 'embedded', dir });
  const seqs: number[] = [];
  for (let call = 0; call < 10; call++) {
    const { rows } = await store.frames({ call: callOf(call), after: null });
    seqs.push(...rows.map(({ seq }) => seq));
  }
  await store.close();
  // A seal may stand between them.
  assert.deepEqual([seqs.length, new Set(seqs).size], [total, total]);
  await broker.drain();
  await server.close();
});
