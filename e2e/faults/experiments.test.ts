// Each fault experiment with five seeds, or as many as make it complete, which go on with every commit; `npm run faults` makes more of them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { experiments } from './experiments.ts';
import { type Outcome, plan, runWorld, sentence } from './harness.ts';
import { commit } from './world.ts';

const seeds = 5;
/** Many runs, and each waits for leases to end. */
const timeoutMs = 1_800_000;
const first = Number.parseInt(commit().slice(0, 7) || '0', 16);

for (const [experiment, { title, seeds: complete = seeds }] of experiments) {
  test(`experiment ${experiment}, ${title}: the invariants hold`, { timeout: timeoutMs }, async (t) => {
    const outcomes: Outcome[] = [];
    for (const planned of plan(experiment, first, complete)) {
      outcomes.push(...(await runWorld(planned, (line) => t.diagnostic(line))));
    }
    const found = outcomes.flatMap(({ seed, violations }) => violations.map((one) => `${seed}: ${sentence(one)}`));
    assert.deepEqual(found, []);
    assert.equal(outcomes.length, complete);
  });
}
