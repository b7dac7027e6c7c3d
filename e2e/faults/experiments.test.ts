// Each fault experiment with five seeds, which go on with every commit; `npm run faults` makes more of them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { experiments } from './experiments.ts';
import { runsPerWorld, runWorld, sentence } from './harness.ts';
import { commit } from './world.ts';

const first = Number.parseInt(commit().slice(0, 7) || '0', 16);

for (const [experiment, { title }] of experiments) {
  test(`experiment ${experiment}, ${title}: the invariants hold`, async (t) => {
    const planned = Array.from({ length: runsPerWorld }, (_, at) => ({ experiment, seed: first + at }));
    const outcomes = await runWorld(planned, (line) => t.diagnostic(line));
    const found = outcomes.flatMap(({ seed, violations }) => violations.map((one) => `${seed}: ${sentence(one)}`));
    assert.deepEqual(found, []);
    assert.equal(outcomes.length, runsPerWorld);
  });
}
