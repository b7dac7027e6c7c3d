import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Decision, DecisionRequest } from '@sluice/model';
import { Conditions } from './conditions.ts';
import { evaluate } from './evaluate.ts';
import { agent, type PolicyText, request, setOf } from './fixtures.ts';

const conditions = new Conditions();
after(() => conditions.stop());

/** `rules`: each `effect` or `effect when CONDITION`, all of them for the call. */
function decide(
  rules: readonly string[],
  more: Partial<DecisionRequest> = {},
  body: unknown = null,
  policy: Partial<PolicyText> = {},
): Promise<Decision> {
  const texts = rules.map((rule) => {
    const [effect = '', when] = rule.split(' when ');
    const condition = when === undefined ? '' : `, when: '${when.replaceAll("'", "''")}'`;
    return `{ name: ${effect}, effect: ${effect}, verbs: ["*"], resources: ["*"]${condition} }`;
  });
  const set = setOf({ name: 'p', rules: texts, ...policy });
  const grounds = { set, authority: 7, nowMs: Date.UTC(2026, 0, 1), conditions: conditions.evaluate };
  const bytes = body === null ? null : Buffer.from(JSON.stringify(body));
  const form = { body: bytes === null ? 'none' : 'json' } as const;
  return evaluate(grounds, request('patch deployments.apps shop/web', { ...form, ...more }), bytes);
}

/** Rules that match, the effect, and why. */
const orders = [
  [['allow', 'ask', 'deny'], 'deny', 'DeniedByRule'],
  [['deny', 'ask', 'allow'], 'deny', 'DeniedByRule'],
  [['allow', 'ask'], 'ask', 'ApprovalRequired'],
  [['ask', 'allow'], 'ask', 'ApprovalRequired'],
  [['allow'], 'allow', 'AllowedByRule'],
] as const;

for (const [rules, effect, reasonCode] of orders) {
  test(`of ${rules.join(', ')} the rule with ${effect} decides`, async () => {
    const decision = await decide(rules);
    assert.deepEqual([decision.effect, decision.reasonCode, decision.rule], [effect, reasonCode, effect]);
  });
}

const elsewhere = '{ effect: deny, verbs: [get], resources: [nodes] }';

test('what no rule matches is refused where the policy does not say otherwise', async () => {
  const decision = await decide([], {}, null, { rules: [elsewhere] });
  assert.deepEqual([decision.effect, decision.reasonCode, decision.policy], ['deny', 'NoRuleMatched', '']);
});

test('what no rule matches is asked where the policy says so, in its name', async () => {
  const decision = await decide([], {}, null, { rules: [elsewhere], otherwise: 'ask' });
  assert.ok(decision.effect === 'ask');
  assert.deepEqual([decision.reasonCode, decision.policy, decision.rule], ['ApprovalRequired', 'p', '']);
  assert.equal(
    decision.reason,
    'agent "demo" needs the approval of a reviewer to patch deployments.apps "web" in namespace "shop": no rule allows it',
  );
});

test('otherwise ask changes nothing where a rule matches', async () => {
  assert.equal((await decide(['allow'], {}, null, { otherwise: 'ask' })).effect, 'allow');
  assert.equal((await decide(['deny'], {}, null, { otherwise: 'ask' })).effect, 'deny');
});

test('one applicable policy that asks otherwise is enough, and one for others does not count', async () => {
  const decideWith = async (subjects: string): Promise<Decision> => {
    const set = setOf(
      { name: 'a', rules: [elsewhere] },
      { name: 'b', rules: [elsewhere], otherwise: 'ask', subjects },
      { name: 'c', rules: [elsewhere] },
    );
    const grounds = { set, authority: 7, nowMs: 0, conditions: conditions.evaluate };
    return evaluate(grounds, request('list pods'), null);
  };
  const decision = await decideWith('[{ agent: demo }]');
  assert.deepEqual([decision.effect, decision.policy], ['ask', 'b']);
  assert.equal((await decideWith('[{ agent: other }]')).effect, 'deny');
});

test('an ask gives the reason of its rule, or a sentence that names it', async () => {
  const ask = (reason: string): string => `{ name: r, effect: ask, verbs: ["*"], resources: ["*"]${reason} }`;
  const given = await decide([], {}, null, { rules: [ask(', reason: "Ask the owners."')] });
  const made = await decide([], {}, null, { rules: [ask('')] });
  assert.ok(given.effect === 'ask' && made.effect === 'ask');
  assert.equal(given.reason, 'Ask the owners.');
  assert.equal(
    made.reason,
    'agent "demo" needs the approval of a reviewer to patch deployments.apps "web" in namespace "shop": the rule "r" of the policy "p"',
  );
});

test('an ask says what would be allowed without one', async () => {
  const get = '{ effect: allow, verbs: [get], resources: [deployments.apps], namespaces: [shop] }';
  const ask = '{ effect: ask, verbs: [patch], resources: [deployments.apps] }';
  const decision = await decide([], {}, null, { rules: [get, ask] });
  assert.ok(decision.effect === 'ask');
  assert.equal(decision.hint, 'Allowed here: get on deployments.apps in shop.');
});

test('a hint says under which condition a rule allows', async () => {
  const decision = await decide(['allow when object.spec.replicas <= 3'], {}, { spec: { replicas: 4 } });
  assert.ok(decision.effect === 'deny');
  assert.equal(decision.hint, 'Allowed here: * on * when object.spec.replicas <= 3.');
});

test('a hint names four rules at most', async () => {
  const rules = ['a', 'b', 'c', 'd', 'e'].map(
    (name) => `{ effect: allow, verbs: [get], resources: [deployments.apps], namespaces: [${name}] }`,
  );
  const decision = await decide([], {}, null, { rules });
  assert.ok(decision.effect === 'deny');
  const named = ['a', 'b', 'c', 'd'].map((name) => `get on deployments.apps in ${name}`);
  assert.equal(decision.hint, `Allowed here: ${named.join('; ')}.`);
});

const small = { spec: { replicas: 3 } };
const large = { spec: { replicas: 30 } };
const limit = 'object.spec.replicas <= 10';

/** Rules, body, effect. */
const conditional = [
  [[`allow when ${limit}`], small, 'allow'],
  [[`allow when ${limit}`], large, 'deny'],
  [[`ask when ${limit}`], small, 'ask'],
  [[`ask when ${limit}`], large, 'deny'],
  [[`deny when ${limit}`, 'allow'], small, 'deny'],
  [[`deny when ${limit}`, 'allow'], large, 'allow'],
  [[`allow when ${limit}`, 'ask'], small, 'ask'],
  [['allow', `ask when !(${limit})`], small, 'allow'],
  [['allow', `ask when !(${limit})`], large, 'ask'],
  [['deny when false', 'allow when true'], null, 'allow'],
  [[`allow when request.namespace == 'shop' && agent.name == 'demo' && request.connection == 'demo'`], null, 'allow'],
  [[`allow when request.verb == 'patch' && request.apiGroup == 'apps' && request.name == 'web'`], null, 'allow'],
  [[`allow when now < timestamp('2026-01-01T00:00:01Z')`], null, 'allow'],
  [[`allow when now < timestamp('2026-01-01T00:00:00Z')`], null, 'deny'],

  // A condition that ends as an error: of a deny it holds, of all else it does not.
  [['deny when object.spec.missing > 1', 'allow'], small, 'deny'],
  [['allow when object.spec.missing > 1'], small, 'deny'],
  [['ask when object.spec.missing > 1'], small, 'deny'],
  [['allow', 'ask when object.spec.missing > 1'], small, 'allow'],
  [['deny when has(object.spec)', 'allow'], null, 'deny'],
  [['allow when has(object.spec)', 'ask'], null, 'ask'],
  [['deny when object.?spec.?hostPID.orValue(false)', 'allow'], [{ op: 'add', path: '/spec/hostPID' }], 'deny'],
] as const;

for (const [rules, body, effect] of conditional) {
  test(`${rules.join(', ')}: a body of ${JSON.stringify(body)} is a matter of ${effect}`, async () => {
    assert.equal((await decide(rules, {}, body)).effect, effect);
  });
}

test('a condition of a URL rule knows its path, and of a resource rule that there is none', async () => {
  const rules = [
    `{ effect: allow, verbs: [get], nonResourceURLs: ["*"], when: 'request.path == "/version"' }`,
    `{ effect: allow, verbs: [get], resources: [pods], when: 'request.path == ""' }`,
  ];
  const effectOf = async (call: string): Promise<string> =>
    (await decide([], { attributes: request(call).attributes }, null, { rules })).effect;
  assert.deepEqual(await Promise.all(['get /version', 'get /api', 'get pods shop/web'].map(effectOf)), [
    'allow',
    'deny',
    'allow',
  ]);
});

/** With a body nobody can read: rules, effect, reason code. */
const opaque = [
  [[`deny when ${limit}`, 'allow'], 'deny', 'BodyOpaque'],
  [[`ask when ${limit}`, 'allow'], 'deny', 'BodyOpaque'],
  [[`ask when ${limit}`], 'deny', 'BodyOpaque'],
  [[`allow when ${limit}`], 'deny', 'BodyOpaque'],
  [[`allow when ${limit}`, 'allow'], 'allow', 'AllowedByRule'],
  [[`allow when ${limit}`, 'ask'], 'ask', 'ApprovalRequired'],
  [[`deny when ${limit}`, 'deny'], 'deny', 'DeniedByRule'],
  [[`allow when ${limit}`, 'deny'], 'deny', 'DeniedByRule'],
  [[`deny when request.namespace == 'shop'`, 'allow'], 'deny', 'DeniedByRule'],
  [[`deny when request.namespace == 'web'`, 'allow'], 'allow', 'AllowedByRule'],
] as const;

for (const [rules, effect, reasonCode] of opaque) {
  test(`a body nobody can read: ${rules.join(', ')}: ${reasonCode}`, async () => {
    const decision = await decide(rules, { body: 'opaque' });
    assert.deepEqual([decision.effect, decision.reasonCode], [effect, reasonCode]);
  });
}

test('a refusal for a body nobody can read names the rule that needs it', async () => {
  const decision = await decide([`ask when ${limit}`, 'allow'], { body: 'opaque' });
  assert.ok(decision.effect === 'deny');
  assert.equal(decision.rule, 'ask');
  assert.equal(
    decision.reason,
    'agent "demo" may not patch deployments.apps "web" in namespace "shop": the rule "ask" of the policy "p" depends on the request body, which Sluice cannot read in this encoding',
  );
});

/** Effect of the rule, its names, what the create says of its name, whether the rule matches. */
const names = [
  ['allow', 'web-*', { generateName: 'web-' }, true],
  ['allow', 'web*', { generateName: 'web-' }, true],
  ['allow', '*', { generateName: 'web-' }, true],
  ['allow', 'web-', { generateName: 'web-' }, false],
  ['allow', 'web-x1', { generateName: 'web-' }, false],
  ['allow', 'web-a*', { generateName: 'web-' }, false],
  ['allow', 'db-*', { generateName: 'web-' }, false],
  ['allow', '*-web', { generateName: 'my-web' }, false],
  ['deny', 'web-*', { generateName: 'web-' }, true],
  ['deny', 'web-', { generateName: 'web-' }, false],
  ['allow', 'web', { name: 'web' }, true],
  ['allow', 'web-*', { name: 'web' }, false],
  ['deny', 'web', { name: 'web' }, true],
  ['allow', 'web', {}, false],
  ['allow', 'web*', {}, false],
  ['deny', 'web', {}, false],
  ['deny', 'web', { body: 'opaque' }, true],
  ['ask', 'web', { body: 'opaque' }, true],
  ['allow', 'web', { body: 'opaque' }, false],
  ['allow', 'web*', { body: 'opaque' }, false],
  ['allow', '*', { body: 'opaque' }, true],
] as const;

for (const [effect, glob, said, matches] of names) {
  test(`a create with ${JSON.stringify(said)}: ${effect} of ${glob} ${matches ? 'matches' : 'does not match'}`, async () => {
    const { name = '', ...more } = said as { readonly name?: string };
    const set = setOf({ rules: [`{ effect: ${effect}, verbs: [create], resources: [pods], names: ["${glob}"] }`] });
    const grounds = { set, authority: 7, nowMs: 0, conditions: conditions.evaluate };
    const call = request(`create pods shop/${name}`, { agent: agent(), body: 'json', ...more });
    const { rule } = await evaluate(grounds, call, Buffer.from('{}'));
    assert.equal(rule, matches ? 'rules[0]' : '');
  });
}

test('a change by name with a body nobody can read is matched by its name', async () => {
  const set = setOf({ rules: ['{ effect: deny, verbs: [update], resources: [pods], names: [db] }'] });
  const grounds = { set, authority: 7, nowMs: 0, conditions: conditions.evaluate };
  const reasonOf = async (name: string): Promise<string> =>
    (await evaluate(grounds, request(`update pods shop/${name}`, { body: 'opaque' }), null)).reasonCode;
  assert.deepEqual([await reasonOf('db'), await reasonOf('web')], ['DeniedByRule', 'NoRuleMatched']);
});
