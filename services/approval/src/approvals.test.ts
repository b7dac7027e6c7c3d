import assert from 'node:assert/strict';
import { createSecretKey, randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { type ApprovalAnswer, type ApprovalRequest, approvals as stream } from '@sluice/model';
import {
  type Broker,
  createLogger,
  type EventLog,
  openBroker,
  openEventLog,
  openGrant,
  provision,
  signGrant,
} from '@sluice/runtime';
import { TestBroker } from '@sluice/testing';
import { Approvals, Inadmissible } from './approvals.ts';
import { Asks } from './asks.ts';
import { alice, bob, newCall, requestOf, terms } from './fixtures.ts';
import { stateAt } from './fold.ts';

const log = createLogger('test', '/dev/null');
const key = createSecretKey(randomBytes(32));
const nothing = Buffer.alloc(0);
let server: TestBroker;
let broker: Broker;
let events: EventLog;
let approvals: Approvals;
let asks: Asks;
/** What the clock of the tests is ahead of the broker's. */
let aheadMs = 0;
let agents = 0;

before(async () => {
  server = await TestBroker.start();
  broker = await openBroker(server.env, 'test', log);
  await provision(broker);
  events = await openEventLog(broker, stream.stream);
  [approvals, asks] = await openApprovals();
});
after(async () => {
  events.close();
  await broker.drain();
  await server.close();
});

/** As a process of its own has them. */
async function openApprovals(): Promise<[Approvals, Asks]> {
  const now = (): number => events.now() + aheadMs;
  const opened = new Approvals({ events, log, now, onChanged: () => undefined });
  await opened.load();
  return [opened, new Asks({ approvals: opened, log, now, sign: (grant) => signGrant(key, grant) })];
}

/** Of an agent that no other test has. */
function newRequest(more: Partial<ApprovalRequest> = {}): ApprovalRequest {
  return requestOf({ agent: { name: `agent-${++agents}`, issuer: 'https://id.example', groups: [] }, ...more });
}

type Standing = Extract<ApprovalAnswer, { kind: 'standing' }>;

async function open(request: ApprovalRequest, body = nothing): Promise<Standing> {
  const answer = await asks.answer({ kind: 'open', request }, body);
  assert.ok(answer.kind === 'standing', JSON.stringify(answer));
  return answer;
}

function take(approval: string, { call, exact, shape }: ApprovalRequest): Promise<ApprovalAnswer> {
  return asks.answer({ kind: 'take', approval, call, exact, shape, instance: 'ingress' }, nothing);
}

test('a call that is approved gets a grant of its own, which is spent once', async () => {
  const request = newRequest();
  const { approval, state, grant } = await open(request);
  assert.equal(state, 'pending');
  assert.equal(grant, undefined);
  await approvals.vote(approval, 'approve', alice, 'go on', 0);
  const { call, exact, shape } = request;
  const looked = await asks.answer({ kind: 'look', approval, call, exact, shape }, nothing);
  assert.ok(looked.kind === 'standing' && looked.grant !== undefined);
  assert.equal(looked.comment, 'go on');
  assert.deepEqual(looked.reviewers, ['local:alice']);
  assert.deepEqual(looked.object, request.object);
  assert.deepEqual(openGrant(key, looked.grant), {
    approval,
    agent: { issuer: 'https://id.example', name: request.agent.name },
    connection: 'prod',
    shape,
    reviewers: [alice],
  });
  assert.deepEqual(await take(approval, request), { kind: 'taken' });
  // Its answer was lost: it asks again, and has what it has.
  assert.deepEqual(await take(approval, request), { kind: 'taken' });
  const other = await take(approval, { ...request, call: newCall() });
  assert.equal(other.kind === 'standing' && other.state, 'used');
});

test('the masked body is kept with the ask', async () => {
  const { approval } = await open(newRequest({ bodyBytes: 9 }), Buffer.from('{"a":"b"}'));
  assert.equal(approvals.bodyOf(approval).toString(), '{"a":"b"}');
  assert.equal((await openApprovals())[0].bodyOf(approval).toString(), '{"a":"b"}');
});

test('the same call made again attaches, while it is pending and when it is approved', async () => {
  const request = newRequest();
  const first = await open(request);
  const second = await open({ ...request, call: newCall(), exact: 'other' });
  assert.equal(second.approval, first.approval);
  assert.equal(second.card, 'own');
  await approvals.vote(first.approval, 'approve', alice, '', 0);
  const third = await open({ ...request, call: newCall() });
  assert.equal(third.approval, first.approval);
  assert.equal(third.state, 'approved');
});

test('two asks of one shape at the same instant open one approval', async () => {
  const request = newRequest();
  const both = await Promise.all([open(request), open({ ...request, call: newCall() })]);
  assert.equal(both[0].approval, both[1].approval);
});

test('the same call after its approval is used asks anew', async () => {
  const request = newRequest();
  const { approval } = await open(request);
  await approvals.vote(approval, 'approve', alice, '', 0);
  await take(approval, request);
  const again = await open({ ...request, call: newCall() });
  assert.notEqual(again.approval, approval);
  assert.equal(again.state, 'pending');
});

test('an edited call does not attach: it has an approval of its own, or shares a card without a grant', async () => {
  const request = newRequest();
  const { approval } = await open(request);
  await approvals.vote(approval, 'approve', alice, '', 0);
  const edited = { ...request, call: newCall(), shape: 'another shape' };
  const asked = await open(edited);
  assert.notEqual(asked.approval, approval);
  assert.equal(asked.grant, undefined);
  const taken = await take(approval, edited);
  assert.equal(taken.kind === 'standing' && taken.state, 'used', 'for this call there is nothing to take');
});

test('another agent, or another connection, never attaches', async () => {
  const request = newRequest();
  const { approval } = await open(request);
  assert.notEqual((await open({ ...request, agent: newRequest().agent })).approval, approval);
  assert.notEqual((await open({ ...request, connection: 'dev' })).approval, approval);
});

test('a second call of the same command shares the card, and is answered at once', async () => {
  const request = newRequest();
  const first = await open(request);
  const second = await open({ ...request, call: newCall(), shape: 'second' });
  assert.equal(second.approval, first.approval);
  assert.equal(second.card, 'shared');
  assert.equal(second.state, 'pending');
  assert.deepEqual(
    approvals.get(first.approval)?.joined.map(({ shape }) => shape),
    ['second'],
  );
  // Another verb is another command.
  const { attributes } = request;
  const patch = await open({
    ...request,
    call: newCall(),
    shape: 'third',
    attributes: { ...attributes, verb: 'patch' },
  });
  assert.notEqual(patch.approval, first.approval);
});

test('after a denial the same command is told so at once, for ten seconds', async () => {
  const request = newRequest();
  const { approval } = await open(request);
  await approvals.vote(approval, 'deny', alice, 'not today', 0);
  const again = await open({ ...request, call: newCall() });
  assert.deepEqual(
    [again.approval, again.card, again.state, again.comment],
    [approval, 'shared', 'denied', 'not today'],
  );
  aheadMs += 11_000;
  assert.notEqual((await open({ ...request, call: newCall() })).approval, approval);
  aheadMs -= 11_000;
});

test('a stream is a command of its own: a denial of one says nothing of another', async () => {
  const none = { container: '', stdin: false, stdout: true, stderr: true, tty: false, ports: [] } as const;
  const stream = { ...none, kind: 'exec', command: ['sh'], grade: 'opaque', pod: null } as const;
  const request = { ...newRequest(), stream };
  const { approval } = await open(request);
  await approvals.vote(approval, 'deny', alice, 'not this one', 0);
  assert.equal((await open({ ...request, call: newCall() })).approval, approval, 'the same command again is told so');
  const another = await open({ ...request, call: newCall(), shape: 'another' });
  assert.deepEqual([another.approval === approval, another.card, another.state], [false, 'own', 'pending']);
});

test('the rest of a command is covered where a reviewer said so, and no more than that', async () => {
  const request = newRequest();
  const { approval } = await open(request);
  await approvals.vote(approval, 'approve', alice, '', 1);
  assert.deepEqual(await take(approval, request), { kind: 'taken' });
  await asks.answer({ kind: 'conclude', approval, call: request.call, end: 'known' }, nothing);
  const second = { ...request, call: newCall(), shape: 'second' };
  const covered = await open(second);
  assert.equal(covered.approval, approval);
  assert.ok(covered.grant !== undefined);
  assert.equal(covered.object, undefined, 'nobody has reviewed its object');
  assert.deepEqual(await take(approval, second), { kind: 'taken' });
  const third = await open({ ...request, call: newCall(), shape: 'third' });
  assert.notEqual(third.approval, approval);
});

test('votes of two processes at the same instant: one counts, and both know which', async () => {
  const [other] = await openApprovals();
  const { approval } = await open(newRequest());
  await other.learn(approval, Number.MAX_SAFE_INTEGER);
  const votes = await Promise.allSettled([
    approvals.vote(approval, 'deny', alice, '', 0),
    other.vote(approval, 'deny', bob, '', 0),
  ]);
  assert.deepEqual(votes.map(({ status }) => status).toSorted(), ['fulfilled', 'rejected']);
  const lost = votes.find((vote) => vote.status === 'rejected');
  assert.ok(lost?.reason instanceof Inadmissible);
  await approvals.learn(approval, Number.MAX_SAFE_INTEGER);
  assert.deepEqual(approvals.get(approval)?.votes, (await openApprovals())[0].get(approval)?.votes);
});

test('two processes take one grant at the same instant: one has it', async () => {
  const [other, otherAsks] = await openApprovals();
  const request = newRequest();
  const { approval } = await open(request);
  await approvals.vote(approval, 'approve', alice, '', 0);
  const { exact, shape } = request;
  const taken = await Promise.all(
    (
      [
        [approvals, asks],
        [other, otherAsks],
      ] as const
    ).map(([one, asked], n) =>
      one
        .learn(approval, Number.MAX_SAFE_INTEGER)
        .then(() =>
          asked.answer({ kind: 'take', approval, call: `call ${n}`, exact, shape, instance: `ingress ${n}` }, nothing),
        ),
    ),
  );
  assert.deepEqual(taken.map(({ kind }) => kind).toSorted(), ['standing', 'taken']);
});

test('nobody votes on what is over, and is told in one sentence why', async () => {
  const { approval } = await open(newRequest());
  await approvals.vote(approval, 'deny', alice, '', 0);
  await assert.rejects(approvals.vote(approval, 'approve', bob, '', 0), {
    message: `approval ${approval} stays as it is: it is denied`,
  });
  await assert.rejects(approvals.vote('nosuchone0', 'approve', bob, '', 0), /there is no approval nosuchone0/);
});

test('without anybody to write it, an approval is over when its time is', async () => {
  const request = newRequest();
  const { approval } = await open(request);
  await approvals.vote(approval, 'approve', alice, '', 0);
  aheadMs += terms.expiresMs + 1_000;
  const { call, exact, shape } = request;
  const looked = await asks.answer({ kind: 'look', approval, call, exact, shape }, nothing);
  assert.ok(looked.kind === 'standing');
  assert.deepEqual([looked.state, looked.grant], ['expired', undefined]);
  const taken = await take(approval, request);
  assert.equal(taken.kind === 'standing' && taken.state, 'expired');
  aheadMs -= terms.expiresMs + 1_000;
});

test('what this process took for in time and the broker stored too late is void', async () => {
  const request = newRequest({ terms: { ...terms, expiresMs: 5_000 } });
  const { approval } = await open(request);
  await approvals.vote(approval, 'approve', alice, '', 0);
  const { expiresAtMs = 0 } = approvals.get(approval) ?? {};
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, expiresAtMs - events.now()) + 50));
  // A clock that is late by a minute.
  aheadMs -= 60_000;
  const taken = await take(approval, request).finally(() => (aheadMs += 60_000));
  assert.equal(taken.kind, 'standing');
  assert.deepEqual(approvals.get(approval)?.uses, []);
});

test('a call whose agent is gone takes its approval with it, one whose agent was told does not', async () => {
  const [left, told] = [newRequest(), newRequest()];
  const [gone, kept] = [await open(left), await open(told)];
  const leave = (approval: string, { call }: ApprovalRequest, why: 'gone' | 'told'): Promise<ApprovalAnswer> =>
    asks.answer({ kind: 'leave', approval, call, why }, nothing);
  await leave(gone.approval, left, 'gone');
  await leave(kept.approval, told, 'told');
  await asks.sweep(() => true);
  const state = (id: string): string => stateAt(approvals.get(id) as never, events.now());
  assert.equal(state(gone.approval), 'pending', 'it may come again');
  aheadMs += 10_500;
  await asks.sweep(() => true);
  aheadMs -= 10_500;
  assert.equal(state(gone.approval), 'cancelled');
  assert.equal(state(kept.approval), 'pending');
});

test('a use whose ingress died has an effect that nobody knows', async () => {
  const request = newRequest();
  const { approval } = await open(request);
  await approvals.vote(approval, 'approve', alice, '', 0);
  await take(approval, request);
  await asks.sweep((instance) => instance === 'ingress');
  assert.equal(stateAt(approvals.get(approval) as never, events.now()), 'used');
  await asks.sweep(() => false);
  assert.equal(stateAt(approvals.get(approval) as never, events.now()), 'ambiguous');
});

test('an agent that asks for too much is told so, and others are not', async () => {
  const agent = newRequest().agent;
  const verbs = Array.from({ length: 21 }, (_, n) => {
    const request = requestOf({ agent });
    return { ...request, attributes: { ...request.attributes, verb: `verb-${n}` } };
  });
  const last = verbs.pop() as ApprovalRequest;
  for (const request of verbs) await open(request);
  const refused = await asks.answer({ kind: 'open', request: last }, nothing);
  assert.deepEqual(refused, {
    kind: 'refused',
    reasonCode: 'TooManyAsks',
    message: `agent "${agent.name}" may not ask for an approval now: it has 20 approvals open already`,
  });
  assert.equal((await open(newRequest())).state, 'pending');
});

test('what one process knows another one reads from the log', async () => {
  const request = newRequest();
  const { approval } = await open(request);
  await approvals.vote(approval, 'approve', alice, 'fine', 3);
  const [read, readAsks] = await openApprovals();
  assert.deepEqual(read.get(approval), approvals.get(approval));
  assert.equal(
    (await readAsks.answer({ kind: 'open', request: { ...request, call: newCall() } }, nothing)).kind,
    'standing',
  );
  assert.deepEqual(
    read.list().map(({ id }) => id),
    approvals.list().map(({ id }) => id),
  );
});
