import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CallRow, FrameMeta, FrameRow } from '@sluice/model';
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
