// Each fault experiment with five seeds, or as many as make it complete, which go on with every commit; `npm run faults` makes more of them.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { experiments } from './experiments.ts';
import { type Outcome, plan, runWorld, sentence } from './harness.ts';
import { commit } from './world.ts';

const seeds = 5;
/** Many runs, and each waits for leases to end. */
const timeoutMs = 1_800_000;
const first = Number.parseInt(commit().slice(0, 7) || '0', 16);

// Each has a world of its own, which waits most of its time. Those with a database server hold the one database that this
// process can have open.
for (const [database, concurrency] of [
  ['embedded', 2],
  ['server', 1],
] as const) {
  const chosen = [...experiments].filter(([, experiment]) => experiment.database === database);
  // The longest first: at the end it would run alone.
  chosen.sort(([, a], [, b]) => (b.seeds ?? seeds) - (a.seeds ?? seeds));
  void describe(`fault experiments, database: ${database}`, { concurrency }, () => {
    for (const [experiment, { title, seeds: complete = seeds }] of chosen) {
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
  });
}
