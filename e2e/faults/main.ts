// npm run faults [-- --experiment N] [--seeds 200] [--seed S]: the fault experiments, each with so many seeds from S on.
import { parseArgs } from 'node:util';
import { experiments } from './experiments.ts';
import { experimentOf, faultsOf, type Outcome, plan, runWorld, sentence, table } from './harness.ts';
import { commit, versions } from './world.ts';

const { values } = parseArgs({
  options: {
    experiment: { type: 'string', multiple: true, default: [] },
    seeds: { type: 'string', default: '5' },
    seed: { type: 'string', default: '1' },
  },
});
const say = (line: string): void => void process.stdout.write(`${line}\n`);
const numbers = values.experiment.length === 0 ? [...experiments.keys()] : values.experiment.map(Number);

const outcomes: Outcome[] = [];
for (const experiment of numbers) {
  say(`\n${experiment}: ${experimentOf(experiment).title}`);
  for (const planned of plan(experiment, Number(values.seed), Number(values.seeds))) {
    for (const outcome of await runWorld(planned, say)) {
      outcomes.push(outcome);
      for (const violation of outcome.violations) say(`  seed ${outcome.seed}: ${sentence(violation)}`);
    }
  }
}
say(`\n${faultsOf(outcomes)}\n\n${table(outcomes)}\n`);
say([`commit ${commit()}`, ...Object.entries(versions()).map(([name, version]) => `${name} ${version}`)].join(', '));
process.exitCode = outcomes.some(({ violations }) => violations.length > 0) ? 1 : 0;
