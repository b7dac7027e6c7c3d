import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { reasons } from '../libs/model/src/index.ts';
import { detectorsPage, reasonsPage, renderDetectors, renderReasons } from './docs.ts';

const root = resolve(import.meta.dirname, '..');
const read = (file: string): string => readFileSync(join(root, file), 'utf8');

test('the page of reason codes is what the registry says; `npm run docs` writes it anew', () => {
  assert.equal(read(reasonsPage), renderReasons());
});

test('so is the page of detectors', () => {
  assert.equal(read(detectorsPage), renderDetectors());
});

test('every reason code is given somewhere, and drawn in the lifecycle', () => {
  const code = globSync('services/*/src/**/*.ts', { cwd: root })
    .filter((file) => !file.endsWith('.test.ts'))
    .map(read)
    .join('\n');
  const drawing = read('docs/lifecycle.md').replaceAll('-\n', '');
  for (const reason of Object.keys(reasons)) {
    assert.ok(code.includes(`'${reason}'`), `${reason} is never given`);
    if (!reason.startsWith('AllowedBy'))
      assert.ok(drawing.includes(`\`${reason}\``), `${reason} is not in docs/lifecycle.md`);
  }
});

test('each test that the lifecycle names is there', () => {
  const rows = [...read('docs/lifecycle.md').matchAll(/`([\w-]+\.test\.ts)`: (.+) \|$/gm)];
  assert.ok(rows.length > 0);
  for (const [, file = '', name = ''] of rows) {
    const [path = file] = globSync(`{services/*/src,e2e}/**/${file}`, { cwd: root });
    assert.ok(read(path).includes(name), `${file} has no test "${name}"`);
  }
});

test('the README names only commands, files and flags that are there', () => {
  const readme = read('README.md');
  for (const [, link] of readme.matchAll(/\]\(([^)]+)\)/g))
    assert.ok(globSync(link ?? '', { cwd: root }).length > 0, link);
  const scripts = (JSON.parse(read('package.json')) as { scripts: Record<string, string> }).scripts;
  for (const [, script = ''] of readme.matchAll(/npm run (\w+)/g)) assert.ok(script in scripts, script);
  const cli = read('cli/src/main.ts');
  for (const [, command = ''] of readme.matchAll(/--no-install sluice (\w+)/g))
    assert.ok(cli.includes(`'${command}'`), command);
});
