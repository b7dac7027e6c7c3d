import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CallRow, FrameMeta, FrameRow } from '@sluice/model';
import { callsTable } from './calls.ts';
import { parseDuration } from './duration.ts';
import { timeline } from './replay.ts';
import { printable } from './text.ts';

test('what could command a terminal is shown instead', () => {
  assert.equal(
    printable('a\u001b[2Jb\u0007\r\u202ec\u200bd\u009b'),
    'a\\u001b[2Jb\\u0007\\u000d\\u202ec\\u200bd\\u009b',
  );
  assert.equal(printable('Zürich\n\tok'), 'Zürich\n\tok');
});

test('durations have one number and one unit', () => {
  assert.equal(parseDuration('90s'), 90_000);
  assert.equal(parseDuration('30m'), 1_800_000);
  assert.equal(parseDuration('1h'), 3_600_000);
  assert.equal(parseDuration('7d'), 604_800_000);
  for (const text of ['', '1', 'h', '1w', '-1h', '1h30m', '1 h']) assert.equal(parseDuration(text), null, text);
});

const call: CallRow = {
  id: '01a20850-635b-7dcb-abe1-3e7176b59372',
  at: '2026-11-23T12:10:16.123Z',
  agent: 'demo\u001b[31m',
  task: null,
  session: '00',
  connection: 'c',
  verb: 'get',
  resource: 'pods',
  namespace: '',
  name: 'p',
  effect: 'allow',
  reasonCode: 'AllowedByRule',
  status: null,
  outcome: null,
  incomplete: false,
};

test('a call that runs says so, and no name reaches the terminal raw', () => {
  const [head, line] = callsTable([call]).split('\n');
  assert.match(head ?? '', /^TIME\s+AGENT\s+VERB/);
  assert.match(line ?? '', /^2026-11-23 12:10:16 {2}demo\\u001b\[31m {2}get {3}pods .* - {2}.*running/);
  assert.equal(callsTable([{ ...call, agent: 'a\nb\tc' }]).split('\n').length, 3, 'a head, one row, the end');
  assert.equal(callsTable([]), 'No calls.\n');
});

function row(kind: FrameRow['kind'], seq: number, meta: FrameMeta[typeof kind], bytes = ''): FrameRow {
  const { id, at } = call;
  const bytesBase64 = Buffer.from(bytes).toString('base64');
  return {
    ledger: 'l',
    seq,
    call: id,
    at,
    storedAtMicros: 0,
    kind,
    offset: 0,
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
  const text = timeline([row('call', 1, asked), answered], 3);
  assert.match(
    text,
    /request body: 9 bytes of application\/vnd.kubernetes.protobuf, not recorded: it cannot be masked/,
  );
  assert.match(text, /answered 201 application\/json\n {4}\{\n {4} {2}"list": \[\n/);
  assert.match(text, /… 4 more lines; --full shows them/);
  assert.match(text, /running: no outcome yet/);
});
