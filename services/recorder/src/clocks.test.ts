import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Clocks, type Skew, type Stored } from './clocks.ts';

const epochMs = 1_795_435_787_932;

/** A call of a writer: when the broker stored it, seconds from the epoch, and what the writer's clock said then. */
function call(storedS: number, offMs: number, more: Partial<Stored> = {}): Stored {
  const storedAtMicros = (epochMs + storedS * 1000) * 1000;
  return { ledger: 'ingress-1-0', kind: 'call', atMicros: storedAtMicros + offMs * 1000, storedAtMicros, ...more };
}

function said(...frames: readonly Stored[]): Skew[] {
  return new Clocks().skewsIn(frames, 0);
}

test('a frame that was stored before its writer wrote it tells of a clock that is ahead', () => {
  assert.deepEqual(said(call(0, 2_000)), []);
  assert.deepEqual(said(call(0, 2_001)), [{ writer: 'ingress-1', aheadMs: 2_001 }]);
  assert.deepEqual(said(call(0, 300_000, { kind: 'outcome' })), [{ writer: 'ingress-1', aheadMs: 300_000 }]);
});

test('calls that are late by the same again and again tell of a clock that is behind', () => {
  assert.deepEqual(said(call(0, -300_000), call(4, -300_000)), []);
  assert.deepEqual(said(call(0, -300_000), call(4, -300_000), call(6, -300_500)), [
    { writer: 'ingress-1', aheadMs: -300_500 },
  ]);
});

test('frames that waited for the broker tell nothing: each is late by less than the one before', () => {
  const waited = [0, 1, 2, 3, 4, 5, 6].map((s) => call(60 + s, -60_000 + s * 3_000));
  assert.deepEqual(said(...waited, call(70, -5)), []);
  const bodies = [0, 10, 20].map((s) => call(s, -40_000, { kind: 'response' }));
  assert.deepEqual(said(...bodies), []);
});

test('a call in time between two late ones tells that it is not the clock', () => {
  assert.deepEqual(said(call(0, -40_000), call(1, -10), call(10, -40_000)), []);
});

test('it is said once a writer and minute, of its next ledger, too', () => {
  const clocks = new Clocks();
  const writers = (nowMs: number, ...frames: readonly Stored[]): string[] =>
    clocks.skewsIn(frames, nowMs).map(({ writer }) => writer);
  const other = call(0, 5_000, { ledger: 'ingress-2-0' });
  assert.deepEqual(writers(0, call(0, 5_000), call(1, 5_000), other), ['ingress-1', 'ingress-2']);
  assert.deepEqual(writers(59_999, call(2, 5_000, { ledger: 'ingress-1-1' })), []);
  assert.deepEqual(writers(60_000, call(3, 5_000)), ['ingress-1']);
});
