import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SeenFrames } from './seen.ts';

const arrivals = fc.array(fc.tuple(fc.constantFrom('a', 'b'), fc.integer({ min: 1, max: 12 })), { maxLength: 60 });

test('in any order, with any repeats, each frame of each ledger is new once', () => {
  fc.assert(
    fc.property(arrivals, (frames) => {
      const seen = new SeenFrames();
      const taken = frames.filter(([ledger, seq]) => seen.add(ledger, seq)).map(([ledger, seq]) => `${ledger}${seq}`);
      const all = new Set(frames.map(([ledger, seq]) => `${ledger}${seq}`));
      assert.equal(taken.length, all.size);
      assert.deepEqual(new Set(taken), all);
    }),
  );
});

test('a ledger that was restored is known up to its last frame', () => {
  const seen = new SeenFrames();
  seen.restore('a', 5);
  assert.equal(seen.add('a', 5), false);
  assert.equal(seen.add('a', 6), true);
  assert.equal(seen.add('b', 1), true);
});
