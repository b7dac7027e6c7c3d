import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { ApprovalTerms } from '@sluice/model';
import { Conditions } from './conditions.ts';
import { evaluate } from './evaluate.ts';
import { type PolicyText, request, setOf } from './fixtures.ts';
import { mergeTerms } from './terms.ts';

const conditions = new Conditions();
after(() => conditions.stop());

const minute = 60_000;
const byDefault: ApprovalTerms = { reviewers: [], quorum: 1, holdMs: minute, expiresMs: 30 * minute };

async function termsOf(policies: readonly PolicyText[], call = 'delete pods shop/web'): Promise<ApprovalTerms> {
  const grounds = { set: setOf(...policies), authority: 7, nowMs: 0, conditions: conditions.evaluate };
  const decision = await evaluate(grounds, request(call), null);
  assert.ok(decision.effect === 'ask', decision.reasonCode);
  return decision.terms;
}

function ask(approval: string, more = 'verbs: [delete], resources: [pods]'): string {
  return `{ effect: ask, ${more}${approval === '' ? '' : `, approval: ${approval}`} }`;
}

/** What asks, its policies, call, and the terms. */
const asks: readonly (readonly [string, readonly PolicyText[], ApprovalTerms, string?])[] = [
  ['one rule without an approval', [{ rules: [ask('')] }], byDefault],
  [
    'one rule',
    [{ rules: [ask('{ reviewers: ["group:sre", "local:a"], hold: 5m, expires: 4h }')] }],
    { reviewers: [['group:sre', 'local:a']], quorum: 1, holdMs: 5 * minute, expiresMs: 240 * minute },
  ],
  [
    'two rules of one policy: both lists, the shortest hold and the shortest expiry, whichever they are of',
    [
      {
        rules: [
          ask('{ reviewers: ["group:sre"], hold: 5m, expires: 10m }'),
          ask('{ reviewers: ["local:a"], hold: 30s, expires: 4h }'),
        ],
      },
    ],
    { reviewers: [['group:sre'], ['local:a']], quorum: 1, holdMs: 30_000, expiresMs: 10 * minute },
  ],
  [
    'rules of two policies, one of which takes any reviewer',
    [{ rules: [ask('{ hold: 0s, expires: 1h }')] }, { rules: [ask('{ reviewers: ["group:sre"], expires: 2h }')] }],
    { reviewers: [['group:sre']], quorum: 1, holdMs: 0, expiresMs: 60 * minute },
  ],
  [
    'the same rule twice, as the call and as what it amounts to: its list once',
    [{ rules: [ask('{ reviewers: ["group:sre"], hold: 2m }', 'verbs: [get, create], resources: [pods/exec]')] }],
    { reviewers: [['group:sre']], quorum: 1, holdMs: 2 * minute, expiresMs: 30 * minute },
    'get pods/exec shop/web',
  ],
  [
    'what a call amounts to besides, by a rule of its own',
    [
      {
        rules: [
          ask('{ reviewers: ["group:sre"], hold: 2m }', 'verbs: [get], resources: [pods/exec]'),
          ask('{ reviewers: ["group:shop"], expires: 5m }', 'verbs: [create], resources: [pods/exec]'),
        ],
      },
    ],
    { reviewers: [['group:sre'], ['group:shop']], quorum: 1, holdMs: minute, expiresMs: 5 * minute },
    'get pods/exec shop/web',
  ],
  [
    'otherwise alone',
    [{ otherwise: 'ask', rules: [ask('{ hold: 5m, expires: 4h }', 'verbs: [get], resources: [nodes]')] }],
    byDefault,
  ],
  [
    'a rule, and otherwise for what the call amounts to: the shorter ones of the two',
    [
      {
        otherwise: 'ask',
        rules: [ask('{ reviewers: ["group:sre"], hold: 5m, expires: 10m }', 'verbs: [create], resources: [pods/exec]')],
      },
    ],
    { reviewers: [['group:sre']], quorum: 1, holdMs: minute, expiresMs: 10 * minute },
    'get pods/exec shop/web',
  ],
  [
    'a rule beside an allow and beside rules for other calls',
    [
      {
        rules: [
          '{ effect: allow, verbs: [delete], resources: [pods] }',
          ask('{ reviewers: ["local:a"], hold: 1s, expires: 1m }', 'verbs: [get], resources: [pods]'),
          ask('{ hold: 2m }'),
        ],
      },
    ],
    { ...byDefault, holdMs: 2 * minute },
  ],
];

for (const [what, policies, terms, call] of asks) {
  test(`the terms of an ask: ${what}`, async () => {
    assert.deepEqual(await termsOf(policies, call), terms);
  });
}

test('of several quorums the largest holds', () => {
  const merged = mergeTerms([1, 3, 2].map((quorum) => ({ ...byDefault, quorum })));
  assert.deepEqual(merged, { ...byDefault, quorum: 3 });
});

test('an ask whose condition does not hold brings no terms', async () => {
  const other = `{ effect: ask, verbs: [delete], resources: [pods], when: 'request.name == "db"', approval: { hold: 1s } }`;
  assert.deepEqual(await termsOf([{ rules: [ask('{ hold: 2m }'), other] }]), { ...byDefault, holdMs: 2 * minute });
});
