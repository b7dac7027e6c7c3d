// What the views say of approvals: rows as ingress and the approval service write them.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { ApprovalEvent, ApprovalState, FrameMeta, RecordsAnswer } from '@sluice/model';
import type { StoredFrame } from '@sluice/runtime';
import { Connection } from './database.ts';
import { asked, callId, ended, epochMicros, letThrough, requested, sessionId, stored, voted } from './fixtures.ts';
import { answerQuestion } from './questions.ts';
import { openStore, type Store } from './store.ts';

const dir = mkdtempSync(join(tmpdir(), 'sl-'));
let store: Store;
let hand: Connection;
before(async () => {
  store = await openStore({ kind: 'embedded', dir });
  hand = new Connection({ kind: 'embedded', dir });
  await store.insert([...letIn, ...denied, ...expired, ...waiting, ...plain]);
});
after(async () => {
  await hand.close();
  await store.close();
  rmSync(dir, { recursive: true, force: true });
});

const empty = Buffer.alloc(0);
const ingress = 'ingress-1-0';
const places = new Map<string, number>();
function place(ledger: string, n: number) {
  const seq = (places.get(ledger) ?? 0) + 1;
  places.set(ledger, seq);
  return { ledger, seq, call: callId(n), session: sessionId(n), bytes: empty };
}

const call = (n: number, effect: 'allow' | 'ask', ledger = ingress): StoredFrame =>
  stored({ ...place(ledger, n), kind: 'call', meta: asked(effect) });
const again = (n: number, approval: string, reviewers: readonly string[], ledger = ingress): StoredFrame =>
  stored({ ...place(ledger, n), kind: 'decision', meta: letThrough(approval, reviewers) });
const end = (n: number, meta: FrameMeta['outcome'], ledger = ingress): StoredFrame =>
  stored({ ...place(ledger, n), kind: 'outcome', meta });

/** An event is in the stream of approvals at `seq`, so many seconds behind the first. */
function told(
  approval: string,
  n: number,
  seq: number,
  event: ApprovalEvent,
  state: ApprovalState,
  ledger = 'approval-1-0',
): StoredFrame {
  const meta = { approval, seq, atMs: epochMicros / 1000 + seq * 1_000, event, state };
  return stored({ ...place(ledger, n), kind: 'approval', meta });
}
const taken = (n: number): ApprovalEvent => {
  return { id: `taken-${n}`, kind: 'taken', call: callId(n), exact: 'exact', shape: 'shape', instance: 'ingress-1' };
};
const concluded = (n: number): ApprovalEvent => {
  return { id: `concluded-${n}`, kind: 'concluded', call: callId(n), end: 'known' };
};
const refused = (reasonCode: 'ApprovalDenied' | 'ApprovalExpired'): FrameMeta['outcome'] => {
  return { ...ended('refused', 403), reasonCode };
};

/** Asked for by call 1, approved by two with leave for another call, and used by calls 1 and 2. */
const letIn = [
  call(1, 'ask'),
  told('a1', 1, 11, requested(1), 'pending'),
  told('a1', 1, 12, voted('approve', 'local:alice', 'Fine.'), 'pending'),
  // Its writer died before it knew that this was recorded; the next one wrote it again.
  told('a1', 1, 12, voted('approve', 'local:alice', 'Fine.'), 'pending', 'approval-2-0'),
  told('a1', 1, 14, taken(1), 'approved', 'approval-2-0'),
  // The order of a ledger need not be that of the events.
  told('a1', 1, 13, voted('approve', 'oidc:bob', ''), 'approved', 'approval-2-0'),
  told('a1', 1, 15, concluded(1), 'approved', 'approval-2-0'),
  told('a1', 1, 16, taken(2), 'used', 'approval-2-0'),
  told('a1', 1, 17, concluded(2), 'used', 'approval-2-0'),
  told('a1', 1, 17, concluded(2), 'used', 'approval-2-0'),
  again(1, 'a1', ['local:alice', 'oidc:bob']),
  end(1, { ...ended('completed', 200) }),
  call(2, 'ask'),
  again(2, 'a1', ['local:alice', 'oidc:bob']),
  end(2, { ...ended('cut', 502) }),
];
const denied = [
  call(3, 'ask'),
  told('a3', 3, 21, requested(3), 'pending'),
  told('a3', 3, 22, voted('deny', 'local:alice', 'Not\ntoday.'), 'denied'),
  end(3, refused('ApprovalDenied')),
];
const expired = [
  call(4, 'ask'),
  told('a4', 4, 31, requested(4), 'pending'),
  told('a4', 4, 32, { id: 'x', kind: 'expired' }, 'expired'),
  end(4, refused('ApprovalExpired')),
];
const waiting = [
  call(5, 'ask'),
  told('a5', 5, 41, requested(5), 'pending'),
  call(6, 'ask'),
  again(6, 'a6', ['local:carol']),
];
const plain = [call(7, 'allow'), end(7, ended('completed', 200))];

test('an approval is a row: its last state, its votes, and the calls that it was used for', async () => {
  const rows = await hand.select(`SELECT * FROM approvals ORDER BY id`);
  const about = {
    agent: 'demo',
    issuer: 'https://issuer',
    task: null,
    connection: 'c',
    verb: 'patch',
    resource: 'deployments.apps/scale',
    namespace: 'n',
    name: 'web',
    policy: 'p',
    rule: 'asks',
    reason: 'A person looks at it.',
    exact: 'exact',
    shape: 'shape',
  };
  const undecided = { ...about, decidedAt: null, reviewers: [], votes: [], comments: [], usedBy: [], endedAt: null };
  assert.deepEqual(rows, [
    {
      ...about,
      id: 'a1',
      state: 'used',
      session: sessionId(1),
      call: callId(1),
      requestedAt: '2026-11-23 12:09:58.932000',
      decidedAt: '2026-11-23 12:10:00.932000',
      reviewers: ['local:alice', 'oidc:bob'],
      votes: ['approve', 'approve'],
      comments: ['Fine.', ''],
      usedBy: [callId(1), callId(2)],
      endedAt: '2026-11-23 12:10:03.932000',
    },
    {
      ...about,
      id: 'a3',
      state: 'denied',
      session: sessionId(3),
      call: callId(3),
      requestedAt: '2026-11-23 12:10:08.932000',
      decidedAt: '2026-11-23 12:10:09.932000',
      reviewers: ['local:alice'],
      votes: ['deny'],
      comments: ['Not\ntoday.'],
      usedBy: [],
      endedAt: '2026-11-23 12:10:09.932000',
    },
    {
      ...undecided,
      id: 'a4',
      state: 'expired',
      session: sessionId(4),
      call: callId(4),
      requestedAt: '2026-11-23 12:10:18.932000',
      endedAt: '2026-11-23 12:10:19.932000',
    },
    {
      ...undecided,
      id: 'a5',
      state: 'pending',
      session: sessionId(5),
      call: callId(5),
      requestedAt: '2026-11-23 12:10:28.932000',
    },
  ]);
});

test('a call tells the decision that it went by: the second one, where a reviewer let it through', async () => {
  const rows = await hand.select<object>(
    `SELECT id, effect, rule, reasonCode, reason, approval, status, outcome, incomplete FROM calls ORDER BY id`,
  );
  const row = (n: number, ...values: readonly unknown[]): unknown[] => [callId(n), ...values, false];
  assert.deepEqual(
    rows.map((each) => Object.values(each)),
    [
      row(1, 'allow', 'asks', 'AllowedByApproval', '', 'a1', 200, 'completed'),
      row(2, 'allow', 'asks', 'ResponseWithheld', '', 'a1', 502, 'cut'),
      row(3, 'ask', 'r', 'ApprovalDenied', 'Because.', null, 403, 'refused'),
      row(4, 'ask', 'r', 'ApprovalExpired', 'Because.', null, 403, 'refused'),
      row(5, 'ask', 'r', 'ApprovalRequired', 'Because.', null, null, null),
      row(6, 'allow', 'asks', 'AllowedByApproval', '', 'a6', null, null),
      row(7, 'allow', 'r', 'AllowedByRule', '', null, 200, 'completed'),
    ],
  );
});

test('a call that was let through has two decisions, the second with its approval', async () => {
  const decisions = await hand.select<object>(
    `SELECT agent, verb, resource, namespace, name, effect, rule, reasonCode, approval, reviewers, authority,
       impersonateUser, ledger, seq FROM decisions WHERE call = '${callId(1)}' ORDER BY at, seq`,
  );
  const about = ['demo', 'patch', 'deployments.apps/scale', 'n', 'web'];
  assert.deepEqual(
    decisions.map((each) => Object.values(each)),
    [
      [...about, 'ask', 'r', 'ApprovalRequired', null, [], 7, '', ingress, 1],
      [
        ...about,
        'allow',
        'asks',
        'AllowedByApproval',
        'a1',
        ['local:alice', 'oidc:bob'],
        8,
        'sluice:tier:x',
        ingress,
        2,
      ],
    ],
  );
  const [{ count } = { count: 0 }] = await hand.select<{ count: number }>('SELECT count() AS count FROM decisions');
  assert.equal(count, 10);
});

test('calls are found by the decision that they went by', async () => {
  const ids = async (effect: 'allow' | 'ask' | 'deny'): Promise<string[]> => {
    const answer: RecordsAnswer = await answerQuestion(store, { kind: 'calls', effect, limit: 10 });
    return answer.kind === 'calls' ? answer.calls.map(({ id }) => id) : assert.fail(JSON.stringify(answer));
  };
  assert.deepEqual(await ids('ask'), [5, 4, 3].map(callId));
  assert.deepEqual(await ids('allow'), [7, 6, 2, 1].map(callId));
  assert.deepEqual(await ids('deny'), []);
});

test('an approval whose ask was lost is a row all the same, and so is a decision whose call was', async () => {
  await store.insert([
    told('a8', 8, 51, voted('approve', 'local:alice', ''), 'approved', 'approval-3-0'),
    again(8, 'a8', ['local:alice'], 'ingress-3-0'),
  ]);
  const [approval] = await hand.select<{ agent: string; state: string; requestedAt: string }>(
    `SELECT agent, state, requestedAt, session FROM approvals WHERE id = 'a8'`,
  );
  assert.deepEqual(approval, {
    agent: '',
    state: 'approved',
    requestedAt: '2026-11-23 12:10:38.932000',
    session: sessionId(8),
  });
  const [decision] = await hand.select(`SELECT agent, effect, approval FROM decisions WHERE call = '${callId(8)}'`);
  assert.deepEqual(decision, { agent: '', effect: 'allow', approval: 'a8' });
});

test('a call that was let through is open until its end, also when its first frame was lost; its approval opens none', async () => {
  await store.insert([
    call(91, 'ask', 'ingress-9-0'),
    again(91, 'a9', ['local:alice'], 'ingress-9-0'),
    call(92, 'ask', 'ingress-9-0'),
    again(92, 'a9', ['local:alice'], 'ingress-9-0'),
    end(92, ended('completed', 200), 'ingress-9-0'),
    again(93, 'a9', ['local:alice'], 'ingress-9-0'),
    told('a9', 91, 61, requested(91), 'pending', 'approval-9-0'),
  ]);
  const open = [91, 93].map((n) => ({ call: callId(n), session: sessionId(n) }));
  assert.deepEqual(await store.openCalls('ingress-9'), open);
  assert.deepEqual(await store.openCalls('approval-9'), []);
});

test('what was lost between the ask and the end makes a call incomplete, what its approval lost does not', async () => {
  const lostOf = (ledger: string, seq: number): StoredFrame => {
    const head = { ledger, seq: 1, hash: '' };
    const meta = { head, cause: 'lease-ended', missing: [[seq, seq]], presumed: 0 } as const;
    return stored({ ...place(`recorder-of-${ledger}`, 0), kind: 'ledger-closed', meta });
  };
  const of = (ledger: string, n: number, gap: 'whole' | 'gap'): StoredFrame[] => {
    const frames = [call(n, 'ask', ledger), again(n, 'a10', ['local:alice'], ledger)];
    if (gap === 'gap') place(ledger, 0);
    return [...frames, end(n, ended('completed', 200), ledger)];
  };
  await store.insert([
    ...of('ingress-10-0', 101, 'gap'),
    lostOf('ingress-10-0', 3),
    ...of('ingress-11-0', 111, 'whole'),
    told('a10', 111, 71, requested(111), 'pending', 'approval-11-0'),
    lostOf('approval-11-0', 2),
  ]);
  const rows = await hand.select(
    `SELECT id, incomplete FROM calls WHERE id IN ('${callId(101)}', '${callId(111)}') ORDER BY id`,
  );
  assert.deepEqual(rows, [
    { id: callId(101), incomplete: true },
    { id: callId(111), incomplete: false },
  ]);
});
