import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ApprovalState, Reviewer } from '@sluice/model';
import { alice, bob, Log, requestOf, terms } from './fixtures.ts';
import { covers, stateAt } from './fold.ts';

function state(log: Log): ApprovalState {
  return stateAt(log.approval, log.nowMs);
}

test('it is pending until somebody decides', () => {
  assert.equal(state(new Log()), 'pending');
  assert.equal(state(new Log().approves()), 'approved');
  assert.equal(state(new Log().denies()), 'denied');
});

test('the vote that was stored first holds', () => {
  assert.equal(state(new Log().denies(bob).approves(alice)), 'denied');
  assert.deepEqual(
    new Log()
      .denies(bob)
      .approves(alice)
      .approval.votes.map(({ reviewer }) => reviewer.name),
    ['local:bob'],
  );
});

test('a grant that is not used yet can be taken back, one that is cannot', () => {
  assert.equal(state(new Log().approves().denies(bob)), 'denied');
  assert.equal(state(new Log().approves().takes('call').denies(bob)), 'used');
});

test('a second approval of the same reviewer counts once', () => {
  const log = new Log(requestOf({ terms: { ...terms, quorum: 2 } }));
  assert.equal(state(log.approves(alice).approves(alice)), 'pending');
  assert.equal(state(log.approves(bob)), 'approved');
});

test('nobody decides on what they have asked for themselves', () => {
  for (const name of ['local:deployer', 'https://id.example:deployer']) {
    const self: Reviewer = { name, groups: ['sre'] };
    assert.equal(state(new Log().approves(self)), 'pending', name);
    assert.equal(state(new Log().denies(self)), 'pending', name);
  }
});

test('every list of reviewers has to name who decides, by name or by group', () => {
  const asked = (reviewers: readonly (readonly string[])[], reviewer: Reviewer): ApprovalState =>
    state(new Log(requestOf({ terms: { ...terms, reviewers } })).approves(reviewer));
  assert.equal(asked([['group:sre']], alice), 'approved');
  assert.equal(asked([['group:sre']], bob), 'pending');
  assert.equal(asked([['local:bob', 'group:sre']], bob), 'approved');
  assert.equal(asked([['group:sre'], ['local:bob']], alice), 'pending');
  assert.equal(asked([['group:sre'], ['local:alice']], alice), 'approved');
  // A group is no name, and a name no group.
  assert.equal(asked([['sre']], alice), 'pending');
  assert.equal(asked([['group:local:alice']], alice), 'pending');
});

test('it expires by the time at which the broker stored what came, undecided or unused', () => {
  const { expiresMs } = terms;
  assert.equal(state(new Log().passes(expiresMs - 1)), 'pending');
  assert.equal(state(new Log().passes(expiresMs)), 'expired');
  assert.equal(state(new Log().approves().passes(expiresMs)), 'expired');
  assert.equal(state(new Log().passes(expiresMs).approves()), 'expired');
  assert.deepEqual(new Log().approves().passes(expiresMs).takes('late').approval.uses, []);
});

test('an event that says it has expired counts only when it has', () => {
  const { expiresMs } = terms;
  assert.equal(state(new Log().happens({ kind: 'expired' })), 'pending');
  assert.equal(new Log().passes(expiresMs).happens({ kind: 'expired' }).approval.closed, 'expired');
});

test('only what is pending is cancelled', () => {
  assert.equal(state(new Log().happens({ kind: 'cancelled' })), 'cancelled');
  assert.equal(state(new Log().happens({ kind: 'cancelled' }).approves()), 'cancelled');
  assert.equal(state(new Log().approves().happens({ kind: 'cancelled' })), 'approved');
});

test('a grant is used once', () => {
  const log = new Log().approves().takes('first').takes('second');
  assert.deepEqual(
    log.approval.uses.map(({ call }) => call),
    ['first'],
  );
  assert.equal(state(log), 'used');
  assert.equal(state(log.concludes('first')), 'used');
});

test('a use whose end nobody knows is ambiguous', () => {
  assert.equal(state(new Log().approves().takes('a').concludes('a', 'unknown')), 'ambiguous');
  // What is known first stays known.
  assert.equal(state(new Log().approves().takes('a').concludes('a').concludes('a', 'unknown')), 'used');
});

test('a grant for a call is none for another', () => {
  assert.deepEqual(new Log().approves().takes('a', 'another shape').approval.uses, []);
});

test('without a vote nothing can be taken', () => {
  assert.deepEqual(new Log().takes('a').approval.uses, []);
  assert.deepEqual(new Log().denies().takes('a').approval.uses, []);
});

test('further calls of the command are covered, as many as were granted, each soon after the one before', () => {
  const log = new Log().approves(alice, 2);
  log.takes('a').concludes('a').takes('b', 'shape b').concludes('b');
  assert.equal(state(log), 'approved');
  assert.ok(covers(log.approval, 'shape c', log.nowMs));
  log.takes('c', 'shape c').concludes('c').takes('d', 'shape d');
  assert.deepEqual(
    log.approval.uses.map(({ call }) => call),
    ['a', 'b', 'c'],
  );
  assert.equal(state(log), 'used');
});

test('what is left for further calls ends with the command', () => {
  const log = new Log().approves(alice, 5).takes('a').concludes('a');
  assert.ok(covers(log.approval, 'shape b', log.nowMs + 10_000));
  assert.ok(!covers(log.approval, 'shape b', log.nowMs + 10_001));
  assert.equal(stateAt(log.approval, log.nowMs + 10_001), 'used');
});

test('further calls wait for the end of the one that is under way', () => {
  const log = new Log().approves(alice, 1).takes('a').passes(60_000);
  assert.ok(covers(log.approval, 'shape b', log.nowMs));
});

test('calls of the same command stand on the card while it is pending', () => {
  const joined = {
    call: 'b',
    attributes: requestOf().attributes,
    method: 'DELETE',
    target: '/b',
    exact: 'e',
    shape: 's',
  };
  assert.equal(new Log().happens({ kind: 'joined', joined }).approval.joined.length, 1);
  assert.equal(new Log().approves().happens({ kind: 'joined', joined }).approval.joined.length, 0);
  const many = new Log();
  for (let n = 0; n < 150; n++) many.happens({ kind: 'joined', joined });
  assert.equal(many.approval.joined.length, 100);
});
