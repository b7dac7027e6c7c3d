import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
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

test('each link of a page leads to a file, and to a heading of it', () => {
  const pages = globSync('{*.md,docs/**/*.md}', { cwd: root });
  assert.ok(pages.length > 20);
  for (const page of pages) {
    const text = read(page).replaceAll(/^```.*?^```$/gms, '');
    for (const [, link = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(link)) continue;
      const [file = '', anchor] = link.split('#');
      const target = file === '' ? page : join(dirname(page), file);
      assert.ok(existsSync(join(root, target)), `${page}: ${link}`);
      if (anchor !== undefined) assert.ok(anchorsOf(read(target)).includes(anchor), `${page}: ${link}`);
    }
  }
});

/** As they are made of headings where pages are shown. */
function anchorsOf(text: string): string[] {
  const headings = [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => heading.toLowerCase());
  return headings.map((heading) => heading.replaceAll(/[^\w\- ]/g, '').replaceAll(' ', '-'));
}

test('the README names only commands and scripts that are there', () => {
  const readme = read('README.md');
  const scripts = (JSON.parse(read('package.json')) as { scripts: Record<string, string> }).scripts;
  for (const [, script = ''] of readme.matchAll(/npm run (\w+)/g)) assert.ok(script in scripts, script);
  const cli = read('cli/src/main.ts');
  for (const [, command = ''] of readme.matchAll(/--no-install sluice (\w+)/g))
    assert.ok(cli.includes(`'${command}'`), command);
});
