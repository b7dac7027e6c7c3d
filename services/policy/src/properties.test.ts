// What must hold of every set of policies: a rule that restricts never lets anything more through.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Decision, DecisionRequest, Effect, Grant } from '@sluice/model';
import fc from 'fast-check';
import { Conditions } from './conditions.ts';
import { evaluate } from './evaluate.ts';
import { agent, demoUser, type PolicyText, request, setOf } from './fixtures.ts';

const conditions = new Conditions();
after(() => conditions.stop());

interface Asked {
  readonly request: DecisionRequest;
  readonly body: Buffer | null;
}

async function decide(
  policies: readonly PolicyText[],
  { request, body }: Asked,
  approved: Grant | null = null,
): Promise<Decision> {
  const grounds = { set: setOf(...policies), authority: 1, nowMs: 0, conditions: conditions.evaluate };
  return evaluate(grounds, request, body, approved);
}

const someOf = (...values: string[]): fc.Arbitrary<string> =>
  fc.subarray(values, { minLength: 1 }).map((chosen) => JSON.stringify(chosen));

/** All of a rule but its effect. */
const match = fc
  .record({
    verbs: someOf('get', 'list', 'create', 'patch', 'delete', 'proxy', '*'),
    resources: someOf('pods', 'pods/*', 'pods/exec', 'deployments.apps', '*', '*/*', '*.apps', 'namespaces'),
    namespaces: someOf('shop', 'shop-*', '*'),
    names: someOf('a', 'a*', '*'),
    when: fc.option(
      fc.constantFrom(
        '\'request.namespace == "shop"\'',
        "'object.replicas <= 3'",
        "'has(object.replicas)'",
        "'[1][5] == 1'",
      ),
    ),
  })
  .map((fields) =>
    Object.entries(fields)
      .filter(([, value]) => value !== null)
      .map(([key, value]) => `${key}: ${value}`)
      .join(', '),
  );

const policies = fc.array(
  fc.record({
    subjects: fc.constantFrom('[{ agent: demo }]', '[{ group: ops }]', '["*"]'),
    otherwise: fc.constantFrom('deny', 'deny', 'ask'),
    impersonate: fc.constantFrom(demoUser, demoUser, '{ user: "sluice:tier:other" }'),
    rules: fc.array(
      fc
        .tuple(fc.constantFrom('allow', 'allow', 'deny', 'ask'), match)
        .map(([effect, text]) => `{ effect: ${effect}, ${text} }`),
      { minLength: 1, maxLength: 4 },
    ),
  }),
  { minLength: 1, maxLength: 3 },
);

const bodies = [
  ['none', null],
  ['json', '{"replicas":2}'],
  ['json', '{"replicas":5}'],
  ['json', '[]'],
  ['apply', '{"replicas":2}'],
  ['opaque', null],
] as const;

const asked: fc.Arbitrary<Asked> = fc
  .tuple(
    fc.constantFrom('get', 'list', 'watch', 'create', 'patch', 'delete'),
    fc.constantFrom('pods', 'pods/log', 'pods/exec', 'pods/proxy', 'deployments.apps', 'nodes', 'namespaces'),
    fc.constantFrom('/', 'shop/', 'shop/a', 'shop-1/ab', '/a'),
    fc.constantFrom(...bodies),
    fc.constantFrom('', 'a', 'ab-'),
  )
  .map(([verb, resource, where, [body, text], generateName]) => ({
    request: request(`${verb} ${resource} ${where}`, { agent: agent({ groups: ['ops'] }), body, generateName }),
    body: text === null ? null : Buffer.from(text),
  }));

/** The effect without and with one more rule, at any place. */
function withOneMore(effect: 'deny' | 'ask', holds: (before: Effect, after: Effect) => boolean): Promise<void> {
  return fc.assert(
    fc.asyncProperty(policies, match, fc.nat(), fc.nat(), asked, async (texts, added, at, place, call) => {
      const more = texts.map((policy, index) => {
        const { rules } = policy;
        const to = place % (rules.length + 1);
        return index === at % texts.length
          ? { ...policy, rules: [...rules.slice(0, to), `{ effect: ${effect}, ${added} }`, ...rules.slice(to)] }
          : policy;
      });
      const { effect: before } = await decide(texts, call);
      const { effect: after } = await decide(more, call);
      assert.ok(holds(before, after), `${before} became ${after}`);
    }),
    { numRuns: 300 },
  );
}

test('a deny added to any set refuses, or changes nothing', () =>
  withOneMore('deny', (before, after) => after === before || after === 'deny'));

test('an ask added to any set lets nothing through that was not', () =>
  withOneMore('ask', (before, after) => after !== 'allow' || before === 'allow'));

test('a grant makes an ask of any set an allow with the same obligations, and changes nothing else', () =>
  fc.assert(
    fc.asyncProperty(policies, asked, async (texts, call) => {
      const granted = { ...call, request: { ...call.request, granted: { shape: 's', grant: '' } } };
      const before = await decide(texts, granted);
      const { agent, connection } = call.request;
      const reviewers = [{ name: 'local:alice', groups: [] }];
      const after = await decide(texts, granted, { approval: 'a', agent, connection, shape: 's', reviewers });
      if (before.effect !== 'ask') return assert.deepEqual(after, before);
      const { reason: _reason, hint: _hint, terms: _terms, ...kept } = before;
      assert.deepEqual(after, { ...kept, effect: 'allow', reasonCode: 'AllowedByApproval' });
    }),
    { numRuns: 300 },
  ));

test('an ask added to any set leaves every refusal by a rule', () =>
  fc.assert(
    fc.asyncProperty(policies, match, asked, async (texts, added, call) => {
      const before = await decide(texts, call);
      fc.pre(before.reasonCode === 'DeniedByRule');
      const [first, ...others] = texts;
      const asking = { ...first, rules: [`{ effect: ask, ${added} }`, ...(first?.rules ?? [])] };
      assert.equal((await decide([asking, ...others], call)).effect, 'deny');
    }),
    { numRuns: 100 },
  ));
