import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeParts, encodeHead, type MaskReply } from './masking.ts';

test('parts come back in their order', () => {
  const parts = ['{"a":1}', '', '{"b":"ü"}'].map((text) => Buffer.from(text));
  const head: MaskReply = { kind: 'masked', lengths: parts.map(({ length }) => length), masks: 0 };
  const decoded = decodeParts<MaskReply>(Buffer.concat([encodeHead(head), ...parts]));
  assert.deepEqual(decoded.head, head);
  assert.deepEqual(decoded.parts.map(String), parts.map(String));
});

test('a message with too much or too little is refused', () => {
  const head = encodeHead({ kind: 'masked', lengths: [3], masks: 0 });
  for (const body of ['ab', 'abcd'])
    assert.throws(() => decodeParts(Buffer.concat([head, Buffer.from(body)])), RangeError);
});
