import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Decision, Obligations } from '@sluice/model';
import { createLogger } from '@sluice/runtime';
import { until } from '@sluice/testing';
import { LiveCalls } from './live.ts';
import { Refusal } from './refusal.ts';

const log = createLogger('test', '/dev/null');
const base = { policy: 'p', rule: 'r', policyVersion: 'v', authority: 1, digest: 'd', notAfter: 0 };
const allow = (user: string, more: Omit<Obligations, 'impersonate'> = {}): Decision => ({
  ...base,
  effect: 'allow',
  reasonCode: 'AllowedByRule',
  obligations: { impersonate: { user, groups: [] }, ...more },
});
const deny: Decision = { ...base, effect: 'deny', reasonCode: 'DeniedByRule', reason: 'no more', hint: '' };

/** A live call that is decided again in these ways, one after the other; the last one stays. */
function liveCall(...answers: (() => Decision)[]) {
  const calls = new LiveCalls(log);
  const cuts: Refusal[] = [];
  const last = answers.at(-1) ?? (() => deny);
  let asked = 0;
  const remove = calls.add({
    id: 'c',
    session: 'day',
    isStream: false,
    decision: allow('u'),
    decideAgain: async () => (answers[asked++] ?? last)(),
    cut: (why) => cuts.push(why),
  });
  return { calls, cuts, remove, asked: () => asked };
}

test('a call that is still allowed as it was goes on', async () => {
  const { calls, cuts, asked } = liveCall(() => allow('u'));
  calls.authorityChanged();
  await until('the second decision', () => asked() === 1);
  assert.deepEqual(cuts, []);
});

test('a call that is no longer allowed is cut, with the reason of the decision', async () => {
  const { calls, cuts } = liveCall(() => deny);
  calls.authorityChanged();
  await until('the cut', () => cuts.length === 1);
  assert.deepEqual([cuts[0]?.reasonCode, cuts[0]?.message], ['DeniedByRule', 'no more']);
});

test('a call that would now be somebody else in the cluster is cut', async () => {
  const { calls, cuts } = liveCall(() => allow('other'));
  calls.authorityChanged();
  await until('the cut', () => cuts.length === 1);
  assert.equal(cuts[0]?.reasonCode, 'AuthorityChanged');
});

test('a call whose answer would now be masked in another way is cut', async () => {
  for (const mask of ['none', []] as const) {
    const { calls, cuts } = liveCall(() => allow('u', { mask }));
    calls.authorityChanged();
    await until('the cut', () => cuts.length === 1);
    assert.equal(cuts[0]?.reasonCode, 'AuthorityChanged');
  }
});

test('where no decision comes it is asked for again, and in the end the call is cut', async () => {
  const none = (): never => {
    throw new Refusal('PolicyUnavailable', 'nobody answers');
  };
  const back = liveCall(none, () => allow('u'));
  back.calls.authorityChanged();
  await until('the second attempt', () => back.asked() === 2);
  assert.deepEqual(back.cuts, []);
  const gone = liveCall(none);
  gone.calls.authorityChanged();
  await until('the cut', () => gone.cuts.length === 1);
  assert.equal(gone.cuts[0]?.reasonCode, 'PolicyUnavailable');
});

test('when the authority is lost every live call is cut, and one that has ended is not', () => {
  const { calls, cuts, remove } = liveCall(() => deny);
  calls.authorityLost();
  assert.equal(cuts[0]?.reasonCode, 'AuthorityLost');
  remove();
  calls.authorityLost();
  assert.equal(cuts.length, 1);
});

test('a kill cuts the call of an id, or all calls of a session, and says who and why', () => {
  const { calls, cuts } = liveCall();
  const question = { by: 'local:alice', reason: 'enough' };
  assert.deepEqual(calls.kill({ ...question, id: 'another' }), []);
  assert.deepEqual(calls.kill({ ...question, id: 'c' }), ['c']);
  assert.deepEqual(calls.kill({ ...question, id: 'day' }), ['c']);
  assert.deepEqual(
    cuts.map(({ reasonCode, message }) => `${reasonCode} ${message}`),
    ['Killed killed by local:alice: enough', 'Killed killed by local:alice: enough'],
  );
});
