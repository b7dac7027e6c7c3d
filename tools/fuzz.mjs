// npm run fuzz [-- TARGET…]: mutates the corpora of all targets, or of these, and stops at a finding. A target is exported by a
// `*.fuzz.ts` file beside the code that it fuzzes.
//
//   --seconds N   for each target; 60 by default
//   --seed N      makes the inputs of an earlier run again
import { globSync, mkdirSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { runChild } from './child.mjs';
import { ensurePackages, main, node, root, SetupError } from './setup.mjs';

await main(async () => {
  await ensurePackages();
  // Targets are TypeScript, which the machine's own Node may not read.
  if (Number.parseInt(process.versions.node, 10) < 24) {
    return runChild(node(), [import.meta.filename, ...process.argv.slice(2)], process.env);
  }
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      seconds: { type: 'string', default: '60' },
      seed: { type: 'string', default: String(Date.now() % 1e9) },
    },
  });
  const [seconds, seed] = [Number(values.seconds), Number(values.seed)];
  if (!(seconds > 0) || !Number.isInteger(seed)) throw new SetupError('--seconds and --seed take a number');
  const targets = await findTargets();
  const unknown = positionals.find((name) => !targets.has(name));
  if (unknown !== undefined) {
    throw new SetupError(`there is no target ${unknown}, but ${[...targets.keys()].join(', ')}`);
  }
  const { fuzz } = await import(pathToFileURL(join(root, 'libs/testing/src/fuzz.ts')).href);
  for (const [name, target] of targets) {
    if (positionals.length > 0 && !positionals.includes(name)) continue;
    const end = performance.now() + seconds * 1000;
    try {
      const { runs, outcomes } = await fuzz(target, seed, () => performance.now() >= end);
      console.log(`${name}: ${runs} inputs, ${outcomes} outcomes, seed ${seed}`);
    } catch (error) {
      console.error(error);
      if (error.input !== undefined) console.error(`written to ${write(name, error.input)}`);
      return 1;
    }
  }
  return 0;
});

async function findTargets() {
  const targets = new Map();
  for (const file of globSync('{libs,services}/*/src/**/*.fuzz.ts', { cwd: root })) {
    for (const target of Object.values(await import(pathToFileURL(join(root, file)).href)))
      targets.set(target.name, target);
  }
  return targets;
}

/** Beside what else is made in the checkout; into a corpus it goes by hand, with a name that says what it was. */
function write(name, input) {
  const folder = join(root, '.sluice', 'fuzz');
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${name}.hex`);
  writeFileSync(file, `${input.toString('hex')}\n`);
  return relative(process.cwd(), file);
}
