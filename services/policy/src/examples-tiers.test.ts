// The examples that are for groups of agents: what each of them allows, asks and refuses, and by which rule.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import type { Decision, Effect } from '@sluice/model';
import { compile } from './compile.ts';
import { Conditions } from './conditions.ts';
import { evaluate } from './evaluate.ts';
import { agent, issuer, request } from './fixtures.ts';
import type { PolicySet } from './policy.ts';

const directory = new URL('../../../deploy/examples/policies/', import.meta.url);

/** All of them together, as `sluice up` loads them. */
function examples(): PolicySet {
  const files = readdirSync(directory).map((name) => ({ name, text: readFileSync(new URL(name, directory), 'utf8') }));
  const result = compile(files, [issuer]);
  if (result.kind === 'errors') assert.fail(JSON.stringify(result.errors));
  return result.set;
}

const conditions = new Conditions();
after(() => conditions.stop());
const grounds = { set: examples(), authority: 0, nowMs: 0, conditions: conditions.evaluate };

/** A call and its body; a call with ` by apply` is a server-side apply. */
function decide(group: string, call: string, body?: unknown): Promise<Decision> {
  const [what = '', apply] = call.split(' by ');
  const form = body === undefined ? 'none' : apply === undefined ? 'json' : 'apply';
  const asked = request(what, { agent: agent({ name: 'somebody', groups: [group] }), body: form });
  return evaluate(grounds, asked, body === undefined ? null : Buffer.from(JSON.stringify(body)));
}

/** Effect, rule, call, body. No rule: none matches, and `otherwise` decides. */
type Row = readonly [Effect, string, string, unknown?];

const jsonPatch = [{ op: 'replace', path: '/spec/replicas', value: 1 }];
const replicas = (count: number): unknown => ({ spec: { replicas: count } });
const image = (name: string): unknown => ({
  spec: { template: { spec: { containers: [{ name: 'web', image: name }] } } },
});
const initImage = (name: string): unknown => ({
  spec: { template: { spec: { initContainers: [{ name: 'prepare', image: name }] } } },
});
const template = (pod: unknown): unknown => ({ spec: { template: { spec: pod } } });
const restartedAt = { 'kubectl.kubernetes.io/restartedAt': '2026-01-01T00:00:00Z' };
const restart = { spec: { template: { metadata: { annotations: restartedAt } } } };
const ours = 'registry.example/shop/web:1.4';

/** Pods that see the node, as the spec of a pod. */
const privileged = [
  { hostPID: true },
  { hostIPC: true },
  { hostNetwork: true },
  {
    volumes: [
      { name: 'tmp', emptyDir: {} },
      { name: 'root', hostPath: { path: '/' } },
    ],
  },
  { containers: [{ name: 'a' }, { name: 'b', securityContext: { privileged: true } }] },
  { initContainers: [{ name: 'a', securityContext: { privileged: true } }] },
];
const harmless = {
  hostPID: false,
  volumes: [{ name: 'tmp', emptyDir: {} }],
  containers: [{ name: 'web', image: ours, securityContext: { privileged: false } }],
};

const wayIn = ['get pods/exec', 'create pods/exec', 'get pods/attach', 'create pods/portforward'];
const wayRound = ['get pods/proxy', 'create services/proxy', 'create serviceaccounts/token'];
const rights = [
  'create clusterrolebindings.rbac.authorization.k8s.io /admins',
  'patch roles.rbac.authorization.k8s.io shop-dev/all',
  'update certificatesigningrequests.certificates.k8s.io/approval /me',
  'create mutatingwebhookconfigurations.admissionregistration.k8s.io /all',
];

const readOnly: readonly Row[] = [
  ['allow', 'look-around', 'list pods'],
  ['allow', 'look-around', 'get nodes /n1'],
  ['allow', 'look-around', 'watch deployments.apps shop/'],
  ['allow', 'look-around', 'list pods.metrics.k8s.io shop/'],
  ['allow', 'read-logs', 'get pods/log shop/web'],
  ['allow', 'ask-what-it-may', 'create selfsubjectaccessreviews.authorization.k8s.io', {}],
  ['allow', 'discovery', 'get /openapi/v3'],
  ['deny', 'secrets-are-closed', 'get secrets shop/db'],
  ['deny', 'secrets-are-closed', 'list secrets'],
  ['deny', 'secrets-are-closed', 'watch secrets shop/'],
  ['deny', 'changes-nothing', 'patch deployments.apps shop/web', {}],
  ['deny', 'changes-nothing', 'patch deployments.apps shop/web by apply', {}],
  ['deny', 'changes-nothing', 'update deployments.apps/scale shop/web', replicas(1)],
  ['deny', 'changes-nothing', 'delete pods shop/web', {}],
  ['deny', 'changes-nothing', 'deletecollection configmaps shop/'],
  ['deny', '', 'create pods shop/web', {}],
  ['deny', '', 'create pods/eviction shop/web', {}],
  ['deny', '', 'list things.example.com'],
  ['deny', '', 'list clusterroles.rbac.authorization.k8s.io'],
  ['deny', '', 'get /metrics'],
  ...[...wayIn, ...wayRound].map((call): Row => ['deny', 'no-way-in', `${call} shop/web`]),
  ['deny', 'no-way-in', 'get nodes/proxy /n1'],
  ['deny', '', 'proxy nodes /n1'],
];

const incident: readonly Row[] = [
  ['allow', 'look-around', 'list pods'],
  ['allow', 'look-at-secrets', 'get secrets shop-prod/db'],
  ['ask', '', 'get secrets kube-system/token'],
  ['ask', '', 'list secrets'],
  ['allow', 'read-logs', 'get pods/log shop-prod/web'],
  ['allow', 'restart', 'patch deployments.apps shop-prod/web', restart],
  ['ask', '', 'patch deployments.apps kube-system/dns', restart],
  ['ask', '', 'patch deployments.apps shop-prod/web', image(ours)],
  [
    'ask',
    '',
    'patch deployments.apps shop-prod/web',
    { spec: { template: { metadata: { annotations: restartedAt }, spec: { hostPID: true } } } },
  ],
  [
    'ask',
    '',
    'patch deployments.apps shop-prod/web',
    { spec: { template: { metadata: { annotations: { ...restartedAt, more: 'x' } } } } },
  ],
  ['ask', '', 'patch deployments.apps shop-prod/web', { spec: { ...restart.spec, replicas: 0 } }],
  ['ask', '', 'patch deployments.apps shop-prod/web by apply', restart],
  ['ask', '', 'patch deployments.apps shop-prod/web', jsonPatch],
  ['allow', 'scale-a-little', 'get deployments.apps/scale shop-prod/web'],
  ['allow', 'scale-a-little', 'patch deployments.apps/scale shop-prod/web', replicas(10)],
  ['allow', 'scale-a-little', 'update statefulsets.apps/scale shop-prod/db', replicas(1)],
  ['ask', 'scale-further', 'patch deployments.apps/scale shop-prod/web', replicas(11)],
  ['ask', 'scale-further', 'update deployments.apps/scale shop-prod/web', replicas(0)],
  ['ask', '', 'patch deployments.apps/scale shop-prod/web', jsonPatch],
  ['ask', '', 'patch deployments.apps/scale kube-system/dns', replicas(3)],
  ['allow', 'replace-a-pod', 'delete pods shop-prod/web-1', { kind: 'DeleteOptions' }],
  ['allow', 'replace-a-pod', 'delete pods shop-prod/web-1', { gracePeriodSeconds: 1 }],
  ['ask', '', 'delete pods shop-prod/web-1', { gracePeriodSeconds: 0 }],
  ['ask', '', 'delete pods shop-prod/web-1'],
  ['ask', '', 'deletecollection pods shop-prod/', {}],
  ...wayIn.map((call): Row => ['ask', 'enter-a-pod', `${call} shop-prod/web`]),
  ['ask', '', 'create pods/exec kube-system/etcd'],
  ['ask', '', 'create deployments.apps shop-prod/web', image(ours)],
  ...wayRound.map((call): Row => ['deny', 'no-way-round', `${call} shop-prod/web`]),
  ['deny', 'no-way-round', 'get nodes/proxy /n1'],
  ['deny', 'no-way-round', 'proxy services shop-prod/web'],
  ['deny', 'no-new-containers', 'patch pods/ephemeralcontainers shop-prod/web', {}],
  ['deny', 'nodes-are-the-platforms', 'patch nodes /n1', { spec: { unschedulable: true } }],
  ['deny', 'nodes-are-the-platforms', 'update nodes/status /n1', {}],
  ...rights.map((call): Row => ['deny', 'rights-are-not-changed-in-incidents', call, {}]),
  ['deny', 'secrets-are-written-elsewhere', 'create secrets shop-prod/db', {}],
  ['deny', 'secrets-are-written-elsewhere', 'delete secrets shop-prod/db', {}],
  ['deny', 'namespaces-stay', 'delete namespaces shop-prod/shop-prod', {}],
];

const ci: readonly Row[] = [
  ['allow', 'deploy', 'create deployments.apps shop-dev/web', image(ours)],
  ['allow', 'deploy', 'update deployments.apps shop-staging/web', image(ours)],
  ['allow', 'deploy', 'patch deployments.apps shop-dev/web', image(ours)],
  ['allow', 'deploy', 'patch deployments.apps shop-dev/web by apply', image(ours)],
  ['allow', 'deploy', 'patch deployments.apps shop-dev/web', { metadata: { labels: { release: '7' } } }],
  ['allow', 'deploy', 'patch deployments.apps shop-dev/web', template(harmless)],
  ['allow', 'deploy', 'patch deployments.apps shop-dev/web', template({ containers: [{ name: 'web', env: [] }] })],
  ['allow', 'deploy', 'create jobs.batch shop-dev/migrate', image(ours)],
  ['allow', 'deploy', 'create cronjobs.batch shop-dev/report', { spec: { jobTemplate: image(ours) } }],
  ['allow', 'deploy', 'update services shop-dev/web', {}],
  ['allow', 'deploy', 'patch configmaps shop-dev/web', jsonPatch],
  ['allow', 'deploy-secrets', 'create secrets shop-dev/db', {}],
  ['allow', 'deploy-secrets', 'patch secrets shop-staging/db by apply', {}],
  ['allow', 'scale', 'patch deployments.apps/scale shop-dev/web', replicas(20)],
  ['allow', 'look-at-releases', 'watch deployments.apps shop-prod/'],
  ['allow', 'look-at-releases', 'list pods shop-dev/'],
  ['allow', 'look-at-one-thing', 'get secrets shop-prod/db'],
  ['allow', 'look-at-one-thing', 'get pods/log shop-dev/web'],
  ['allow', 'look-at-namespaces', 'get namespaces shop-dev/shop-dev'],
  ['ask', 'production', 'patch deployments.apps shop-prod/web by apply', image(ours)],
  ['ask', 'production', 'create services shop-prod/web', {}],
  ['ask', 'production-secrets', 'patch secrets shop-prod/db', {}],
  ['ask', 'many-replicas', 'patch deployments.apps shop-dev/web', replicas(21)],
  ['ask', 'prune', 'delete services shop-dev/web', {}],
  ['ask', 'prune', 'delete deployments.apps shop-prod/web', {}],
  ...privileged.map(
    (pod): Row => ['deny', 'no-privileged-pods', 'create deployments.apps shop-dev/web', template(pod)],
  ),
  ...privileged.map(
    (pod): Row => ['deny', 'no-privileged-pods', 'patch deployments.apps shop-prod/web', template(pod)],
  ),
  ['deny', 'no-privileged-pods', 'create pods shop-dev/web', { spec: { hostPID: true } }],
  [
    'deny',
    'no-privileged-pods',
    'create cronjobs.batch shop-dev/report',
    { spec: { jobTemplate: template({ hostIPC: true }) } },
  ],
  ['deny', 'no-privileged-pods', 'patch deployments.apps shop-dev/web by apply', template({ hostPID: true })],
  ['deny', 'no-privileged-pods', 'patch deployments.apps shop-dev/web', jsonPatch],
  ['deny', 'no-privileged-pods', 'patch deployments.apps shop-dev/web', template({ containers: null })],
  ['deny', 'only-our-images', 'create deployments.apps shop-dev/web', image('nginx')],
  ['deny', 'only-our-images', 'patch deployments.apps shop-dev/web', image('registry.example.evil/shop/web')],
  ['deny', 'only-our-images', 'patch deployments.apps shop-prod/web', initImage('registry.example/other/web')],
  ['deny', 'only-our-images', 'create jobs.batch shop-dev/migrate', initImage('busybox')],
  ['deny', 'only-our-images', 'update cronjobs.batch shop-dev/report', { spec: { jobTemplate: image('busybox') } }],
  ['deny', 'only-our-images', 'create pods shop-dev/web', { spec: { containers: [{ image: 'busybox' }] } }],
  ['deny', '', 'create pods shop-dev/web', { spec: { containers: [{ image: ours }] } }],
  ['deny', '', 'create deployments.apps default/web', image(ours)],
  ['deny', '', 'create deployments.apps kube-system/web', { spec: { replicas: 30 } }],
  ['deny', '', 'create serviceaccounts shop-dev/web', {}],
  ['deny', '', 'update secrets shop-dev/db', {}],
  ['deny', '', 'delete secrets shop-dev/db', {}],
  ['deny', '', 'list secrets shop-dev/'],
  ['deny', '', 'get secrets kube-system/token'],
  ['deny', '', 'patch deployments.apps/scale shop-dev/web', replicas(21)],
  ['deny', '', 'patch deployments.apps/scale shop-dev/web', jsonPatch],
  ['deny', '', 'patch deployments.apps/scale shop-prod/web', replicas(2)],
  ['deny', '', 'deletecollection jobs.batch shop-dev/', {}],
  ['deny', '', 'list pods'],
  ['deny', '', 'list namespaces'],
  ...[...wayIn, ...wayRound].map((call): Row => ['deny', 'no-way-in', `${call} shop-dev/web`]),
  ['deny', 'no-way-in', 'update pods/ephemeralcontainers shop-dev/web', {}],
  ['deny', 'nodes-are-the-platforms', 'patch nodes /n1', {}],
  ...rights.map((call): Row => ['deny', 'rights-come-from-the-platform', call, {}]),
];

const owned = { metadata: { labels: { owner: 'team-shop' } } };

const platform: readonly Row[] = [
  ['allow', 'look-around', 'list clusterroles.rbac.authorization.k8s.io'],
  ['allow', 'look-around', 'get secrets kube-system/token'],
  ['allow', 'namespaces-with-owner', 'create namespaces team-shop/team-shop', owned],
  ['allow', 'namespaces-with-owner', 'patch namespaces team-shop/team-shop by apply', owned],
  ['ask', '', 'create namespaces team-shop/team-shop', {}],
  ['ask', '', 'patch namespaces team-shop/team-shop', { metadata: { labels: { owner: null } } }],
  ['ask', '', 'patch namespaces team-shop/team-shop', { metadata: { labels: { tier: 'gold' } } }],
  ['ask', '', 'patch namespaces team-shop/team-shop', jsonPatch],
  ['ask', '', 'create namespaces shop/shop', owned],
  ['allow', 'fences-for-teams', 'update resourcequotas team-shop/all', {}],
  ['allow', 'fences-for-teams', 'patch networkpolicies.networking.k8s.io team-shop/all by apply', {}],
  ['ask', 'fences-stay', 'delete networkpolicies.networking.k8s.io team-shop/all', {}],
  ['allow', 'run-add-ons', 'patch daemonsets.apps monitoring/agent by apply', image('registry.example/mirror/agent:2')],
  ['allow', 'run-add-ons', 'create configmaps ingress/rules', {}],
  ['ask', 'add-ons-from-the-mirror', 'create deployments.apps ingress/web', image('nginx')],
  ['ask', 'add-ons-from-the-mirror', 'patch deployments.apps ingress/web', initImage('busybox')],
  ['allow', 'replace-a-pod', 'delete pods ingress/web-1', {}],
  ['ask', '', 'delete pods ingress/web-1', { gracePeriodSeconds: 0 }],
  ['allow', 'scale-add-ons', 'update deployments.apps/scale ingress/web', replicas(20)],
  ['ask', '', 'update deployments.apps/scale ingress/web', replicas(21)],
  ['ask', '', 'update deployments.apps/scale ingress/web', replicas(0)],
  ['ask', 'cluster-wide', 'patch customresourcedefinitions.apiextensions.k8s.io /things by apply', {}],
  ['ask', 'cluster-wide', 'delete storageclasses.storage.k8s.io /fast', {}],
  ...wayIn.map((call): Row => ['ask', 'enter-a-pod', `${call} monitoring/agent`]),
  ['ask', '', 'create deployments.apps shop-dev/web', image(ours)],
  ...privileged.map((pod): Row => ['deny', 'no-privileged-pods', 'create daemonsets.apps monitoring/a', template(pod)]),
  ['deny', 'no-privileged-pods', 'patch daemonsets.apps monitoring/agent', jsonPatch],
  ['deny', 'no-privileged-pods', 'create pods shop-dev/web', { spec: { hostNetwork: true } }],
  ...wayRound.map((call): Row => ['deny', 'no-way-round', `${call} monitoring/agent`]),
  ['deny', 'no-way-round', 'get nodes/proxy /n1'],
  ['deny', 'no-new-containers', 'update pods/ephemeralcontainers monitoring/agent', {}],
  ['deny', 'nodes-belong-to-their-pools', 'patch nodes /n1', { spec: { unschedulable: true } }],
  ['deny', 'nodes-belong-to-their-pools', 'delete nodes /n1', {}],
  ...rights.map((call): Row => ['deny', 'rights-are-reviewed', call, {}]),
  ['deny', 'secrets-are-written-elsewhere', 'patch secrets monitoring/db', {}],
  ['deny', 'namespaces-stay', 'delete namespaces team-shop/team-shop', {}],
  ['deny', 'system-is-read-only', 'patch deployments.apps kube-system/dns', restart],
  ['deny', 'system-is-read-only', 'create pods/eviction kube-system/dns', {}],
];

const tables = {
  'agents/read-only': readOnly,
  'agents/incident': incident,
  'agents/ci': ci,
  'agents/platform': platform,
};

for (const [group, rows] of Object.entries(tables)) {
  for (const [effect, rule, call, body] of rows) {
    const sent = body === undefined ? '' : ` with ${JSON.stringify(body)}`;
    test(`${group}: ${effect} ${call}${sent}, by ${rule || 'no rule'}`, async () => {
      const decision = await decide(group, call, body);
      assert.deepEqual([decision.effect, decision.rule], [effect, rule]);
    });
  }
}

test('every example gives its agents the identity of its tier', async () => {
  for (const group of Object.keys(tables)) {
    const tier = group.replace('agents/', '');
    const decision = await decide(group, 'get /version');
    assert.ok(decision.effect === 'allow');
    assert.deepEqual(decision.obligations.impersonate, { user: `sluice:tier:${tier}`, groups: [`sluice:${tier}`] });
  }
});

test('every deny of the examples says what to do instead', () => {
  const denies = grounds.set.policies.flatMap(({ rules }) => rules.filter(({ effect }) => effect === 'deny'));
  assert.ok(denies.length > 0);
  for (const { name, reason } of denies) assert.match(reason, /\.$/, name);
});

/** Seconds a call is held and minutes an approval is open, by group and call. */
const waits = [
  ['agents/incident', 'patch deployments.apps/scale shop-prod/web', replicas(11), 180, 15],
  ['agents/incident', 'get pods/exec shop-prod/web', undefined, 180, 10],
  ['agents/incident', 'list secrets', undefined, 60, 30],
  ['agents/ci', 'create services shop-prod/web', {}, 600, 240],
  ['agents/ci', 'patch deployments.apps shop-dev/web', replicas(21), 600, 60],
  ['agents/ci', 'patch deployments.apps shop-prod/web', replicas(21), 600, 60],
  ['agents/ci', 'delete services shop-prod/web', {}, 0, 720],
  ['agents/platform', 'delete resourcequotas team-shop/all', {}, 60, 240],
  ['agents/platform', 'create deployments.apps ingress/web', image('nginx'), 300, 120],
  ['agents/platform', 'delete storageclasses.storage.k8s.io /fast', {}, 0, 720],
  ['agents/platform', 'create pods/exec monitoring/agent', undefined, 180, 10],
] as const;

for (const [group, call, body, holdSeconds, minutes] of waits) {
  const sent = body === undefined ? '' : ` with ${JSON.stringify(body)}`;
  test(`${group}: ${call}${sent} waits ${holdSeconds} s, is open ${minutes} min, and anyone decides`, async () => {
    const decision = await decide(group, call, body);
    assert.ok(decision.effect === 'ask');
    const terms = { reviewers: [], quorum: 1, holdMs: holdSeconds * 1_000, expiresMs: minutes * 60_000 };
    assert.deepEqual(decision.terms, terms);
  });
}

test('every ask of the examples gives the agent a reason', () => {
  const asks = grounds.set.policies.flatMap(({ rules }) => rules.filter(({ effect }) => effect === 'ask'));
  assert.ok(asks.length > 0);
  for (const { name, reason } of asks) assert.match(reason, /\.$/, name);
});
