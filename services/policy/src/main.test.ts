import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('./main.ts', import.meta.url));

/** A directory with the demo policy's shape: one rule, whose effect is given. */
function policies(t: TestContext, effect: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-policies-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const text = `apiVersion: sluice.internal/v1alpha1
kind: AccessPolicy
metadata: { name: p }
spec:
  subjects: ["*"]
  obligations: { impersonate: { user: u, groups: [g] } }
  rules:
    - { effect: ${effect}, verbs: [get], resources: [pods] }
`;
  writeFileSync(join(directory, 'p.yaml'), text);
  writeFileSync(join(directory, 'notes.txt'), 'not a policy');
  return directory;
}

function check(directory: string): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [main], {
    env: { SLUICE_CHECK_ONLY: '1', SLUICE_POLICIES: directory, SLUICE_ISSUERS: 'sluice' },
    encoding: 'utf8',
  });
}

test('a check of good policies prints the identities they give and exits 0', (t) => {
  const { status, stdout, stderr } = check(policies(t, 'allow'));
  assert.deepEqual([status, stderr], [0, '']);
  assert.deepEqual(JSON.parse(stdout), [{ user: 'u', groups: ['g'] }]);
});

test('a check of a broken policy says file, line, column and what is wrong, and exits 1', (t) => {
  const directory = policies(t, 'ask');
  const { status, stdout, stderr } = check(directory);
  assert.deepEqual([status, stdout], [1, '']);
  assert.equal(stderr, `${join(directory, 'p.yaml')}:8:17: effect is allow or deny\n`);
});

test('a directory that is not there is one line and exit 1', () => {
  const { status, stderr } = check('/nowhere/at/all');
  assert.equal(status, 1);
  assert.match(stderr, /^cannot read the directory of policies \/nowhere\/at\/all; .*\n$/);
});
