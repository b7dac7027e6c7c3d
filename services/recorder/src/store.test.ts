import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { decodeFrame, noCall, noHash, noSession } from '@sluice/model';
import type { StoredFrame } from '@sluice/runtime';
import { asked, callId, ended, everyByte, sessionId, stored } from './fixtures.ts';
import type { Link } from './ledgers.ts';
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
/** A ledger as a writer makes it: each frame names the one before. */
function chain(ledger: string, length: number): { readonly link: Link; readonly frame: StoredFrame }[] {
  const frames: { readonly link: Link; readonly frame: StoredFrame }[] = [];
  for (let seq = 1; seq <= length; seq++) {
    const before = frames.at(-1)?.frame.message;
    const prev = before === undefined ? noHash : decodeFrame(before).hash;
    const frame = stored({
      ledger,
      seq,
      prev,
      call: callId(41),
      kind: 'response',
      meta: { status: 200, contentType: 't' },
    });
    frames.push({ frame, link: { ledger, seq, prev: Buffer.from(prev).toString('hex'), hash: hashOf(frame) } });
  }
  return frames;
}
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
  const { fresh, quarantined } = await store.insert([
    { ...good, message: Buffer.from('poison') },
    forged,
    placeless,
    good,
  ]);
  assert.deepEqual([fresh.length, quarantined], [1, 3]);
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

test('after a restart a ledger is known up to its head, and what is behind a gap with it', async () => {
  const whole = chain('whole', 3);
  const gappy = chain('gappy', 7).filter(({ link }) => [1, 2, 5, 7].includes(link.seq));
  const headless = chain('headless', 3).slice(1);
  await store.insert([...whole, ...gappy, ...headless].map(({ frame }) => frame));
  for (const reopened of [false, true]) {
    if (reopened) {
      await store.close();
      store = await openStore({ kind: 'embedded', dir });
    }
    const known = store.ledgersKnown();
    assert.deepEqual(known.head('whole'), { ledger: 'whole', seq: 3, hash: whole[2]?.link.hash });
    assert.deepEqual(known.head('gappy'), { ledger: 'gappy', seq: 2, hash: gappy[1]?.link.hash });
    assert.deepEqual(known.missing('gappy'), [
      [3, 4],
      [6, 6],
    ]);
    assert.equal(known.head('headless').seq, 0);
    assert.ok(store.hasUpTo('whole', 3) && !store.hasUpTo('gappy', 3));
  }
});

test('the same frame again is nothing new; another one at its place goes to quarantine, also below the head', async () => {
  const [first, second] = chain('twice', 2);
  assert.ok(first !== undefined && second !== undefined);
  await store.insert([first.frame, second.frame]);
  const forged = stored({ ledger: 'twice', seq: 1, call: callId(1), kind: 'outcome', meta: ended('completed', 200) });
  const { fresh, repeated, quarantined } = await store.insert([forged, first.frame]);
  assert.deepEqual([fresh.length, repeated.length, quarantined], [0, 1, 1]);
});

test('a frame that comes twice in one batch, and is connected there, is a repeat and no conflict', async () => {
  const [first, second] = chain('at once', 2);
  assert.ok(first !== undefined && second !== undefined);
  const { fresh, repeated, quarantined } = await store.insert([first, second, first, second].map(({ frame }) => frame));
  assert.deepEqual([fresh.length, repeated.length, quarantined], [2, 2, 0]);
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
  assert.deepEqual(await store.closedLedgers(), new Map());
  const place = { ledger: 'recorder-2-1', call: noCall, session: noSession, bytes: Buffer.alloc(0) };
  await store.insert([
    stored({ ...place, seq: 1, kind: 'ledger-closed', meta: closed }),
    stored({ ...place, seq: 2, kind: 'closed', meta: { cause: 'drained' } }),
  ]);
  assert.deepEqual(await store.closedLedgers(), new Map([['dead', 4]]));
});
