import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ApprovalEvent, ApprovalState, CallRow, FrameMeta, FrameRow } from '@sluice/model';
import { callTimeline, sessionEntry, sessionHead } from './timeline.ts';

const call: CallRow = {
  id: '01a20850-635b-7dcb-abe1-3e7176b59372',
  at: '2026-11-23T12:10:16.123Z',
  agent: 'demo',
  task: null,
  session: '00',
  connection: 'c',
  verb: 'create',
  resource: 'secrets',
  namespace: 'n',
  name: '',
  effect: 'allow',
  reasonCode: 'AllowedByRule',
  status: null,
  outcome: null,
  command: null,
  exitCode: null,
  incomplete: false,
};

function row<K extends FrameRow['kind']>(kind: K, seq: number, meta: FrameMeta[K], bytes = '', offset = 0): FrameRow {
  const { id, at } = call;
  const bytesBase64 = Buffer.from(bytes).toString('base64');
  return {
    ledger: 'l',
    seq,
    call: id,
    at,
    storedAtMicros: 0,
    kind,
    offset,
    meta: JSON.stringify(meta),
    size: bytes.length,
    bytesBase64,
  };
}

const asked: FrameMeta['call'] = {
  agent: { name: 'demo', issuer: 'i', groups: [] },
  connection: 'c',
  attributes: {
    kind: 'resource',
    verb: 'create',
    apiGroup: '',
    version: 'v1',
    resource: 'secrets',
    subresource: '',
    namespace: 'n',
    name: '',
  },
  method: 'POST',
  target: '/api/v1/namespaces/n/secrets',
  userAgent: 'kubectl',
  digest: 'd',
  body: { bytes: 9, contentType: 'application/vnd.kubernetes.protobuf', recorded: 'digest', hmac: 'h' },
  decision: {
    effect: 'allow',
    policy: 'p',
    rule: 'r',
    reasonCode: 'AllowedByRule',
    reason: '',
    authority: 1,
    policyVersion: 'v',
    impersonate: null,
  },
};

test('a timeline says what is not recorded and why, and shortens what is long', () => {
  const answered = row(
    'response',
    2,
    { status: 201, contentType: 'application/json' },
    JSON.stringify({ list: [1, 2, 3] }),
  );
  const text = callTimeline(call, [row('call', 1, asked), answered], 3);
  assert.match(
    text,
    /request body: 9 bytes of application\/vnd.kubernetes.protobuf, not recorded: it cannot be masked/,
  );
  assert.match(text, /answered 201 application\/json\n {4}\{\n {4} {2}"list": \[\n/);
  assert.match(text, /… 4 more lines; --full shows them/);
  assert.match(text, /running: no outcome yet/);
});

const ended = (outcome: FrameMeta['outcome']['outcome'], status: number): FrameMeta['outcome'] => ({
  outcome,
  status,
  reasonCode: '',
  body: null,
  sha256: '',
  durationMicros: 1_500,
});

test('integers of a body are shown as they are, also those that a parser would round', () => {
  const answered = row('response', 2, { status: 200, contentType: 'application/json' }, '{"n":9007199254740993}');
  assert.match(callTimeline(call, [row('call', 1, asked), answered], 99), /"n": 9007199254740993\n/);
});

test('an answer is put together in the order of its bytes, whatever order its ledgers have', () => {
  const meta = { status: 200, contentType: 'text/plain' };
  const later = { ...row('response', 1, meta, 'later', 7), ledger: 'i-10' };
  const first = { ...row('response', 3, meta, 'sooner ', 0), ledger: 'i-9' };
  assert.match(callTimeline(call, [later, first], 99), /sooner later\n/);
});

test('what really came of a call is told in place of what was presumed', () => {
  const presumed = row('outcome', 9, ended('presumed-unknown', 0));
  const real = row('outcome', 3, ended('completed', 201));
  for (const ends of [
    [presumed, real],
    [real, presumed],
  ]) {
    const text = callTimeline(call, [row('call', 1, asked), ...ends], 99);
    assert.match(text, /completed 201 after 1\.5 ms/);
    assert.doesNotMatch(text, /presumed|incomplete/);
  }
  const text = callTimeline({ ...call, outcome: 'presumed-unknown', incomplete: true }, [presumed], 99);
  assert.match(text, /presumed-unknown after/);
  assert.match(text, /^incomplete: the writer of its record died before its end$/m);
});

test('a call that may lack frames says so, and one without its first frame is told all the same', () => {
  const answered = row('response', 2, { status: 200, contentType: 'text/plain' }, 'body');
  assert.match(callTimeline({ ...call, incomplete: true }, [answered], 9), /^incomplete: frames were lost with their/m);
  assert.match(callTimeline(null, [answered], 9), /body\n[^]*^incomplete: the frame with the call and its decision/m);
});

test('a frame whose meta was made unreadable is named', () => {
  const broken = { ...row('call', 4, asked), meta: '{' };
  assert.throws(() => callTimeline(call, [broken], 9), { message: /^frame 4 of ledger l cannot be read/ });
});

const held: FrameMeta['call'] = {
  ...asked,
  body: null,
  decision: { ...asked.decision, effect: 'ask', reasonCode: 'ApprovalRequired', reason: 'A person looks at it.' },
  held: { shape: 's', look: null },
};

const requested: ApprovalEvent = {
  id: 'e1',
  kind: 'requested',
  request: {
    call: call.id,
    session: call.session,
    agent: asked.agent,
    connection: 'c',
    attributes: asked.attributes,
    method: 'POST',
    target: asked.target,
    bodyBytes: 0,
    exact: 'e',
    shape: 's',
    mayDiffer: ['$.metadata.labels.run', "$.data['a\nb']"],
    object: { kind: 'absent' },
    policy: 'p',
    rule: 'r',
    reason: 'A person looks at it.',
    policyVersion: 'v',
    authority: 1,
    terms: { reviewers: [], quorum: 2, holdMs: 30_000, expiresMs: 3_600_000 },
  },
};
const vote = (kind: 'approve' | 'deny', name: string, reason: string, more = 0): ApprovalEvent => {
  return { id: name, kind: 'voted', vote: kind, reviewer: { name, groups: [] }, reason, more };
};

/** An event so many seconds behind 12:10:16.123, the time of the call. */
function told(seq: number, event: ApprovalEvent, state: ApprovalState, ledger = 'approval-1-0'): FrameRow {
  const meta = { approval: 'a1', seq, atMs: Date.parse(call.at) + seq * 1_000, event, state };
  return { ...row('approval', seq, meta), ledger };
}
const later = (frame: FrameRow, seconds: number): FrameRow => {
  return { ...frame, at: new Date(Date.parse(call.at) + seconds * 1_000).toISOString() };
};
const letThrough = (precondition: FrameMeta['decision']['precondition']): FrameMeta['decision'] => ({
  decision: { ...asked.decision, reasonCode: 'AllowedByApproval', impersonate: { user: 'sluice:tier:x', groups: [] } },
  approval: 'a1',
  reviewers: ['local:alice', 'oidc:bob'],
  precondition,
});

test('an approval is told in the order of time: the ask, votes, uses, the second decision; each event once', () => {
  const frames = [
    // As the record has them: by ledger, and the ledger of approvals is before that of the call.
    told(1, requested, 'pending'),
    told(2, vote('approve', 'local:alice', 'Fine, as\n12:10:19.000  oidc:boss approves'), 'pending'),
    told(3, vote('approve', 'oidc:bob', '', 2), 'approved'),
    told(4, { id: 't', kind: 'taken', call: call.id, exact: 'e', shape: 's', instance: 'i' }, 'used'),
    told(7, { id: 'c', kind: 'concluded', call: call.id, end: 'known' }, 'used'),
    told(8, { id: 't2', kind: 'taken', call: 'another', exact: 'e', shape: 's', instance: 'i' }, 'used'),
    told(9, { id: 'c2', kind: 'concluded', call: 'another', end: 'unknown' }, 'ambiguous'),
    told(2, vote('approve', 'local:alice', 'Fine, as\n12:10:19.000  oidc:boss approves'), 'pending', 'approval-2-0'),
    row('call', 1, held),
    later(row('decision', 2, letThrough({ kind: 'known', uid: 'u-1', resourceVersion: '7' })), 4.5),
    later(row('response', 3, { status: 201, contentType: 'text/plain' }, 'made'), 5),
    later(row('outcome', 4, ended('completed', 201)), 6),
  ];
  assert.equal(
    callTimeline(call, frames, 9),
    `12:10:16.123  demo (i) asks: create secrets
                POST /api/v1/namespaces/n/secrets
                through "c", as kubectl
                ask: ApprovalRequired, rule "r" of policy "p"
                A person looks at it.

12:10:17.123  asks for approval a1, by 2 reviewers; it expires 2026-11-23 13:10:17 UTC
                may differ from one try to the next: $.metadata.labels.run, $.data['a\\nb']
12:10:18.123  local:alice approves
                "Fine, as\\n12:10:19.000  oidc:boss approves"
12:10:19.123  oidc:bob approves, with 2 further calls of the command
12:10:20.123  the approval is used for this call
12:10:20.623  allow: AllowedByApproval by local:alice, oidc:bob, approval a1
                bound to the object with uid u-1, resourceVersion 7
                in the cluster: sluice:tier:x

12:10:21.123  answered 201 text/plain
    made

12:10:22.123  completed 201 after 1.5 ms: the cluster answered and the agent has the whole answer

12:10:24.123  the approval is used for call another
12:10:25.123  nobody knows whether call another took effect
`,
  );
});

test('an approval that was denied, that expired, or that nobody waited for says so', () => {
  const timeline = (...frames: readonly FrameRow[]): string => callTimeline(call, [...frames, row('call', 1, held)], 9);
  const denied = timeline(told(1, requested, 'pending'), told(2, vote('deny', 'a\u001b[2J', 'No.'), 'denied'));
  assert.match(denied, /^12:10:18\.123 {2}a\\u001b\[2J denies\n {16}"No\."$/m);
  assert.match(denied, /\n\nrunning: no outcome yet\n$/);
  assert.match(timeline(told(2, { id: 'e', kind: 'expired' }, 'expired')), /^12:10:18\.123 {2}the approval expires$/m);
  const cancelled = timeline(told(2, { id: 'e', kind: 'cancelled' }, 'cancelled'));
  assert.match(cancelled, /^12:10:18\.123 {2}the approval is cancelled: nobody waits for it any more$/m);
});

test('a second decision says what the request is bound to', () => {
  const timeline = (precondition: FrameMeta['decision']['precondition']): string =>
    callTimeline(call, [row('call', 1, held), row('decision', 2, letThrough(precondition))], 9);
  assert.match(timeline({ kind: 'absent' }), /^ {16}bound to there being no such object$/m);
  const unreadable = timeline({ kind: 'unreadable', why: 'Sluice may not read it' });
  assert.match(
    unreadable,
    /^ {16}bound to no version of the object, which could not be read: Sluice may not read it$/m,
  );
  assert.doesNotMatch(timeline({ kind: 'none' }), /bound/);
});

test('the ask stands behind the call, however the clocks of their writers differ', () => {
  const early = told(-5, requested, 'pending');
  assert.match(callTimeline(call, [early, row('call', 1, held)], 9), /asks: create[^]*asks for approval a1/);
});

test('a session reads as a timeline: offsets from its start, and a word about a long silence', () => {
  const later = (at: string, more: Partial<CallRow>): CallRow => ({ ...call, at, ...more });
  const calls: readonly [CallRow, CallRow, CallRow] = [
    later('2026-11-23T12:10:16.123Z', { verb: 'get', resource: 'pods', name: 'p', status: 200, outcome: 'completed' }),
    later('2026-11-23T12:11:16.123Z', { effect: 'deny', reasonCode: 'DeniedByRule', status: 403, outcome: 'refused' }),
    later('2026-11-23T13:12:18.123Z', { resource: '/version', namespace: '', agent: 'x\u001b[2J', incomplete: true }),
  ];
  assert.equal(
    sessionHead('5e55', calls.slice(0, 2)),
    'session 5e55: demo, 2 calls, 2026-11-23 12:10:16 to 2026-11-23 12:11:16 UTC\n',
  );
  assert.equal(
    sessionEntry(calls[0], null, calls[0]),
    `
12:10:16.123  +0.000s  demo: get pods n/p
                allow AllowedByRule, completed 200
                01a20850-635b-7dcb-abe1-3e7176b59372
`,
  );
  assert.equal(
    sessionEntry(calls[1], calls[0], calls[0]),
    `
12:11:16.123  +1m00s  demo: create secrets in n
                deny DeniedByRule, refused 403
                01a20850-635b-7dcb-abe1-3e7176b59372
`,
  );
  assert.equal(
    sessionEntry(calls[2], calls[1], calls[0]),
    `
                … no call for 1h01m02s …

13:12:18.123  +1h02m02s  x\\u001b[2J: create /version
                allow AllowedByRule, running
                incomplete: frames were lost with their writer, and may have been of this call
                01a20850-635b-7dcb-abe1-3e7176b59372
`,
  );
});
