import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

const reporter = join(import.meta.dirname, 'totals.mjs');

/** What the reporter says of a run of these files. */
function totalsOf(files: Readonly<Record<string, string>>): unknown {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-totals-'));
  try {
    for (const [file, text] of Object.entries(files)) {
      writeFileSync(join(folder, file), `import { describe, test } from 'node:test';\n${text}\n`);
    }
    // The runner tells its children by the environment that they are such; this one is not.
    const env = { PATH: process.env['PATH'] };
    const args = ['--test', `--test-reporter=${reporter}`, ...Object.keys(files)];
    return JSON.parse(spawnSync(process.execPath, args, { cwd: folder, env, encoding: 'utf8' }).stdout);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('every test counts once, and a suite does not count', () => {
  const totals = totalsOf({
    'a.test.mjs': `describe('outer', () => { describe('inner', () => { test('one', () => {}); test('two', () => {}); }); });`,
    'b.test.mjs': `test('three', () => {});`,
  });
  assert.deepEqual(totals, { passed: 3, failed: 0, skipped: 0, empty: [] });
});

test('what fails, breaks off or was cancelled has failed; what is skipped or left to do was skipped', () => {
  const totals = totalsOf({
    'fails.test.mjs': `test('fails', () => { throw new Error(); });`,
    'breaks.test.mjs': 'process.exit(1);',
    'late.test.mjs': `test('late', { timeout: 1 }, () => new Promise((done) => setTimeout(done, 500)));`,
    'skips.test.mjs': `test('skipped', { skip: true }, () => {}); test('to do', { todo: true }, () => {});`,
  });
  assert.deepEqual(totals, { passed: 0, failed: 3, skipped: 2, empty: [] });
});

test('a file without a test has failed', () => {
  const totals = totalsOf({ 'empty.test.mjs': '', 'full.test.mjs': `test('one', () => {});` });
  assert.deepEqual(totals, { passed: 1, failed: 1, skipped: 0, empty: ['empty.test.mjs'] });
});
