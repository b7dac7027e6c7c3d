import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HeldFrames } from './held-frames.ts';

test('a thousand refused frames are offered one at a time, less and less often', () => {
  const held = new HeldFrames();
  for (let token = 1; token <= 1_000; token++) held.notTaken(token, 0);
  const offers: [nowMs: number, token: number][] = [];
  for (let nowMs = 0; nowMs <= 10_000; nowMs += 50) {
    for (const token of held.next(nowMs)) {
      offers.push([nowMs, token]);
      held.notTaken(token, nowMs);
    }
  }
  assert.deepEqual(offers, [
    [250, 1],
    [750, 1],
    [1_750, 1],
    [3_750, 1],
    [5_750, 1],
    [7_750, 1],
    [9_750, 1],
  ]);
});

test('when the broker takes one, the rest go in their order, twice as many each time', () => {
  const held = new HeldFrames();
  for (const token of [2, 3, 1]) held.notTaken(token, 0);
  for (let token = 4; token <= 10; token++) held.add(token);
  const rounds: (readonly number[])[] = [];
  for (let round = held.next(250); round.length > 0; round = round.flatMap((token) => held.taken(token, 250)))
    rounds.push(round);
  assert.deepEqual(rounds, [[1], [2, 3], [4, 5, 6, 7], [8, 9, 10]]);
  assert.ok(held.isEmpty);
});

test('a store that fills up again while they go is left alone until the pause is over', () => {
  const held = new HeldFrames();
  for (let token = 1; token <= 6; token++) held.notTaken(token, 0);
  assert.deepEqual(held.next(250), [1]);
  assert.deepEqual(held.taken(1, 251), [2, 3]);
  held.notTaken(3, 252);
  assert.deepEqual(held.taken(2, 253), [], 'what is on its way may end, but nothing follows');
  assert.deepEqual(held.next(501), []);
  assert.deepEqual(held.next(502), [3], 'the oldest again');
});

test('an ack that comes late counts, and nothing is offered while one is on its way', () => {
  const held = new HeldFrames();
  held.notTaken(1, 0);
  held.add(2);
  assert.deepEqual(held.next(250), [1]);
  assert.deepEqual(held.next(9_999), []);
  held.notTaken(1, 10_000);
  assert.deepEqual(held.taken(1, 20_000), [2]);
  assert.ok(!held.isEmpty);
  assert.deepEqual(held.taken(2, 20_000), []);
  assert.ok(held.isEmpty);
});

test('a frame that goes unanswered and is refused late is held once, and is gone when it is taken', () => {
  const held = new HeldFrames();
  held.notTaken(1, 0);
  held.notTaken(2, 0);
  held.notTaken(1, 10);
  held.add(2);
  assert.deepEqual(held.taken(1, 300), [2]);
  assert.deepEqual(held.taken(2, 300), []);
  assert.ok(held.isEmpty);
});
