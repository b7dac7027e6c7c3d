import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Decision, DecisionRequest } from '@sluice/model';
import { Conditions } from './conditions.ts';
import { evaluate } from './evaluate.ts';
import { agent, denial, issuer, request, setOf } from './fixtures.ts';
import type { PolicySet } from './policy.ts';

const nowMs = 1_700_000_000_000;

const conditions = new Conditions();
after(() => conditions.stop());

function judge(set: PolicySet, request: DecisionRequest): Promise<Decision> {
  return evaluate({ set, authority: 7, nowMs, conditions: conditions.evaluate }, request, null);
}

function decide(set: PolicySet, call: string, who: Partial<DecisionRequest['agent']> = {}): Promise<Decision> {
  return judge(set, request(call, { agent: agent(who) }));
}

const get = '{ effect: allow, verbs: [get, list, watch], resources: [pods] }';

/** What it shows, rule without its effect, call, whether the rule matches. */
const matching = [
  ['a verb that is listed', 'verbs: [get], resources: [pods]', 'get pods a/p', true],
  ['a verb that is not', 'verbs: [get], resources: [pods]', 'list pods a/', false],
  ['every verb', 'verbs: ["*"], resources: [pods]', 'deletecollection pods a/', true],
  ['delete is not deletecollection', 'verbs: [delete], resources: [pods]', 'deletecollection pods a/', false],
  ['namespaces left out: in a namespace', 'verbs: ["*"], resources: [pods]', 'get pods a/p', true],
  ['namespaces left out: all of them', 'verbs: ["*"], resources: [pods]', 'list pods', true],
  ['namespaces left out: cluster-scoped', 'verbs: ["*"], resources: [nodes]', 'get nodes /n1', true],
  ['namespaces *: all of them', 'verbs: ["*"], resources: [pods], namespaces: ["*"]', 'list pods', true],
  ['namespaces *: cluster-scoped', 'verbs: ["*"], resources: [nodes], namespaces: ["*"]', 'get nodes /n1', true],
  ['a glob: a namespace', 'verbs: ["*"], resources: [pods], namespaces: ["shop-*"]', 'list pods shop-1/', true],
  ['a glob: another namespace', 'verbs: ["*"], resources: [pods], namespaces: ["shop-*"]', 'list pods shop/', false],
  ['a glob: never all namespaces', 'verbs: ["*"], resources: [pods], namespaces: ["shop-*"]', 'list pods', false],
  ['a glob: never cluster-scoped', 'verbs: ["*"], resources: [nodes], namespaces: ["shop-*"]', 'get nodes /n1', false],
  ['**: never all namespaces', 'verbs: ["*"], resources: [pods], namespaces: ["**"]', 'list pods', false],
  [
    'a namespace is no namespaced object',
    'verbs: ["*"], resources: [namespaces], namespaces: [x]',
    'get namespaces x/x',
    false,
  ],
  [
    'nor is its status',
    'verbs: ["*"], resources: [namespaces/status], namespaces: [x]',
    'get namespaces/status x/x',
    false,
  ],
  ['nor its finalizer', 'verbs: ["*"], resources: ["*/*"], namespaces: [x]', 'update namespaces/finalize x/x', false],
  ['a namespace under *', 'verbs: ["*"], resources: [namespaces], namespaces: ["*"]', 'get namespaces x/x', true],
  ['a namespace by name', 'verbs: ["*"], resources: [namespaces], names: ["x*"]', 'get namespaces x1/x1', true],
  [
    '"namespaces" of another group is namespaced',
    'verbs: ["*"], resources: [namespaces.x.io], namespaces: [a]',
    'get namespaces.x.io a/n',
    true,
  ],
  ['a name that is listed', 'verbs: ["*"], resources: [pods], names: [a]', 'get pods n/a', true],
  ['a name that is not', 'verbs: ["*"], resources: [pods], names: [a]', 'get pods n/b', false],
  ['a name by glob', 'verbs: ["*"], resources: [pods], names: ["web-*"]', 'get pods n/web-1', true],
  ['names: not a call without one', 'verbs: ["*"], resources: [pods], names: [a]', 'list pods n/', false],
  [
    'a glob of names: not a call without one',
    'verbs: ["*"], resources: [pods], names: ["a*"]',
    'create pods n/',
    false,
  ],
  ['names *: a call without one', 'verbs: ["*"], resources: [pods], names: ["*"]', 'list pods n/', true],
  ['a URL', 'verbs: [get], nonResourceURLs: [/version]', 'get /version', true],
  ['a URL is not a prefix', 'verbs: [get], nonResourceURLs: [/version]', 'get /version/more', false],
  ['a URL by glob', 'verbs: [get], nonResourceURLs: ["/api*"]', 'get /apis/apps/v1', true],
  ['every URL', 'verbs: [get], nonResourceURLs: ["*"]', 'get /metrics', true],
  ['a URL with another verb', 'verbs: [get], nonResourceURLs: [/version]', 'post /version', false],
  ['URLs are no resources', 'verbs: ["*"], nonResourceURLs: ["*"]', 'get pods a/p', false],
  ['resources are no URLs', 'verbs: ["*"], resources: ["*", "*/*"]', 'get /version', false],
] as const;

for (const [what, rule, call, matches] of matching) {
  test(`rules: ${what}: ${call} ${matches ? 'matches' : 'does not match'} { ${rule} }`, async () => {
    const allow = await decide(setOf({ rules: [`{ effect: allow, ${rule} }`] }), call);
    assert.equal(allow.reasonCode, matches ? 'AllowedByRule' : 'NoRuleMatched');
    const deny = await decide(setOf({ rules: [`{ effect: deny, ${rule} }`] }), call);
    assert.equal(deny.reasonCode, matches ? 'DeniedByRule' : 'NoRuleMatched');
  });
}

/** What it shows, subjects, agent, whether the policy is for it. */
const subjects = [
  ['an agent by name', '[{ agent: demo }]', {}, true],
  ['another agent', '[{ agent: other }]', {}, false],
  ['a group of the agent', '[{ group: ops }]', { groups: ['dev', 'ops'] }, true],
  ['a group it is not in', '[{ group: ops }]', { groups: ['dev'] }, false],
  ['a group by the name of the agent', '[{ group: demo }]', {}, false],
  ['an agent by the name of a group', '[{ agent: ops }]', { groups: ['ops'] }, false],
  ['anyone known', '["*"]', { name: 'whoever' }, true],
  ['anyone known, as an agent', '[{ agent: "*" }]', { name: 'whoever' }, true],
  ['anyone known, as a group', '[{ group: "*" }]', { name: 'whoever' }, true],
  ['the issuer that is named', `[{ agent: demo, issuer: "${issuer}" }]`, {}, true],
  ['another issuer', `[{ agent: demo, issuer: "${issuer}" }]`, { issuer: 'https://other.example' }, false],
  ['one subject of several', '[{ agent: other }, { agent: demo }]', {}, true],
] as const;

for (const [what, text, who, applies] of subjects) {
  test(`subjects: ${what}`, async () => {
    assert.equal(
      (await decide(setOf({ subjects: text, rules: [get] }), 'get pods a/p', who)).effect,
      applies ? 'allow' : 'deny',
    );
  });
}

test('a policy is for the connections it names', async () => {
  const set = setOf({ connections: '["prod-*"]', rules: [get] });
  assert.equal((await judge(set, request('get pods a/p', { connection: 'prod-1' }))).effect, 'allow');
  assert.equal((await judge(set, request('get pods a/p', { connection: 'demo' }))).effect, 'deny');
});

test('an allow names its policy, rule and identity, and ends after ten seconds', async () => {
  const set = setOf({ name: 'readers', rules: [get] });
  assert.deepEqual(await decide(set, 'get pods a/p'), {
    effect: 'allow',
    digest: 'd1',
    policy: 'readers',
    rule: 'rules[0]',
    policyVersion: set.version,
    authority: 7,
    notAfter: nowMs + 10_000,
    reasonCode: 'AllowedByRule',
    obligations: { impersonate: { user: 'sluice:tier:demo', groups: ['sluice:demo'] } },
  });
});

test('a deny wins over an allow before it, and over one in another policy', async () => {
  const deny = '{ name: no, effect: deny, verbs: [get], resources: [pods], reason: "Not here." }';
  for (const set of [setOf({ rules: [get, deny] }), setOf({ name: 'a', rules: [get] }, { name: 'b', rules: [deny] })]) {
    const decision = denial(await decide(set, 'get pods a/p'));
    assert.deepEqual([decision.reasonCode, decision.rule, decision.reason], ['DeniedByRule', 'no', 'Not here.']);
    assert.equal((await decide(set, 'list pods a/')).effect, 'allow');
  }
});

test('a deny of a policy for somebody else does not count', async () => {
  const deny = '{ effect: deny, verbs: ["*"], resources: ["*"] }';
  assert.equal(
    (await decide(setOf({ rules: [get] }, { subjects: '[{ agent: other }]', rules: [deny] }), 'get pods a/p')).effect,
    'allow',
  );
});

test('the first rule that matches is named: policies by name, rules in their order', async () => {
  const named = (name: string): string => `{ name: ${name}, effect: allow, verbs: [get], resources: [pods] }`;
  const set = setOf({ name: 'z', rules: [named('z1')] }, { name: 'a', rules: [named('a1'), named('a2')] });
  const { policy, rule } = await decide(set, 'get pods a/p');
  assert.deepEqual([policy, rule], ['a', 'a1']);
});

test('a deny without a reason gets a sentence that names rule and call', async () => {
  const set = setOf({ rules: ['{ name: no, effect: deny, verbs: [delete], resources: [namespaces] }'] });
  const { reason } = denial(await decide(set, 'delete namespaces shop/shop'));
  assert.equal(
    reason,
    'agent "demo" may not delete namespaces "shop": the rule "no" of the policy "policy-0" denies it',
  );
});

test('what no rule allows is refused in a sentence, with what the agent may do instead', async () => {
  const decision = denial(await decide(setOf({ rules: [get] }), 'delete pods shop/web'));
  assert.deepEqual([decision.reasonCode, decision.policy, decision.rule], ['NoRuleMatched', '', '']);
  assert.equal(decision.reason, 'agent "demo" may not delete pods "web" in namespace "shop": no rule allows it');
  assert.equal(decision.hint, 'Allowed here: get, list, watch on pods.');
});

/** A call that nothing allows, and how the refusal speaks of it. */
const sentences = [
  ['delete namespaces shop/shop', 'delete namespaces "shop"'],
  ['get nodes /n1', 'get nodes "n1"'],
  ['create deployments.apps shop/', 'create deployments.apps in namespace "shop"'],
  ['create pods/exec shop/web', 'create pods/exec "web" in namespace "shop"'],
  ['get /metrics', 'get /metrics'],
] as const;

for (const [call, words] of sentences) {
  test(`the refusal of "${call}" says: may not ${words}`, async () => {
    const { reason } = denial(
      await decide(setOf({ rules: ['{ effect: allow, verbs: [get], resources: [secrets] }'] }), call),
    );
    assert.equal(reason, `agent "demo" may not ${words}: no rule allows it`);
  });
}

test('the hint names the namespaces where the call would be allowed', async () => {
  const set = setOf({ rules: ['{ effect: allow, verbs: [delete], resources: [pods], namespaces: ["shop-*"] }'] });
  assert.equal(denial(await decide(set, 'delete pods prod/web')).hint, 'Allowed here: delete on pods in shop-*.');
});

test('the hint names the objects where only some are allowed', async () => {
  const set = setOf({ rules: ['{ effect: allow, verbs: [get], resources: [secrets], names: [db] }'] });
  assert.equal(denial(await decide(set, 'get secrets shop/root')).hint, 'Allowed here: get on secrets named db.');
});

test('the hint is empty when nothing near is allowed, and tells nothing of policies for others', async () => {
  const set = setOf(
    { rules: [get] },
    { subjects: '[{ agent: other }]', rules: ['{ effect: allow, verbs: [get], resources: [secrets] }'] },
  );
  assert.equal(denial(await decide(set, 'get secrets a/s')).hint, '');
});

test('an agent that no policy knows gets the same sentence and no hint', async () => {
  const { reason, hint } = denial(await decide(setOf({ rules: [get] }), 'get pods a/p', { name: 'stranger' }));
  assert.equal(reason, 'agent "stranger" may not get pods "p" in namespace "a": no rule allows it');
  assert.equal(hint, '');
});
