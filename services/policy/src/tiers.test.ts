// The outer fence: what deploy/rbac gives the tiers of the examples, held against what their policies let through.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { compile } from './compile.ts';
import { issuer } from './fixtures.ts';
import type { Policy, ResourceRule } from './policy.ts';

const deploy = new URL('../../../deploy/', import.meta.url);

interface RbacRule {
  readonly apiGroups?: readonly string[];
  readonly resources?: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly nonResourceURLs?: readonly string[];
  readonly verbs: readonly string[];
}

interface RbacObject {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly rules?: readonly RbacRule[];
  readonly roleRef?: { readonly name: string };
  readonly subjects?: readonly { readonly kind: string; readonly name: string }[];
}

function filesIn(folder: string): { readonly name: string; readonly text: string }[] {
  const directory = new URL(`${folder}/`, deploy);
  return readdirSync(directory).map((name) => ({ name, text: readFileSync(new URL(name, directory), 'utf8') }));
}

const objects = filesIn('rbac').flatMap(({ text }) =>
  parseAllDocuments(text).map((document) => document.toJS() as RbacObject),
);

/** The rules a group has by bindings to ClusterRoles. */
function rulesOf(group: string): readonly RbacRule[] {
  return objects
    .filter(({ kind, subjects = [] }) => kind === 'ClusterRoleBinding' && subjects.some(({ name }) => name === group))
    .flatMap(({ roleRef }) =>
      objects.filter(({ kind, metadata }) => kind === 'ClusterRole' && metadata.name === roleRef?.name),
    )
    .flatMap(({ rules = [] }) => rules);
}

/** As RBAC reads its rules: a star is everything, and `pods` is not `pods/log`. */
function grants(rules: readonly RbacRule[], verb: string, apiGroup: string, resource: string): boolean {
  const has = (list: readonly string[] = [], one: string): boolean => list.includes('*') || list.includes(one);
  return rules.some(
    (rule) =>
      rule.resourceNames === undefined &&
      has(rule.verbs, verb) &&
      has(rule.apiGroups, apiGroup) &&
      has(rule.resources, resource),
  );
}

function grantsUrl(rules: readonly RbacRule[], verb: string, url: string): boolean {
  return rules.some(
    ({ verbs, nonResourceURLs = [] }) =>
      verbs.includes(verb) && (nonResourceURLs.includes(url) || nonResourceURLs.includes('*')),
  );
}

/** `deployments.apps/scale` as RBAC has it: the group, and `deployments/scale`. */
function rbacName(resource: string): readonly [string, string] {
  const [full = '', subresource] = resource.split('/');
  const [name = '', ...group] = full.split('.');
  return [group.join('.'), subresource === undefined ? name : `${name}/${subresource}`];
}

/** system:basic-user and system:discovery, which everybody has who is authenticated. */
const everybody = new Set([
  'create selfsubjectaccessreviews.authorization.k8s.io',
  'create selfsubjectrulesreviews.authorization.k8s.io',
  'create selfsubjectreviews.authentication.k8s.io',
]);
const everybodysUrls = new Set([
  '/api',
  '/api/*',
  '/apis',
  '/apis/*',
  '/openapi/*',
  '/version',
  '/healthz',
  '/livez',
  '/readyz',
]);

const compiled = compile(filesIn('examples/policies'), [issuer]);
assert.ok(compiled.kind === 'set');
const policies = compiled.set.policies;

function groupOf(policy: Policy): string {
  const [group = ''] = policy.obligations?.impersonate.groups ?? [];
  return group;
}

/** Every verb on every resource that the policy lets through, at once or after an approval. */
function letThrough({ rules }: Policy): readonly (readonly [string, string])[] {
  return rules
    .filter((rule): rule is ResourceRule => rule.kind === 'resource' && rule.effect !== 'deny')
    .flatMap(({ verbs, resources }) => verbs.flatMap((verb) => resources.map((resource) => [verb, resource] as const)));
}

for (const policy of policies) {
  test(`the tier of ${policy.name} has the rights for all that its policy lets through`, () => {
    const rules = rulesOf(groupOf(policy));
    const lacking = letThrough(policy).filter(
      // Of "*", the tier names what it means.
      ([verb, resource]) =>
        resource !== '*' && !everybody.has(`${verb} ${resource}`) && !grants(rules, verb, ...rbacName(resource)),
    );
    assert.deepEqual(lacking, []);
  });

  test(`the tier of ${policy.name} can read the URLs that its policy lets through`, () => {
    const rules = rulesOf(groupOf(policy));
    const urls = policy.rules.flatMap((rule) => (rule.kind === 'nonResource' ? rule.urls : []));
    assert.deepEqual(
      urls.filter((url) => !everybodysUrls.has(url) && !grantsUrl(rules, 'get', url)),
      [],
    );
  });

  test(`the tier of ${policy.name} has no right that writes and that its policy never lets through`, () => {
    const wanted = new Set(letThrough(policy).map(([verb, resource]) => [verb, ...rbacName(resource)].join(' ')));
    const more = rulesOf(groupOf(policy)).flatMap(({ verbs, apiGroups = [], resources = [] }) =>
      apiGroups.flatMap((group) =>
        resources
          .flatMap((resource) => verbs.map((verb) => `${verb} ${group} ${resource}`))
          .filter((right) => !wanted.has(right)),
      ),
    );
    assert.deepEqual(
      more.filter((right) => !/^(get|list|watch) /.test(right)),
      [],
    );
  });
}

test('the tier of the policy for tests of streams has the rights for it, with those that are for tests only', () => {
  const e2e = (path: string): string => readFileSync(new URL(`../../../e2e/${path}`, import.meta.url), 'utf8');
  const result = compile([{ name: 'streams.yaml', text: e2e('policies/streams.yaml') }], [issuer]);
  assert.ok(result.kind === 'set');
  const extra = parseAllDocuments(e2e('rbac/streams.yaml')).map((document) => document.toJS() as RbacObject);
  const rules = [...rulesOf('sluice:demo'), ...extra.flatMap((object) => object.rules ?? [])];
  const wanted = result.set.policies.flatMap(letThrough).filter(([verb, resource]) => verb !== '*' && resource !== '*');
  assert.deepEqual(
    wanted.filter(([verb, resource]) => !grants(rules, verb, ...rbacName(resource))),
    [],
  );
  for (const resource of ['pods/proxy', 'services/proxy', 'nodes/proxy']) {
    assert.ok(grants(rules, 'get', '', resource));
    assert.ok(!grants(rulesOf('sluice:demo'), 'get', '', resource));
  }
});

const writes = ['create', 'update', 'patch', 'delete', 'deletecollection'];
/** What leads past Sluice or to more rights, and the tiers that may do any of it all the same. */
const dangerous: readonly (readonly [readonly string[], string, string, readonly string[]])[] = [
  [['create', 'patch'], '', 'secrets', ['sluice:ci', 'sluice:demo']],
  [['update', 'delete'], '', 'secrets', ['sluice:demo']],
  [['deletecollection'], '', 'secrets', []],
  [['get'], '', 'secrets', ['sluice:ci', 'sluice:demo', 'sluice:incident', 'sluice:platform']],
  [['list', 'watch'], '', 'secrets', ['sluice:demo', 'sluice:incident', 'sluice:platform']],
  [['get', 'create'], '', 'pods/exec', ['sluice:demo', 'sluice:incident', 'sluice:platform']],
  [['get', 'create'], '', 'pods/attach', ['sluice:demo', 'sluice:incident', 'sluice:platform']],
  [['get', 'create'], '', 'pods/portforward', ['sluice:demo', 'sluice:incident', 'sluice:platform']],
  [['update', 'patch'], '', 'pods/ephemeralcontainers', []],
  [['get', ...writes], '', 'pods/proxy', []],
  [['get', ...writes], '', 'services/proxy', []],
  [['get', ...writes], '', 'nodes/proxy', []],
  [writes, '', 'nodes', []],
  [writes, '', 'nodes/status', []],
  [['create'], '', 'serviceaccounts/token', []],
  [['impersonate'], '', 'users', []],
  [['impersonate'], '', 'groups', []],
  [['impersonate'], '', 'serviceaccounts', []],
  [[...writes, 'bind', 'escalate'], 'rbac.authorization.k8s.io', 'clusterroles', []],
  [[...writes, 'bind', 'escalate'], 'rbac.authorization.k8s.io', 'roles', []],
  [writes, 'rbac.authorization.k8s.io', 'clusterrolebindings', []],
  [writes, 'rbac.authorization.k8s.io', 'rolebindings', []],
  [writes, 'certificates.k8s.io', 'certificatesigningrequests', []],
  [['update', 'patch'], 'certificates.k8s.io', 'certificatesigningrequests/approval', []],
  [writes, 'admissionregistration.k8s.io', 'mutatingwebhookconfigurations', []],
  [writes, 'apiregistration.k8s.io', 'apiservices', []],
];

const groups = policies.map(groupOf);

for (const [verbs, apiGroup, resource, tiers] of dangerous) {
  test(`${verbs.join(', ')} of ${resource} is for ${tiers.join(', ') || 'no tier'}`, () => {
    const can = groups.filter((group) => verbs.some((verb) => grants(rulesOf(group), verb, apiGroup, resource)));
    assert.deepEqual(can.sort(), tiers);
  });
}

test('the gateway may become the users and groups of the tiers, and nobody else, and reads the pods of streams', () => {
  const gateway = objects.find(({ kind, metadata }) => kind === 'ClusterRole' && metadata.name === 'sluice-gateway');
  const namesOf = (resource: string): readonly string[] =>
    (gateway?.rules ?? []).flatMap(({ resources = [], resourceNames = [] }) =>
      resources.includes(resource) ? resourceNames : [],
    );
  const identities = policies.flatMap(({ obligations }) => obligations?.impersonate ?? []);
  assert.deepEqual([...namesOf('users')].sort(), identities.map(({ user }) => user).sort());
  assert.deepEqual([...namesOf('groups')].sort(), identities.flatMap(({ groups }) => groups).sort());
  const reads = (gateway?.rules ?? []).filter(({ verbs }) => verbs.includes('get'));
  assert.deepEqual(
    reads.map(({ apiGroups, resources, verbs }) => [apiGroups, resources, verbs]),
    [
      [[''], ['pods'], ['get']],
      [[''], ['secrets'], ['get']],
    ],
  );
  for (const { resources = [], resourceNames, verbs } of gateway?.rules ?? []) {
    if (verbs.includes('get')) continue;
    assert.deepEqual(verbs, ['impersonate']);
    assert.ok(resourceNames !== undefined || resources.every((resource) => resource.startsWith('userextras/')));
  }
});
