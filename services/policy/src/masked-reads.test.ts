import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { DecisionRequest } from '@sluice/model';
import { Conditions } from './conditions.ts';
import { evaluate } from './evaluate.ts';
import { request, setOf } from './fixtures.ts';

const conditions = new Conditions();
after(() => conditions.stop());

const mask =
  '[{ resources: [widgets.example.com], paths: [".spec.users[*].password", "..token.value"], keys: ["*-dsn"] }]';
const resources = '[secrets, configmaps, deployments.apps, widgets.example.com]';

/** Why a call is refused; `AllowedByRule` where it is not. */
async function reasonOf(
  call: string,
  more: Partial<DecisionRequest>,
  body: string | null = null,
  rule = '{ effect: allow, verbs: ["*"], resources: RESOURCES }',
): Promise<string> {
  const set = setOf({ rules: [rule.replace('RESOURCES', resources)], obligations: `mask: ${mask}` });
  const grounds = { set, authority: 1, nowMs: 0, conditions: conditions.evaluate };
  return (await evaluate(grounds, request(call, more), body === null ? null : Buffer.from(body))).reasonCode;
}

const patched = (call: string, operations: unknown, rule?: string): Promise<string> =>
  reasonOf(`patch ${call}`, { body: 'json-patch' }, JSON.stringify(operations), rule);

const [secret, deployment, widget] = ['secrets shop/db', 'deployments.apps shop/web', 'widgets.example.com shop/w'];
const settings = 'configmaps shop/web';
const env = '/spec/template/spec/containers/0/env';
const applied = '/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration';

/** Of one operation: on what, and itself. */
const refused: readonly (readonly [string, object])[] = [
  [secret, { op: 'test', path: '/data/password', value: 'Z3Vlc3M=' }],
  [secret, { op: 'test', path: '/data', value: { password: 'Z3Vlc3M=' } }],
  [secret, { op: 'test', path: '', value: { data: { password: 'Z3Vlc3M=' } } }],
  [secret, { op: 'test', path: '/', value: { data: { password: 'Z3Vlc3M=' } } }],
  [secret, { op: 'test', path: '/stringData/password', value: null }],
  [secret, { op: 'test', path: '/data/password' }],
  [secret, { op: 'copy', from: '/data/password', path: '/metadata/annotations/a' }],
  [secret, { op: 'copy', from: '/data', path: '/metadata/annotations' }],
  [secret, { op: 'move', from: '/data/password', path: '/metadata/labels/a' }],
  [secret, { op: 'copy', from: '', path: '/metadata/annotations/a' }],
  [secret, { op: 'copy', from: '/', path: '/metadata/annotations/a' }],
  [secret, { op: 'test', path: applied, value: '{}' }],
  [secret, { op: 'test', path: '/metadata', value: { annotations: { [applied.slice(22).replace('~1', '/')]: '' } } }],
  [deployment, { op: 'test', path: `${env}/0/value`, value: 'guess' }],
  [deployment, { op: 'test', path: `${env}/-/value`, value: 'guess' }],
  [deployment, { op: 'test', path: `${env}/0`, value: { name: 'A', value: 'guess' } }],
  [deployment, { op: 'copy', from: `${env}/0/value`, path: '/metadata/labels/a' }],
  [deployment, { op: 'copy', from: `${env}/0`, path: '/metadata/labels/a' }],
  [deployment, { op: 'replace', path: `${env}/0/name`, value: 'HARMLESS' }],
  [deployment, { op: 'copy', from: '/metadata/name', path: `${env}/0/name` }],
  [deployment, { op: 'copy', from: applied, path: '/metadata/annotations/a' }],
  [widget, { op: 'test', path: '/spec/users/7/password', value: 'a' }],
  [widget, { op: 'test', path: '/spec/users', value: [{ password: 'a' }] }],
  [widget, { op: 'copy', from: '/spec/users', path: '/status/users' }],
  [widget, { op: 'copy', from: '/spec', path: '/status' }],
  [widget, { op: 'copy', from: '/a/token', path: '/status' }],
  [widget, { op: 'test', path: '/a/b/token/value/c', value: 1 }],
  [widget, { op: 'test', path: '/a/Main-DSN/0', value: 'a' }],
  [widget, { op: 'copy', from: '/a/main-dsn', path: '/b' }],
  [settings, { op: 'test', path: '/data/DB_PASSWORD', value: 'guess' }],
  [settings, { op: 'test', path: '/data', value: { DB_PASSWORD: 'guess' } }],
  [settings, { op: 'copy', from: '/data/api-key', path: '/data/LEVEL' }],
  [settings, { op: 'move', from: '/binaryData/token', path: '/binaryData/a' }],
  [settings, { op: 'copy', from: '/data', path: '/metadata/annotations' }],
  [deployment, { op: 'copy', from: '/spec/template/spec/containers/0/args/1', path: '/metadata/labels/a' }],
  [
    deployment,
    { op: 'test', path: '/spec/template/spec/containers/0/livenessProbe/httpGet/httpHeaders/0/value', value: 'a' },
  ],
  [widget, { op: 'test', path: '/spec/login/password', value: 'a' }],
  [widget, { op: 'copy', from: '/spec/login/password', path: '/spec/login/user' }],
  // What cannot be read.
  [widget, { op: 'test', path: 'x/spec/name', value: 'a' }],
  [widget, { op: 'test', path: '/spec/~2', value: 'a' }],
  [widget, { op: 'copy', path: '/b' }],
  [widget, { op: 'merge', path: '/b' }],
];

for (const [what, operation] of refused) {
  test(`on ${what}, ${JSON.stringify(operation)} is refused, at whichever place of the patch`, async () => {
    assert.equal(await patched(what, [operation]), 'PatchReadsMasked');
    assert.equal(await patched(what, [{ op: 'remove', path: '/a' }, operation]), 'PatchReadsMasked');
  });
}

const allowed: readonly (readonly [string, object])[] = [
  [secret, { op: 'test', path: '/metadata/resourceVersion', value: '5' }],
  [secret, { op: 'test', path: '/metadata/uid', value: 'u' }],
  [secret, { op: 'test', path: '/type', value: 'Opaque' }],
  [secret, { op: 'test', path: '/metadata/labels', value: { app: 'a' } }],
  [secret, { op: 'replace', path: '/data/password', value: 'bmV3' }],
  [secret, { op: 'remove', path: '/data/password' }],
  [deployment, { op: 'test', path: '/spec/replicas', value: 3 }],
  [deployment, { op: 'test', path: '/spec/template/spec/containers/0/name', value: 'web' }],
  [deployment, { op: 'replace', path: `${env}/0/value`, value: 'a' }],
  [deployment, { op: 'add', path: `${env}/-`, value: { name: 'A', value: 'b' } }],
  [deployment, { op: 'test', path: `${env}/0/name`, value: 'A' }],
  // An environment takes its names with it.
  [deployment, { op: 'copy', from: '/spec/template/spec/containers/0', path: '/spec/template/spec/containers/-' }],
  [deployment, { op: 'copy', from: '/metadata/labels/a', path: '/metadata/labels/b' }],
  [settings, { op: 'test', path: '/data/LEVEL', value: 'info' }],
  [settings, { op: 'copy', from: '/data/LEVEL', path: '/data/OTHER' }],
  [settings, { op: 'replace', path: '/data/DB_PASSWORD', value: 'new' }],
  // What is masked in widgets is not in others.
  [deployment, { op: 'test', path: '/spec/main-dsn', value: 'a' }],
  [widget, { op: 'test', path: '/spec/users/0/name', value: 'a' }],
  [widget, { op: 'copy', from: '/spec/size', path: '/spec/other' }],
  [widget, { op: 'test', path: '/data/a', value: 'a' }],
];

for (const [what, operation] of allowed) {
  test(`on ${what}, ${JSON.stringify(operation)} passes`, async () => {
    assert.equal(await patched(what, [operation]), 'AllowedByRule');
  });
}

test('a JSON patch that is not there, or no list of operations, is refused', async () => {
  assert.equal(await reasonOf(`patch ${secret}`, { body: 'json-patch' }), 'PatchReadsMasked');
  for (const body of [{}, [1], [null], 'a']) assert.equal(await patched(secret, body), 'PatchReadsMasked');
});

test('a patch that compares very many values is refused', async () => {
  const value = Array.from({ length: 10_001 }, () => 1);
  assert.equal(await patched(deployment, [{ op: 'test', path: '/a', value }]), 'PatchReadsMasked');
  assert.equal(await patched(deployment, [{ op: 'test', path: '/a', value: value.slice(1) }]), 'AllowedByRule');
});

test('with mask: none in force, operations and selectors may read', async () => {
  const none = '{ effect: allow, verbs: ["*"], resources: RESOURCES, mask: none }';
  for (const [what, operation] of refused) assert.equal(await patched(what, [operation], none), 'AllowedByRule');
  assert.equal(await reasonOf('list secrets shop/', { fieldSelector: 'data.a=b' }, null, none), 'AllowedByRule');
});

test('who may not patch at all is told that, and an ask gives no leave to read', async () => {
  const operation = [{ op: 'test', path: '/data/a', value: 'b' }];
  const rule = (effect: string): string => `{ effect: ${effect}, verbs: [patch], resources: [secrets] }`;
  assert.equal(await patched(secret, operation, rule('deny')), 'DeniedByRule');
  assert.equal(await patched(deployment, operation, rule('allow')), 'NoRuleMatched');
  assert.equal(await patched(secret, operation, rule('ask')), 'PatchReadsMasked');
});

/** Resource, selectors, and whether they are refused. */
const selected: readonly (readonly [string, Pick<DecisionRequest, 'fieldSelector' | 'labelSelector'>, boolean])[] = [
  ['secrets', { fieldSelector: 'metadata.name=a,type!=Opaque' }, false],
  ['secrets', { fieldSelector: 'data.password=a' }, true],
  ['secrets', { fieldSelector: 'metadata.name=a,data.password==a' }, true],
  ['secrets', { labelSelector: 'owner=helm' }, false],
  ['widgets.example.com', { fieldSelector: 'spec.size=3' }, false],
  ['widgets.example.com', { fieldSelector: 'spec.users.0.password=3' }, true],
  ['widgets.example.com', { fieldSelector: 'a.token.value!=3' }, true],
  ['widgets.example.com', { fieldSelector: 'spec.main-dsn=3' }, true],
  ['widgets.example.com', { fieldSelector: "spec['size']=3" }, true],
  ['deployments.apps', { fieldSelector: 'spec.main-dsn=3' }, false],
  ['widgets.example.com', { labelSelector: 'app=a,tier in (x,y), !gone,example.com/a!=b' }, false],
  ['widgets.example.com', { labelSelector: 'app=a,main-dsn=b' }, true],
  ['widgets.example.com', { labelSelector: 'main-dsn in (a,b)' }, true],
  ['widgets.example.com', { labelSelector: 'app in (a,b),! main-dsn' }, true],
  ['widgets.example.com', { labelSelector: 'main-dsn>5' }, true],
  ['widgets.example.com', { labelSelector: '(a)(' }, true],
];

for (const [resource, selectors, isRefused] of selected) {
  test(`${JSON.stringify(selectors)} on ${resource} ${isRefused ? 'is refused' : 'passes'}`, async () => {
    for (const verb of ['list', 'watch', 'deletecollection']) {
      const reason = await reasonOf(`${verb} ${resource} shop/`, selectors);
      assert.equal(reason, isRefused ? 'SelectorReadsMasked' : 'AllowedByRule');
    }
  });
}
