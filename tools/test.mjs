// npm test [-- FILES]: all tests, or these. The last line is `N passed, N failed, N skipped`.
//
// SLUICE_TEST_TOTALS=FILE   also appends those numbers to FILE, one JSON object a line
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { runChild } from './child.mjs';
import { ensurePackages, main, node, root, withServers } from './setup.mjs';

const unitTests = ['libs/*/src/**/*.test.ts', 'services/*/src/**/*.test.ts', 'cli/src/**/*.test.ts', 'tools/*.test.ts'];
const endToEndTests = ['e2e/**/*.test.ts'];
/** A test that hangs fails, rather than the whole run; a file that leaves something open is ended with its tests. */
const timeoutMs = 600_000;
/** Files at once. Most of the time they wait for servers, */
const atOnce = 2 * availableParallelism();
/** and each of these for a whole Sluice of its own, which keeps a processor busy. */
const sluicesAtOnce = Math.min(availableParallelism(), 4);

await main(async () => {
  await ensurePackages();
  process.chdir(root);
  const env = await withServers();
  const given = process.argv.slice(2).map((file) => relative(root, resolve(file)));
  const isEndToEnd = (file) => file.startsWith('e2e/');
  const unit = given.length === 0 ? unitTests : given.filter((file) => !isEndToEnd(file));
  const endToEnd = given.length === 0 ? endToEndTests : given.filter(isEndToEnd);

  const runs = [
    ...(unit.length === 0 ? [] : [await run(unit, atOnce, env)]),
    ...(endToEnd.length === 0 ? [] : [await run(endToEnd, sluicesAtOnce, env)]),
  ];
  const sum = (key) => runs.reduce((total, counts) => total + counts[key], 0);
  const totals = { passed: sum('passed'), failed: sum('failed'), skipped: sum('skipped') };
  if (process.env.SLUICE_TEST_TOTALS) appendFileSync(process.env.SLUICE_TEST_TOTALS, `${JSON.stringify(totals)}\n`);
  console.log(`\n${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
  // On a machine of one's own a test may be left out; where it guards a change, it may not.
  const isComplete = process.env.CI !== 'true' || totals.skipped === 0;
  return totals.passed > 0 && totals.failed === 0 && isComplete ? 0 : 1;
});

/** One run of the runner. A runner that breaks off, or has nothing to run, is a failure. */
async function run(files, concurrency, env) {
  const scratch = mkdtempSync(join(tmpdir(), 'sluice-test-'));
  const totals = join(scratch, 'totals.json');
  try {
    const reporters = [
      '--test-reporter=spec',
      '--test-reporter-destination=stdout',
      `--test-reporter=${join(root, 'tools', 'totals.mjs')}`,
      `--test-reporter-destination=${totals}`,
    ];
    const code = await runChild(
      node(),
      [
        '--test',
        `--import=${pathToFileURL(join(root, 'tools', 'end-tests.mjs'))}`,
        `--test-timeout=${timeoutMs}`,
        `--test-concurrency=${concurrency}`,
        ...reporters,
        ...files,
      ],
      env,
    );
    const counts = readTotals(totals);
    for (const file of counts.empty) console.log(`${file} holds no test`);
    const isEmpty = counts.passed + counts.failed + counts.skipped === 0;
    if (isEmpty) console.log(`no test in ${files.join(' ')}`);
    return (code === 0 && !isEmpty) || counts.failed > 0 ? counts : { ...counts, failed: 1 };
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function readTotals(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return { passed: 0, failed: 1, skipped: 0, empty: [] };
  }
}
