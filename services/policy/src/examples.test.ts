import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import type { Decision } from '@sluice/model';
import { compile } from './compile.ts';
import { Conditions } from './conditions.ts';
import { evaluate } from './evaluate.ts';
import { agent, issuer, request } from './fixtures.ts';
import type { PolicySet } from './policy.ts';

const directory = new URL('../../../deploy/examples/policies/', import.meta.url);

const conditions = new Conditions();
after(() => conditions.stop());

function examples(): PolicySet {
  const files = readdirSync(directory).map((name) => ({ name, text: readFileSync(new URL(name, directory), 'utf8') }));
  const result = compile(files, [issuer]);
  if (result.kind === 'errors') assert.fail(JSON.stringify(result.errors));
  return result.set;
}

const grounds = { set: examples(), authority: 0, nowMs: 0, conditions: conditions.evaluate };

function decide(call: string, name = 'demo'): Promise<Decision> {
  return evaluate(grounds, request(call, { agent: agent({ name }) }), null);
}

/** Call, and the rule that allows it. */
const allowed = [
  ['list pods', 'look-around'],
  ['get nodes /n1', 'look-around'],
  ['watch deployments.apps shop/', 'look-around'],
  ['get secrets shop/db', 'look-around'],
  ['get secrets kube-system/token', 'look-around'],
  ['get pods/log shop/web', 'look-around'],
  ['list events shop/', 'look-around'],
  ['get namespaces shop/shop', 'look-around'],
  ['create configmaps shop/', 'run-applications'],
  ['create secrets shop/', 'run-applications'],
  ['patch services shop/web', 'run-applications'],
  ['patch deployments.apps shop/web', 'run-applications'],
  ['patch deployments.apps/scale shop/web', 'run-applications'],
  ['update jobs.batch default/once', 'run-applications'],
  ['delete pods default/web', 'run-applications'],
  ['delete pods shop/web', 'run-applications'],
  ['delete deployments.apps default/web', 'run-applications'],
  ['delete statefulsets.apps workshop/db', 'run-applications'],
  ['create statefulsets.apps shop/db', 'run-applications'],
  ['create selfsubjectaccessreviews.authorization.k8s.io', 'ask-what-it-may'],
] as const;

for (const [call, rule] of allowed) {
  test(`the demo agent may ${call}, by the rule ${rule}`, async () => {
    const decision = await decide(call);
    assert.ok(decision.effect === 'allow');
    assert.equal(decision.rule, rule);
    assert.deepEqual(decision.obligations.impersonate, { user: 'sluice:tier:demo', groups: ['sluice:demo'] });
  });
}

for (const call of [
  'delete deployments.apps shop/web',
  'delete deployments.apps shop-prod/web',
  'delete statefulsets.apps shop/db',
]) {
  test(`the demo agent asks before it may ${call}, and any reviewer can decide`, async () => {
    const decision = await decide(call);
    assert.ok(decision.effect === 'ask');
    assert.deepEqual([decision.policy, decision.rule], ['demo-agent', 'workloads-of-the-shop-stay']);
    assert.deepEqual(decision.terms, { reviewers: [], quorum: 1, holdMs: 60_000, expiresMs: 1_800_000 });
    assert.equal(
      decision.reason,
      'A workload of the shop is deleted only when a reviewer agrees; to stop it for now, scale it to zero.',
    );
  });
}

/** Call, and the rule that denies it; empty where none allows it. */
const refused = [
  ['delete namespaces shop/shop', 'hands-off'],
  ['deletecollection namespaces', 'hands-off'],
  ['create configmaps kube-system/', 'system-is-read-only'],
  ['patch deployments.apps/scale kube-system/coredns', 'system-is-read-only'],
  ['delete secrets kube-public/s', 'system-is-read-only'],
  ['create pods/eviction shop/web', ''],
  ['get nodes/proxy /n1', 'no-way-round'],
  ['get services/proxy shop/web', 'no-way-round'],
  ['create pods/proxy shop/web', 'no-way-round'],
  ['create serviceaccounts/token shop/default', ''],
  ['patch pods/ephemeralcontainers shop/web', ''],
  ['create namespaces', ''],
  ['patch nodes /n1', ''],
  ['deletecollection secrets shop/', ''],
  ['deletecollection deployments.apps shop/', ''],
  ['create clusterrolebindings.rbac.authorization.k8s.io', ''],
] as const;

for (const [call, rule] of refused) {
  test(`the demo agent may not ${call}`, async () => {
    const decision = await decide(call);
    assert.equal(decision.effect, 'deny');
    assert.deepEqual([decision.reasonCode, decision.rule], [rule === '' ? 'NoRuleMatched' : 'DeniedByRule', rule]);
  });
}

test('a refused delete of a namespace gives the reason of the rule', async () => {
  const decision = await decide('delete namespaces shop/shop');
  assert.ok(decision.effect === 'deny');
  assert.equal(decision.reason, "Namespaces are deleted by their owners, through the platform's pipeline.");
});

for (const path of [
  '/api',
  '/api/v1',
  '/apis',
  '/apis/apps/v1',
  '/openapi/v2',
  '/openapi/v3/apis/apps/v1',
  '/version',
  '/healthz',
]) {
  test(`the demo agent may get ${path}`, async () => {
    assert.equal((await decide(`get ${path}`)).effect, 'allow');
  });
}

for (const path of ['/metrics', '/logs/', '/debug/pprof/', '/']) {
  test(`the demo agent may not get ${path}`, async () => {
    assert.equal((await decide(`get ${path}`)).effect, 'deny');
  });
}

test('another agent may do nothing', async () => {
  assert.equal((await decide('list pods', 'other')).effect, 'deny');
});
