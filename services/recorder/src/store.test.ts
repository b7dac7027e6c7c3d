import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { encodeFrame, type FrameKind, type FrameMeta, noHash } from '@sluice/model';
import type { StoredFrame } from '@sluice/runtime';
import { answerQuestion } from './questions.ts';
import { openStore, type Store } from './store.ts';

const dir = mkdtempSync(join(tmpdir(), 'sl-'));
let store: Store;
before(async () => {
  store = await openStore({ kind: 'embedded', dir });
});
after(async () => {
  await store.close();
  rmSync(dir, { recursive: true, force: true });
});

const everyByte = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
const callId = (n: number): string => `01a20850-635b-7dcb-abe1-${String(n).padStart(12, '0')}`;

const asked = (effect: 'allow' | 'deny', agent = 'demo'): FrameMeta['call'] => ({
  agent: { name: agent, issuer: 'i', groups: [] },
  connection: 'c',
  attributes: {
    kind: 'resource',
    verb: 'patch',
    apiGroup: 'apps',
    version: 'v1',
    resource: 'deployments',
    subresource: 'scale',
    namespace: 'n',
    name: 'web',
  },
  method: 'PATCH',
  target: '/x',
  userAgent: '',
  digest: '',
  body: null,
  decision: {
    effect,
    policy: 'p',
    rule: 'r',
    reasonCode: effect === 'allow' ? 'AllowedByRule' : 'DeniedByRule',
    reason: '',
    authority: 1,
    policyVersion: '',
    impersonate: null,
  },
});
const ended = (outcome: FrameMeta['outcome']['outcome'], status: number): FrameMeta['outcome'] => ({
  outcome,
  status,
  reasonCode: outcome === 'refused' ? 'DeniedByRule' : outcome === 'cut' ? 'ResponseWithheld' : '',
  body: null,
  sha256: '',
  durationMicros: 1,
});

let streamSeq = 0;
function stored<K extends Exclude<FrameKind, 'unknown'>>(
  ledger: string,
  seq: number,
  call: string,
  kind: K,
  meta: FrameMeta[K],
  bytes = everyByte,
): StoredFrame {
  const { message } = encodeFrame({
    ledger,
    seq,
    call,
    session: '0'.repeat(32),
    atMicros: 1_795_435_787_932_000 + seq * 1_000_000,
    kind,
    offset: 0,
    meta: JSON.stringify(meta),
    prev: noHash,
    bytes,
  });
  return {
    stream: kind === 'response' ? 'bytes' : 'calls',
    streamSeq: ++streamSeq,
    storedAtMicros: 1_795_435_787_932_123,
    message,
  };
}

test('every byte comes back, and what comes twice is stored once', async () => {
  const frame = stored('l1', 1, callId(1), 'call', asked('allow'));
  await store.insert([frame, frame]);
  await store.insert([frame]);
  const rows = await store.frames(callId(1), { ledger: '', seq: 0 }, 10);
  assert.equal(rows.length, 1);
  assert.deepEqual(Buffer.from(rows[0]?.bytesBase64 ?? '', 'base64'), everyByte);
  assert.equal(rows[0]?.at, '2026-11-23T12:09:48.932Z');
  assert.equal(rows[0]?.storedAtMicros, 1_795_435_787_932_123);
});

test('calls are rows, newest first: one that runs, one that was refused, one that was cut', async () => {
  await store.insert([
    stored('l2', 1, callId(11), 'call', asked('allow', 'lister')),
    stored('l2', 2, callId(12), 'call', asked('deny', 'lister')),
    stored('l2', 3, callId(12), 'outcome', ended('refused', 403)),
    stored('l2', 4, callId(13), 'call', asked('allow', 'lister')),
    stored('l2', 5, callId(13), 'outcome', ended('cut', 502)),
  ]);
  const rows = await store.calls({ agent: 'lister', limit: 10 });
  assert.deepEqual(
    rows.map(({ id, effect, reasonCode, status, outcome }) => [id, effect, reasonCode, status, outcome]),
    [
      [callId(13), 'allow', 'ResponseWithheld', 502, 'cut'],
      [callId(12), 'deny', 'DeniedByRule', 403, 'refused'],
      [callId(11), 'allow', 'AllowedByRule', null, null],
    ],
  );
  const { resource, namespace, name, task, verb } = rows[0] ?? assert.fail();
  assert.deepEqual(
    { resource, namespace, name, task, verb },
    { resource: 'deployments.apps/scale', namespace: 'n', name: 'web', task: null, verb: 'patch' },
  );
  assert.equal((await store.calls({ agent: 'lister', effect: 'deny', limit: 10 })).length, 1);
  assert.equal((await store.calls({ agent: 'lister', limit: 1 })).length, 1);
  assert.equal((await store.calls({ agent: 'lister', sinceMs: 1_795_435_791_900, limit: 10 })).length, 1);
  assert.equal((await store.calls({ agent: "x' OR 1=1 --", limit: 10 })).length, 0);
});

test('what is no frame, or whose hash does not hold, goes to quarantine and blocks nothing', async () => {
  const good = stored('l3', 1, callId(21), 'call', asked('allow'));
  const forged = { ...good, message: Buffer.from(good.message) };
  forged.message[forged.message.length - 1] = 0;
  const placeless = stored('l3', 0, callId(21), 'call', asked('allow'));
  assert.equal(await store.insert([{ ...good, message: Buffer.from('poison') }, forged, placeless, good]), 3);
  assert.equal((await store.frames(callId(21), { ledger: '', seq: 0 }, 10)).length, 1);
});

test('after a restart the store knows what it has, gaps too', async () => {
  const first = stored('l4', 1, callId(31), 'call', asked('allow'));
  const third = stored('l4', 3, callId(31), 'outcome', ended('completed', 200));
  await store.insert([first, third]);
  await store.close();
  store = await openStore({ kind: 'embedded', dir });
  await store.insert([first, stored('l4', 2, callId(31), 'response', { status: 200, contentType: 't' }), third]);
  assert.deepEqual(
    (await store.frames(callId(31), { ledger: '', seq: 0 }, 10)).map(({ seq }) => seq),
    [1, 2, 3],
  );
});

test('an answer holds what fits one message, and says that there is more', async () => {
  const big = Buffer.alloc(600_000, 1);
  const meta = { status: 200, contentType: 't' };
  await store.insert([1, 2, 3, 4].map((seq) => stored('l5', seq, callId(41), 'response', meta, big)));
  const seqs: number[] = [];
  for (let more = true; more; ) {
    const answer = await answerQuestion(store, {
      kind: 'frames',
      call: callId(41),
      after: { ledger: 'l5', seq: seqs.at(-1) ?? 0 },
    });
    assert.ok(answer.kind === 'frames');
    assert.ok(JSON.stringify(answer).length < 3_000_000);
    seqs.push(...answer.frames.map(({ seq }) => seq));
    more = answer.more;
  }
  assert.deepEqual(seqs, [1, 2, 3, 4]);
});
