import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RequestAttributes } from '@sluice/model';
import { raw } from '@sluice/runtime/raw';
import { type Body, readableBody } from './body.ts';

const pods: RequestAttributes = {
  kind: 'resource',
  verb: 'create',
  apiGroup: '',
  version: 'v1',
  resource: 'pods',
  subresource: '',
  namespace: 'a',
  name: '',
};

function read(text: string, contentType: string, attributes: RequestAttributes = pods): Body {
  return readableBody(raw(Buffer.from(text)), contentType, attributes);
}

/** Content type of the request, body, kind, content type and body that go to the cluster. */
const readable = [
  ['', '{"a":1}', 'json', 'application/json', '{"a":1}'],
  ['application/json; charset=utf-8', '{"a": 1.0}', 'json', 'application/json', '{"a": 1.0}'],
  ['APPLICATION/JSON', '{}', 'json', 'application/json', '{}'],
  ['application/merge-patch+json', '{"a":null}', 'json', 'application/merge-patch+json', '{"a":null}'],
  ['application/strategic-merge-patch+json', '{}', 'json', 'application/strategic-merge-patch+json', '{}'],
  ['application/json-patch+json', '[]', 'json-patch', 'application/json-patch+json', '[]'],
  ['application/apply-patch+yaml', '{"a":1}', 'apply', 'application/apply-patch+yaml', '{"a":1}'],
  ['application/apply-patch+yaml', 'hostPID: yes', 'apply', 'application/apply-patch+yaml', '{"hostPID":true}'],
  ['application/apply-patch+yaml', '{hostPID: yes}', 'apply', 'application/apply-patch+yaml', '{"hostPID":true}'],
  [
    'application/apply-patch+yaml',
    '{"a":"\\/ \\ud83d\\ude00 \\\\/ \\\\ud83d \\n"}',
    'apply',
    'application/apply-patch+yaml',
    '{"a":"/ \u{1f600} \\\\/ \\\\ud83d \\n"}',
  ],
  ['application/yaml', 'mode: 0644', 'json', 'application/json', '{"mode":420}'],
] as const;

for (const [contentType, text, kind, upstreamType, upstream] of readable) {
  test(`${contentType || 'no content type'}: ${text} goes on as ${upstream}`, () => {
    const body = read(text, contentType);
    assert.deepEqual([body.kind, body.contentType, body.bytes.toString()], [kind, upstreamType, upstream]);
  });
}

/** Content type and a body that is not what it says. */
const unreadable = [
  ['application/json', '{"a":1,"a":2}'],
  ['application/json', 'a: 1'],
  ['application/json', '\ufeff{}'],
  ['application/merge-patch+json', '{'],
  ['application/yaml', 'a: 1\n---\na: 2'],
  ['application/apply-patch+yaml', '{"a":1,"a":2}'],
  ['application/vnd.kubernetes.protobuf', '{}'],
] as const;

for (const [contentType, text] of unreadable) {
  test(`${contentType}: ${JSON.stringify(text)} is refused`, () => {
    assert.throws(() => read(text, contentType), { reasonCode: 'BodyNotReadable' });
  });
}

test('a media type that cannot be judged is refused, and the hint says which can', () => {
  for (const type of ['application/cbor', 'application/apply-patch+cbor', 'text/plain', 'application/xml']) {
    assert.throws(() => read('x', type), { reasonCode: 'MediaTypeNotSupported', hint: /JSON, YAML/ });
  }
});

test('what goes through a proxy is passed on as it came, and marked', () => {
  const proxy = { ...pods, subresource: 'proxy', name: 'web' };
  for (const attributes of [proxy, { kind: 'nonResource', verb: 'post', path: '/x' } as const]) {
    const body = read('a=b', 'application/x-www-form-urlencoded', attributes);
    assert.deepEqual(
      [body.kind, body.why, body.contentType, body.bytes.toString()],
      ['opaque', 'free-form', 'application/x-www-form-urlencoded', 'a=b'],
    );
  }
});

test('no body is none, whatever its content type says', () => {
  assert.equal(read('', 'application/cbor').kind, 'none');
});
