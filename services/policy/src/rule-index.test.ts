import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Agent, RequestAttributes } from '@sluice/model';
import fc from 'fast-check';
import { examined } from './evaluate.ts';
import { agent, attributesOf, issuer, type PolicyText, request, setOf } from './fixtures.ts';
import type { Rule, Subject } from './policy.ts';

const list = (...values: string[]): fc.Arbitrary<string> =>
  fc.subarray(values, { minLength: 1 }).map((chosen) => JSON.stringify(chosen));

const resourceRule = fc
  .record({
    verbs: list('get', 'create', 'proxy', '*'),
    resources: list(
      'pods',
      'pods/log',
      'pods/*',
      '*',
      '*/*',
      '*/log',
      'deployments.apps',
      'deployments.apps/scale',
      '*.apps',
      '*.apps/scale',
      '*.apps/*',
      'pods.apps',
      'namespaces',
      'namespaces/status',
    ),
    namespaces: list('shop', 'web', 'sh*', '*'),
  })
  .map(
    (rule) => `{ effect: allow, verbs: ${rule.verbs}, resources: ${rule.resources}, namespaces: ${rule.namespaces} }`,
  );

const urlRule = fc
  .record({ verbs: list('get', 'post', '*'), urls: list('*', '/*', '/api', '/api*', '/api/*', '/apis/apps', '/v') })
  .map(({ verbs, urls }) => `{ effect: allow, verbs: ${verbs}, nonResourceURLs: ${urls} }`);

const policies: fc.Arbitrary<PolicyText[]> = fc.array(
  fc.record({
    subjects: fc
      .subarray(
        [
          '"*"',
          '{ agent: demo }',
          '{ agent: ops }',
          '{ group: ops }',
          '{ group: demo }',
          '{ group: "*" }',
          `{ agent: demo, issuer: "${issuer}" }`,
          `{ group: sre, issuer: "${issuer}" }`,
        ],
        { minLength: 1 },
      )
      .map((subjects) => `[${subjects.join(', ')}]`),
    rules: fc.array(fc.oneof(resourceRule, urlRule), { minLength: 1, maxLength: 5 }),
  }),
  { minLength: 1, maxLength: 5 },
);

const caller: fc.Arbitrary<Agent> = fc
  .record({
    name: fc.constantFrom('demo', 'ops', 'nobody'),
    issuer: fc.constantFrom(issuer, 'https://other.example'),
    groups: fc.subarray(['ops', 'sre', 'demo']),
  })
  .map(agent);

const call = fc.oneof(
  fc
    .tuple(
      fc.constantFrom('get', 'create', 'proxy', 'delete'),
      fc.constantFrom(
        'pods',
        'pods/log',
        'deployments.apps',
        'deployments.apps/scale',
        'pods.apps',
        'nodes',
        'namespaces',
        'namespaces/status',
      ),
      fc.constantFrom('/', 'shop/', 'web/a', 'other/a'),
    )
    .map((words) => attributesOf(words.join(' '))),
  fc
    .tuple(fc.constantFrom('get', 'post'), fc.constantFrom('/', '/api', '/api/', '/apis', '/apis/apps', '/api/*', '/v'))
    .map((words) => attributesOf(words.join(' '))),
);

/** What a rule says of who, what and where, word by word. */
function isFor(subject: Subject, { name, issuer, groups }: Agent): boolean {
  const isHim = subject.kind === 'agent' ? subject.name === name : groups.includes(subject.name);
  return (subject.name === '*' || isHim) && (subject.issuer === '' || subject.issuer === issuer);
}

function speaksOf(rule: Rule, call: RequestAttributes): boolean {
  if (!rule.verbs.includes('*') && !rule.verbs.includes(call.verb)) return false;
  if (rule.kind === 'nonResource') {
    if (call.kind !== 'nonResource') return false;
    return rule.urls.some((url) => (url.endsWith('*') ? call.path.startsWith(url.slice(0, -1)) : call.path === url));
  }
  if (call.kind === 'nonResource') return false;
  const isNear = rule.namespaces.exact === null || rule.namespaces.exact.includes(call.namespace);
  return isNear && rule.matchesResource.matches(call.apiGroup, call.resource, call.subresource);
}

test('the index finds the rules that a look at every rule finds, in their order', () => {
  fc.assert(
    fc.property(policies, caller, call, (texts, who, attributes) => {
      const set = setOf(...texts);
      const mine = set.policies.filter(({ subjects }) => subjects.some((subject) => isFor(subject, who)));
      assert.deepEqual(set.index.policiesFor(who), mine);
      assert.deepEqual(
        set.index.rulesFor(who, attributes).map(({ rule }) => rule),
        mine.flatMap(({ rules }) => rules.filter((rule) => speaksOf(rule, attributes))),
      );
    }),
    { numRuns: 500 },
  );
});

/** The calls whose rules are counted, each with how many are about it. */
const counted: readonly (readonly [string, number])[] = [
  ['patch deployments.apps shop/web', 5],
  ['watch deployments.apps shop/', 4],
  ['get /apis/apps/v1', 2],
];

const own: PolicyText = {
  name: 'own',
  rules: [
    '{ effect: allow, verbs: [get, list, watch], resources: ["*"] }',
    '{ effect: allow, verbs: [patch], resources: [deployments.apps], namespaces: [shop] }',
    '{ effect: allow, verbs: [patch, create], resources: ["*.apps"], namespaces: ["shop*"] }',
    '{ effect: ask, verbs: ["*"], resources: [deployments.apps] }',
    '{ effect: deny, verbs: [patch], resources: ["*"], names: [db] }',
    '{ effect: deny, verbs: [patch], resources: [deployments.apps], when: "object.spec.replicas > 9" }',
    '{ effect: allow, verbs: [get], nonResourceURLs: ["/apis/*"] }',
    '{ effect: allow, verbs: [get, head], nonResourceURLs: ["*"] }',
  ],
};

/** Ways in which a rule has nothing to do with these calls. */
const unrelated: Readonly<Record<string, (n: number) => PolicyText>> = {
  'other resources': (n) => ({
    rules: [
      `{ effect: deny, verbs: ["*"], resources: [things${n}.apps, "deployments.g${n}.example", "*.g${n}.example"] }`,
      `{ effect: deny, verbs: ["*"], resources: ["deployments.apps/sub${n}", "*/sub${n}", "things${n}/*"] }`,
    ],
  }),
  'other verbs': () => ({
    rules: ['{ effect: deny, verbs: [delete, deletecollection, update, proxy], resources: ["*", deployments.apps] }'],
  }),
  'other namespaces': (n) => ({
    rules: [`{ effect: deny, verbs: ["*"], resources: ["*", "*.apps", deployments.apps], namespaces: [ns-${n}] }`],
  }),
  'other agents and groups': (n) => ({
    subjects: `[{ agent: agent-${n} }, { group: group-${n} }, { agent: ops }, { group: demo }]`,
    rules: [
      '{ effect: deny, verbs: ["*"], resources: ["*", "*/*"] }',
      '{ effect: deny, verbs: ["*"], nonResourceURLs: ["*"] }',
    ],
  }),
  'other URLs': (n) => ({
    rules: [
      `{ effect: deny, verbs: ["*"], nonResourceURLs: ["/apis/g${n}/*", "/apis/apps", "/x${'x'.repeat(n % 50)}*"] }`,
    ],
  }),
};

for (const [how, policy] of Object.entries(unrelated)) {
  for (const count of [10, 2_000]) {
    test(`a call is held against the rules about it, and none of ${count} for ${how}`, () => {
      const set = setOf(own, ...Array.from({ length: count }, (_, n) => policy(n)));
      const who = agent({ groups: ['ops', 'sre'] });
      const counts = counted.map(([call]) => [call, examined(set, request(call, { agent: who })).length]);
      assert.deepEqual(counts, counted);
    });
  }
}
