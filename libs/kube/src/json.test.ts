import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { closeBrace, JsonCursor, JsonError, openBrace, openBracket, quote } from './json.ts';

/** Walks a value and builds it again from what the cursor reports. */
function read(cursor: JsonCursor): unknown {
  switch (cursor.peek()) {
    case openBrace: {
      const entries: [string, unknown][] = [];
      cursor.object((key) => entries.push([key, read(cursor)]));
      return Object.fromEntries(entries);
    }
    case openBracket: {
      const elements: unknown[] = [];
      cursor.array(() => elements.push(read(cursor)));
      return elements;
    }
    case quote:
      return cursor.text(cursor.string());
    default: {
      const { start, end } = cursor.scalar();
      return JSON.parse(cursor.bytes.toString('latin1', start, end));
    }
  }
}

test('any JSON is read as JSON.parse reads it, with and without white space', () => {
  fc.assert(
    fc.property(fc.json(), fc.constantFrom(0, 2), (text, indent) => {
      const value: unknown = JSON.parse(text);
      const cursor = new JsonCursor(Buffer.from(JSON.stringify(value, null, indent)));
      assert.deepEqual(JSON.stringify(read(cursor)), JSON.stringify(value));
      cursor.end();
    }),
  );
});

for (const text of [
  '',
  '{',
  '{"a"}',
  '{"a":}',
  '[1,]',
  '{"a":1,}',
  '"a',
  '01',
  '1.',
  'nul',
  '{"a":1}x',
  '"\u0001"',
  "{'a':1}",
]) {
  test(`${JSON.stringify(text)} is refused`, () => {
    const cursor = new JsonCursor(Buffer.from(text));
    assert.throws(() => {
      read(cursor);
      cursor.end();
    }, JsonError);
  });
}

test('the cursor stands behind what it took', () => {
  const cursor = new JsonCursor(Buffer.from('{"a": 1 }'));
  cursor.object(() => cursor.scalar());
  assert.equal(cursor.bytes[cursor.at - 1], closeBrace);
});
