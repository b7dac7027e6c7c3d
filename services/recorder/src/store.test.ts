import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { decodeFrame, noCall, noSession } from '@sluice/model';
import { asked, callId, ended, everyByte, sessionId, stored } from './fixtures.ts';
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

const call = (ledger: string, seq: number, n: number) =>
  stored({ ledger, seq, call: callId(n), session: sessionId(n), kind: 'call', meta: asked('allow') });
const outcome = (ledger: string, seq: number, n: number) =>
  stored({
    ledger,
    seq,
    call: callId(n),
    session: sessionId(n),
    kind: 'outcome',
    meta: ended('completed', 200),
    bytes: Buffer.alloc(0),
  });
const response = (ledger: string, seq: number, n: number) =>
  stored({ ledger, seq, call: callId(n), kind: 'response', meta: { status: 200, contentType: 't' } });
const hashOf = (frame: { readonly message: Uint8Array }): string =>
  Buffer.from(decodeFrame(frame.message).hash).toString('hex');
const framesOf = async (n: number) => (await store.frames({ call: callId(n), after: null })).rows;

test('every byte comes back, and what comes twice is stored once', async () => {
  const frame = call('l1', 1, 1);
  await store.insert([frame, frame]);
  await store.insert([frame]);
  const rows = await framesOf(1);
  assert.equal(rows.length, 1);
  assert.deepEqual(Buffer.from(rows[0]?.bytesBase64 ?? '', 'base64'), everyByte);
  assert.equal(rows[0]?.at, '2026-11-23T12:09:48.932Z');
  assert.equal(rows[0]?.storedAtMicros, 1_795_435_787_932_123);
});

test('what is no frame, or whose hash does not hold, goes to quarantine and blocks nothing', async () => {
  const good = call('l3', 1, 21);
  const forged = { ...good, message: Buffer.from(good.message) };
  forged.message[forged.message.length - 1] = 0;
  const placeless = call('l3', 0, 21);
  assert.equal(await store.insert([{ ...good, message: Buffer.from('poison') }, forged, placeless, good]), 3);
  assert.equal((await framesOf(21)).length, 1);
});

test('after a restart the store knows what it has, gaps too', async () => {
  const first = call('l4', 1, 31);
  const third = outcome('l4', 3, 31);
  await store.insert([first, third]);
  await store.close();
  store = await openStore({ kind: 'embedded', dir });
  await store.insert([first, response('l4', 2, 31), third]);
  assert.deepEqual(
    (await framesOf(31)).map(({ seq }) => seq),
    [1, 2, 3],
  );
});

test('a head is the last frame that is connected with the first, and what is behind a gap is named', async () => {
  const whole = [1, 2, 3].map((seq) => response('heads-whole', seq, 41));
  const gappy = [1, 2, 5, 7].map((seq) => response('heads-gappy', seq, 41));
  const headless = [2, 3].map((seq) => response('heads-none', seq, 41));
  await store.insert([...whole, ...gappy, ...headless]);
  const heads = (await store.heads()).filter(({ ledger }) => ledger.startsWith('heads-'));
  assert.deepEqual(heads, [
    { ledger: 'heads-gappy', seq: 2, hash: hashOf(gappy[1] ?? assert.fail()), above: [5, 7] },
    { ledger: 'heads-none', seq: 0, hash: '', above: [2, 3] },
    { ledger: 'heads-whole', seq: 3, hash: hashOf(whole[2] ?? assert.fail()), above: [] },
  ]);
});

test('hashes are given of those positions that are there, and of that ledger alone', async () => {
  const frames = [1, 2, 3].map((seq) => response('hashes', seq, 51));
  await store.insert([...frames, response('hashes-other', 4, 51)]);
  const [first, , third] = frames.map(hashOf);
  assert.deepEqual(
    await store.hashesOf('hashes', [1, 3, 4]),
    new Map([
      [1, first],
      [3, third],
    ]),
  );
});

test('calls are open until their outcome is there, in whatever ledger', async () => {
  await store.insert([
    call('i-1-1', 1, 61),
    call('i-1-1', 2, 62),
    call('i-1-1', 3, 63),
    call('i-1-1', 4, 64),
    outcome('i-1-1', 5, 61),
    outcome('i-1-2', 1, 62),
    outcome('recorder-1-1', 1, 63),
    // Another process, whose name begins as this one's does.
    call('i-10-1', 1, 65),
  ]);
  assert.deepEqual(await store.openCalls('i-1'), [{ call: callId(64), session: sessionId(64) }]);
});

test('closed are the ledgers that a recorder has written of', async () => {
  const closed = {
    head: { ledger: 'dead', seq: 4, hash: '' },
    cause: 'lease-ended',
    missing: [],
    presumed: 0,
  } as const;
  assert.deepEqual(await store.closedLedgers(), new Set());
  const place = { ledger: 'recorder-2-1', call: noCall, session: noSession, bytes: Buffer.alloc(0) };
  await store.insert([
    stored({ ...place, seq: 1, kind: 'ledger-closed', meta: closed }),
    stored({ ...place, seq: 2, kind: 'closed', meta: { cause: 'drained' } }),
  ]);
  assert.deepEqual(await store.closedLedgers(), new Set(['dead']));
});
