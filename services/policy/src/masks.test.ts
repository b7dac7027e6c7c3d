import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { MaskRule, Obligations } from '@sluice/model';
import fc from 'fast-check';
import { Conditions } from './conditions.ts';
import { evaluate } from './evaluate.ts';
import { type PolicyText, request, setOf } from './fixtures.ts';

const conditions = new Conditions();
after(() => conditions.stop());

async function maskOf(policies: readonly PolicyText[], call = 'get secrets shop/web'): Promise<Obligations['mask']> {
  const grounds = { set: setOf(...policies), authority: 7, nowMs: 1_700_000_000_000, conditions: conditions.evaluate };
  const decision = await evaluate(grounds, request(call), null);
  assert.ok(decision.effect !== 'deny', decision.reasonCode);
  return decision.obligations.mask;
}

const secrets = '{ effect: allow, verbs: [get], resources: [secrets] }';
const unmasked = '{ effect: allow, verbs: [get], resources: [secrets], names: ["web*"], mask: none }';
const byKey = (key: string, resource = 'secrets'): string => `mask: [{ resources: [${resource}], keys: [${key}] }]`;
const rule = (key: string, resource = 'secrets'): MaskRule => ({
  resources: [resource],
  paths: [],
  keys: [key],
  detectors: [],
});

test('without a word about masks, a decision says nothing of them', async () => {
  assert.equal(await maskOf([{ rules: [secrets] }]), undefined);
});

test('the masks of a policy go with what it lets through, on their resources alone', async () => {
  assert.deepEqual(await maskOf([{ rules: [secrets], obligations: byKey('a') }]), [rule('a')]);
  assert.deepEqual(await maskOf([{ rules: [secrets], obligations: byKey('a', '"*"') }]), [rule('a', '*')]);
  assert.equal(await maskOf([{ rules: [secrets], obligations: byKey('a', 'pods') }]), undefined);
});

test('masks of several policies unite, each once', async () => {
  const policies = ['a', 'b', 'a'].map((key) => ({ rules: [secrets], obligations: byKey(key) }));
  assert.deepEqual(await maskOf(policies), [rule('a'), rule('b')]);
});

test('a policy that does not let the call through adds no masks', async () => {
  const other = { rules: ['{ effect: allow, verbs: [get], resources: [pods] }'], obligations: byKey('b') };
  assert.deepEqual(await maskOf([{ rules: [secrets], obligations: byKey('a') }, other]), [rule('a')]);
});

test('mask: none holds beside a wider rule of the same policy', async () => {
  assert.equal(await maskOf([{ rules: [secrets, unmasked], obligations: byKey('a') }]), 'none');
});

test('it holds for what its rule matches, and nothing else', async () => {
  assert.equal(await maskOf([{ rules: [secrets, unmasked] }], 'get secrets shop/other'), undefined);
});

test('another policy that lets the call through keeps the masks, and the first one\u2019s rules with them', async () => {
  assert.equal(await maskOf([{ rules: [unmasked] }, { rules: [secrets] }]), undefined);
  const both = [
    { rules: [unmasked], obligations: byKey('a') },
    { rules: [secrets], obligations: byKey('b') },
  ];
  assert.deepEqual(await maskOf(both), [rule('a'), rule('b')]);
});

test('where every policy gives leave, there are no masks', async () => {
  assert.equal(await maskOf([{ rules: [unmasked] }, { rules: [secrets, unmasked] }]), 'none');
});

/** What is masked: nothing less than what always is, and these keys besides. */
function strengthOf(mask: Obligations['mask']): ReadonlySet<string> {
  if (mask === 'none') return new Set();
  return new Set(['always', ...(mask ?? []).flatMap(({ keys }) => keys)]);
}

test('a policy more never shows more', async () => {
  const policy = fc.record({
    rules: fc.subarray([secrets, unmasked], { minLength: 1 }),
    obligations: fc.constantFrom(byKey('a'), byKey('b'), byKey('c', 'pods'), 'record: full'),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(policy, { minLength: 1, maxLength: 3 }), policy, async (policies, more) => {
      const [fewer, many] = [strengthOf(await maskOf(policies)), strengthOf(await maskOf([...policies, more]))];
      for (const masked of fewer) assert.ok(many.has(masked), masked);
    }),
    { numRuns: 100 },
  );
});
