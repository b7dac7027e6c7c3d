import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Decision, Obligations } from '@sluice/model';
import { Conditions } from './conditions.ts';
import { evaluate } from './evaluate.ts';
import { denial, type PolicyText, request, setOf } from './fixtures.ts';

const nowMs = 1_700_000_000_000;
const impersonate = { user: 'sluice:tier:demo', groups: ['sluice:demo'] };

const conditions = new Conditions();
after(() => conditions.stop());

function decide(policies: readonly PolicyText[], call = 'get pods shop/web'): Promise<Decision> {
  const grounds = { set: setOf(...policies), authority: 7, nowMs, conditions: conditions.evaluate };
  return evaluate(grounds, request(call), null);
}

async function obligationsOf(policies: readonly PolicyText[], call?: string): Promise<Obligations> {
  const decision = await decide(policies, call);
  assert.ok(decision.effect !== 'deny', decision.reasonCode);
  return decision.obligations;
}

const allow = ['{ effect: allow, verbs: [get], resources: [pods] }'];
const ask = ['{ effect: ask, verbs: [get], resources: [pods] }'];
const nodes = ['{ effect: allow, verbs: [get], resources: [nodes] }'];

test('without more in the policy, a call is only given its identity', async () => {
  assert.deepEqual(await obligationsOf([{ rules: allow }]), { impersonate });
});

test('a full record and a deadline go with the call', async () => {
  const policy = { rules: allow, obligations: 'record: full, deadline: 90s' };
  assert.deepEqual(await obligationsOf([policy]), { impersonate, record: 'full', deadline: nowMs + 90_000 });
});

test('an ask carries what an approved call will have to keep', async () => {
  const policy = { rules: ask, obligations: 'record: full, deadline: 1h' };
  assert.deepEqual(await obligationsOf([policy]), { impersonate, record: 'full', deadline: nowMs + 3_600_000 });
});

test('an ask because of otherwise carries those of the policy that says so', async () => {
  const other = { name: 'b', rules: nodes, impersonate: '{ user: "sluice:tier:other" }' };
  const asking = { name: 'a', rules: nodes, otherwise: 'ask', obligations: 'deadline: 10s' };
  assert.deepEqual(await obligationsOf([asking, other]), { impersonate, deadline: nowMs + 10_000 });
});

test('of several policies the fullest record and the earliest deadline win', async () => {
  const merged = await obligationsOf([
    { rules: allow, obligations: 'deadline: 10m' },
    { rules: allow },
    { rules: allow, obligations: 'record: full' },
    { rules: allow, obligations: 'deadline: 2m' },
  ]);
  assert.deepEqual(merged, { impersonate, record: 'full', deadline: nowMs + 120_000 });
});

test('an allow beside the ask that decides binds as well', async () => {
  const merged = await obligationsOf([{ rules: ask }, { rules: allow, obligations: 'record: full' }]);
  assert.deepEqual(merged, { impersonate, record: 'full' });
});

test('a policy none of whose rules match binds nothing', async () => {
  assert.deepEqual(
    await obligationsOf([{ rules: allow }, { rules: nodes, obligations: 'record: full, deadline: 1s' }]),
    {
      impersonate,
    },
  );
});

test('what a call amounts to besides binds as well', async () => {
  const watch = { rules: ['{ effect: allow, verbs: [watch], resources: [pods] }'] };
  const list = { rules: ['{ effect: allow, verbs: [list], resources: [pods] }'], obligations: 'deadline: 5m' };
  assert.deepEqual(await obligationsOf([watch, list], 'watch pods shop/'), { impersonate, deadline: nowMs + 300_000 });
});

const another = '{ user: "sluice:tier:other", groups: ["sluice:demo"] }';

/** Two policies that cannot both be obeyed. */
const conflicts: readonly (readonly [string, readonly PolicyText[], string?])[] = [
  [
    'two allows',
    [
      { name: 'a', rules: allow },
      { name: 'b', rules: allow, impersonate: another },
    ],
  ],
  [
    'an allow and an ask',
    [
      { name: 'a', rules: allow },
      { name: 'b', rules: ask, impersonate: another },
    ],
  ],
  [
    'the same user in other groups',
    [
      { name: 'a', rules: allow },
      { name: 'b', rules: allow, impersonate: '{ user: "sluice:tier:demo" }' },
    ],
  ],
  [
    'two that ask otherwise',
    [
      { name: 'a', rules: nodes, otherwise: 'ask' },
      { name: 'b', rules: nodes, otherwise: 'ask', impersonate: another },
    ],
  ],
  [
    'the call and what it amounts to',
    [
      { name: 'a', rules: ['{ effect: allow, verbs: [watch], resources: [pods] }'] },
      { name: 'b', rules: ['{ effect: allow, verbs: [list], resources: [pods] }'], impersonate: another },
    ],
    'watch pods shop/',
  ],
];

for (const [what, policies, call] of conflicts) {
  test(`different identities refuse each other: ${what}`, async () => {
    const decision = denial(await decide(policies, call));
    assert.equal(decision.reasonCode, 'ObligationConflict');
    assert.equal(decision.reason, 'the policies "a" and "b" demand different identities for this call');
  });
}

test('another identity is no conflict in a policy whose rules do not match, or only ask otherwise', async () => {
  const other = { name: 'b', rules: nodes, otherwise: 'ask', impersonate: another };
  assert.deepEqual(await obligationsOf([{ name: 'a', rules: allow }, other]), { impersonate });
});

test('a deny comes before a conflict', async () => {
  const deny = '{ effect: deny, verbs: [get], resources: [pods] }';
  const policies = [{ rules: allow }, { rules: [...allow, deny], impersonate: another }];
  assert.equal((await decide(policies)).reasonCode, 'DeniedByRule');
});
