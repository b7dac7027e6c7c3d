// Case 8 (second half) and case 36 (second half): questions about masked fields are not answered, and the cluster hears
// nothing of them.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { openScripted, reasonCode, removeScratch, type ScriptedCluster, Sluice, scratch } from '@sluice/testing';

const dir = scratch();
const core = '/api/v1/namespaces/shop';
const databases = '/apis/example.com/v1/namespaces/shop/databases';
let cluster: ScriptedCluster;
let sluice: Sluice;

before(async () => {
  cluster = await openScripted(dir);
  const policies = join(import.meta.dirname, 'policies', 'everything-masked.yaml');
  sluice = await Sluice.start({
    home: join(dir, 'home'),
    flags: ['--kubeconfig', cluster.kubeconfig, '--policies', policies],
  });
});

after(async () => {
  await sluice?.stop();
  await cluster?.close();
  removeScratch(dir);
});

beforeEach(() => {
  cluster.requests.length = 0;
});

async function patched(path: string, operations: readonly object[]): Promise<string> {
  const type = { 'content-type': 'application/json-patch+json' };
  const answered = await sluice.call('PATCH', path, JSON.stringify(operations), type);
  if (answered.status === 200) return 'forwarded';
  assert.equal(answered.status, 403, answered.body);
  return reasonCode(answered);
}

const value = 'c29tZXRoaW5n';
const patches: readonly (readonly [what: string, path: string, operation: object, outcome: string])[] = [
  ['a test of a value', `${core}/secrets/web`, { op: 'test', path: '/data/password', value }, 'PatchReadsMasked'],
  [
    'a test of all values',
    `${core}/secrets/web`,
    { op: 'test', path: '/data', value: { password: value } },
    'PatchReadsMasked',
  ],
  [
    'a test of the whole object',
    `${core}/secrets/web`,
    { op: 'test', path: '', value: { data: { a: value } } },
    'PatchReadsMasked',
  ],
  [
    'a copy to an annotation',
    `${core}/secrets/web`,
    { op: 'copy', from: '/data/a', path: '/metadata/annotations/a' },
    'PatchReadsMasked',
  ],
  [
    'a move to a label',
    `${core}/secrets/web`,
    { op: 'move', from: '/data/a', path: '/metadata/labels/a' },
    'PatchReadsMasked',
  ],
  ['an escaped path', `${core}/secrets/web`, { op: 'test', path: '/data/tls~1key', value }, 'PatchReadsMasked'],
  [
    'a test of an environment variable',
    `${core}/pods/web`,
    { op: 'test', path: '/spec/containers/0/env/0/value', value: 'x' },
    'PatchReadsMasked',
  ],
  [
    'a test of a field of a rule',
    `${databases}/web`,
    { op: 'test', path: '/spec/connection/passphrase', value: 'x' },
    'PatchReadsMasked',
  ],
  [
    'a test of a key of a rule',
    `${databases}/web`,
    { op: 'test', path: '/spec/main-dsn', value: 'x' },
    'PatchReadsMasked',
  ],
  ['an operation nobody knows', `${core}/secrets/web`, { op: 'look', path: '/data/a' }, 'PatchReadsMasked'],
  [
    'a test of the version',
    `${core}/secrets/web`,
    { op: 'test', path: '/metadata/resourceVersion', value: '7' },
    'forwarded',
  ],
  ['a value that is replaced', `${core}/secrets/web`, { op: 'replace', path: '/data/password', value }, 'forwarded'],
  ['a value that is removed', `${core}/secrets/web`, { op: 'remove', path: '/data/password' }, 'forwarded'],
];

for (const [what, path, operation, outcome] of patches) {
  test(`by JSON patch: ${what}: ${outcome}`, async () => {
    assert.equal(await patched(path, [operation]), outcome);
    assert.equal(cluster.requests.length, outcome === 'forwarded' ? 1 : 0);
  });
}

const selections: readonly (readonly [what: string, path: string, outcome: string])[] = [
  ['a value of Secrets', `${core}/secrets?fieldSelector=data.password%3Dx`, 'SelectorReadsMasked'],
  [
    'what is left out of Secrets',
    `${core}/secrets?fieldSelector=data.password!%3Dx,type%3DOpaque`,
    'SelectorReadsMasked',
  ],
  ['a field of a rule', `${databases}?fieldSelector=spec.connection.passphrase%3Dx`, 'SelectorReadsMasked'],
  ['the name', `${core}/secrets?fieldSelector=metadata.name%3Dweb`, 'forwarded'],
  ['another field', `${databases}?fieldSelector=spec.size%3D3`, 'forwarded'],
  ['labels', `${core}/secrets?labelSelector=owner%3Dhelm`, 'forwarded'],
];

for (const [what, path, outcome] of selections) {
  test(`by selector: ${what}: ${outcome}`, async () => {
    const answered = await sluice.call('GET', path);
    assert.equal(answered.status === 200 ? 'forwarded' : reasonCode(answered), outcome);
    assert.equal(cluster.requests.length, outcome === 'forwarded' ? 1 : 0);
  });
}
