// The second decision: what a reviewer's approval changes, and what it does not.
import assert from 'node:assert/strict';
import { createSecretKey, randomBytes } from 'node:crypto';
import { after, test } from 'node:test';
import type { Decision, DecisionRequest, Grant } from '@sluice/model';
import { openGrant, signGrant } from '@sluice/runtime';
import { Conditions } from './conditions.ts';
import { evaluate } from './evaluate.ts';
import { agent, issuer, type PolicyText, request, setOf } from './fixtures.ts';
import { answers } from './grant.ts';

const conditions = new Conditions();
after(() => conditions.stop());

const key = createSecretKey(randomBytes(32));
const nowMs = 1_700_000_000_000;
const shape = 'ab'.repeat(32);
const alice = { name: 'local:alice', groups: ['sre'] };
const bob = { name: 'local:bob', groups: [] };

/** What the approval service signs for the call of `decide`. */
const granted: Grant = {
  approval: '0190a000-0000-7000-8000-00000000000a',
  agent: { issuer, name: 'demo' },
  connection: 'demo',
  shape,
  reviewers: [alice],
};

/** A second decision on the delete of a pod, as the worker makes it: from what travels. */
function decide(
  policies: readonly PolicyText[],
  signed: string,
  more: Partial<DecisionRequest> = {},
): Promise<Decision> {
  const grounds = { set: setOf(...policies), authority: 7, nowMs, conditions: conditions.evaluate };
  const asked = request('delete pods shop/web', { granted: { shape, grant: signed }, ...more });
  return evaluate(grounds, asked, null, openGrant(key, signed));
}

function ask(approval = '{}'): string {
  return `{ name: careful, effect: ask, verbs: [delete], resources: [pods], approval: ${approval} }`;
}

const asking: PolicyText = { name: 'p', rules: [ask()] };

test('a grant for the call lets it through, in the name of the rule that asks, with all obligations', async () => {
  const recorded: PolicyText = {
    name: 'q',
    rules: ['{ effect: allow, verbs: ["*"], resources: [pods] }'],
    obligations: 'record: full, deadline: 10m, mask: [{ resources: [pods], keys: [dsn] }]',
  };
  assert.deepEqual(await decide([asking, recorded], signGrant(key, granted)), {
    digest: 'd1',
    policyVersion: setOf(asking, recorded).version,
    authority: 7,
    notAfter: nowMs + 10_000,
    policy: 'p',
    rule: 'careful',
    effect: 'allow',
    reasonCode: 'AllowedByApproval',
    obligations: {
      impersonate: { user: 'sluice:tier:demo', groups: ['sluice:demo'] },
      record: 'full',
      deadline: nowMs + 600_000,
      mask: [{ resources: ['pods'], paths: [], keys: ['dsn'], detectors: [] }],
    },
  });
});

test('a grant answers what otherwise asks, in the name of the policy that says so', async () => {
  const other = '{ effect: allow, verbs: [get], resources: [nodes] }';
  const decision = await decide([{ name: 'p', otherwise: 'ask', rules: [other] }], signGrant(key, granted));
  assert.deepEqual(
    [decision.effect, decision.reasonCode, decision.policy, decision.rule],
    ['allow', 'AllowedByApproval', 'p', ''],
  );
});

test('a grant for an agent whose groups have changed is still for this agent', async () => {
  const decision = await decide([asking], signGrant(key, granted), { agent: agent({ groups: ['more'] }) });
  assert.equal(decision.effect, 'allow');
});

const forged = signGrant(createSecretKey(randomBytes(32)), granted);
const signed = signGrant(key, granted);
const altered = Buffer.from(signed, 'base64');
altered.write('local:mallo', altered.indexOf('local:alice'));

/** Grants that do not fit the call: what it shows, the grant, the call. */
const misfits: readonly (readonly [string, string, Partial<DecisionRequest>?])[] = [
  ['signed with another key', forged],
  ['changed after it was signed', altered.toString('base64')],
  ['that is empty', ''],
  ['that is nothing of the kind', Buffer.from('{"approval":"a"}'.repeat(8)).toString('base64')],
  ['for another agent', signed, { agent: agent({ name: 'other' }) }],
  ['for an agent of that name, of another issuer', signed, { agent: agent({ issuer: 'https://other.example' }) }],
  ['for another connection', signed, { connection: 'prod' }],
  ['for another shape', signed, { granted: { shape: 'cd'.repeat(32), grant: signed } }],
  ['that nobody approved', signGrant(key, { ...granted, reviewers: [] })],
];

for (const [what, grant, more] of misfits) {
  test(`a grant ${what} changes nothing`, async () => {
    const anyone: PolicyText = { name: 'p', subjects: '["*"]', rules: [ask()] };
    const { granted: _, ...without } = request('delete pods shop/web', more);
    const grounds = { set: setOf(anyone), authority: 7, nowMs, conditions: conditions.evaluate };
    const first = await evaluate(grounds, without, null);
    assert.equal(first.effect, 'ask');
    assert.deepEqual(await decide([anyone], grant, more), first);
  });
}

test('a grant that does not travel with the call is none', async () => {
  const grounds = { set: setOf(asking), authority: 7, nowMs, conditions: conditions.evaluate };
  assert.equal((await evaluate(grounds, request('delete pods shop/web'), null, granted)).effect, 'ask');
});

const [any, sre, both] = [ask(), ask('{ reviewers: ["group:sre"] }'), ask('{ reviewers: ["group:x", "local:bob"] }')];

/** What the policy says now: its rules, who approved, the effect. */
const now = [
  ['any reviewer', [any], [bob], 'allow'],
  ['a group of theirs', [sre], [alice], 'allow'],
  ['a group that is not theirs', [sre], [bob], 'ask'],
  ['their name', [both], [bob], 'allow'],
  ['another name', [both], [alice], 'ask'],
  ['two lists, and one approver in one of them', [sre, both], [alice], 'ask'],
  ['two lists, and one approver in the other', [sre, both], [bob], 'ask'],
  ['two lists, and an approver for each', [sre, both], [alice, bob], 'allow'],
  ['two lists, and one approver for both', [sre, both], [{ name: 'local:bob', groups: ['sre'] }], 'allow'],
  ['a name of which theirs is a part', [ask('{ reviewers: ["local:bobby"] }')], [bob], 'ask'],
  ['a name that is a part of theirs', [ask('{ reviewers: ["local:bo"] }')], [bob], 'ask'],
  ['a group that is called like them', [ask('{ reviewers: ["group:local:bob"] }')], [bob], 'ask'],
  ['a name that is called like their group', [ask('{ reviewers: ["local:sre"] }')], [alice], 'ask'],
  ['a group, where an issuer is called "group"', [sre], [{ name: 'group:sre', groups: [] }], 'ask'],
] as const;

for (const [what, rules, reviewers, effect] of now) {
  test(`a grant, where reviewers are now ${what}, is a matter of ${effect}`, async () => {
    const decision = await decide([{ rules }], signGrant(key, { ...granted, reviewers }));
    assert.equal(decision.effect, effect);
  });
}

test('a quorum counts approvers by name', () => {
  const terms = { reviewers: [], quorum: 2, holdMs: 0, expiresMs: 60_000 };
  const asked = request('delete pods shop/web', { granted: { shape, grant: signed } });
  const answered = [[alice], [alice, { ...alice, groups: [] }], [alice, bob]].map((reviewers) =>
    answers({ ...granted, reviewers }, asked, terms),
  );
  assert.deepEqual(answered, [false, false, true]);
});

test('a deny wins over a grant', async () => {
  const deny = '{ name: never, effect: deny, verbs: [delete], resources: [pods] }';
  const decision = await decide([{ rules: [ask(), deny] }], signed);
  assert.deepEqual([decision.effect, decision.reasonCode, decision.rule], ['deny', 'DeniedByRule', 'never']);
});

test('what no rule matches any more is refused, whatever was granted', async () => {
  const decision = await decide([{ rules: ['{ effect: ask, verbs: [get], resources: [pods] }'] }], signed);
  assert.equal(decision.reasonCode, 'NoRuleMatched');
});

test('different identities refuse each other, whatever was granted', async () => {
  const other = { rules: [ask()], impersonate: '{ user: "sluice:tier:other" }' };
  assert.equal((await decide([asking, other], signed)).reasonCode, 'ObligationConflict');
});

test('a question about what is masked is refused, whatever was granted', async () => {
  const secrets: PolicyText = { rules: ['{ effect: ask, verbs: [list], resources: [secrets] }'] };
  const { attributes } = request('list secrets shop/');
  const decision = await decide([secrets], signed, { attributes, fieldSelector: 'data.password=x' });
  assert.equal(decision.reasonCode, 'SelectorReadsMasked');
});

test('what a rule allows needs no grant, and has the name of that rule', async () => {
  const allow = '{ name: free, effect: allow, verbs: [delete], resources: [pods] }';
  const decision = await decide([{ rules: [allow] }], signed);
  assert.deepEqual([decision.reasonCode, decision.rule], ['AllowedByRule', 'free']);
});
