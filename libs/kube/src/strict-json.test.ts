import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { BodyError } from './body-error.ts';
import { checkJson } from './strict-json.ts';

function isAccepted(body: string | Buffer): boolean {
  try {
    checkJson(Buffer.from(body));
    return true;
  } catch (error) {
    if (!(error instanceof BodyError)) throw error;
    return false;
  }
}

/** What is wrong with a body, and the body. */
const refused = [
  ['a key twice', '{"a":1,"a":1}'],
  ['a key twice, once escaped', '{"a":1,"\\u0061":2}'],
  ['a key twice, in an object in a list', '[{"b":[{"a":1,"a":2}]}]'],
  ['a letter of a key as an escape', '{"hostPI\\u0044":true}'],
  ['a letter of a value as an escape', '{"a":"\\\\\\u0044"}'],
  ['a byte order mark', '\ufeff{}'],
  ['half of a surrogate pair in a value', '{"a":"\\ud800"}'],
  ['half of a surrogate pair in a key', '{"\\udc00":1}'],
  ['bytes that are not UTF-8', Buffer.from([0x22, 0xff, 0x22])],
  ['something behind the value', '{} {}'],
  ['an unknown escape', '"\\q"'],
  ['a comma at the end', '[1,]'],
  ['a leading zero', '01'],
  ['NaN', 'NaN'],
  ['a comment', '{}//'],
  ['single quotes', "{'a':1}"],
  ['nothing', ''],
  ['no end', '{"a":'],
  ['a control character in a text', '"a\nb"'],
  ['a kind in other letters', '{"KIND":"Pod"}'],
  ['a kind with a Kelvin sign', '{"\u212aind":"Pod"}'],
  ['a version in other letters', '{"kind":"Pod","apiversion":"v1"}'],
  ['a version with a long s', '{"apiVer\u017fion":"v1"}'],
  ['too many levels', '['.repeat(300) + ']'.repeat(300)],
] as const;

for (const [what, body] of refused) {
  test(`refused: ${what}`, () => assert.equal(isAccepted(body), false));
}

test('an escaped backslash before a u is a text like any other, and so is what Go escapes', () => {
  assert.equal(isAccepted('{"a":"\\\\u0044","\\u003cb\\u003e":"\\u0026"}'), true);
});

test('below the top a key may be written in any letters', () => {
  assert.equal(isAccepted('{"kind":"ConfigMap","data":{"Kind":"x","APIVERSION":"y"}}'), true);
});

test('a message names a key and quotes no value', () => {
  assert.throws(() => checkJson(Buffer.from('{"password":"hunter2","password":"hunter3"}')), {
    message: 'the key "password" occurs twice in one object',
  });
  assert.throws(
    () => checkJson(Buffer.from('{"password":"hunter2" x')),
    (error: Error) => !error.message.includes('hunter'),
  );
});

test('property: what JavaScript writes is accepted', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.constantFrom(undefined, 2, '\t'), (value, space) => {
      const text = JSON.stringify(value, null, space);
      assert.equal(isAccepted(text), !/\\ud[89a-f]/i.test(text));
    }),
  );
});

test('property: what is accepted is JSON, and has as many keys as it is written with', () => {
  const fragments = ['{', '}', '[', ']', ',', ':', '"a"', '"b"', '"\\u0061"', '1', '-0.5e3', 'null', 'true', ' ', 'x'];
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...fragments), { maxLength: 14 }), (parts) => {
      const text = parts.join('');
      if (!isAccepted(text)) return;
      let members = 0;
      JSON.parse(text, (_key, value: unknown) => {
        if (typeof value === 'object' && value !== null && !Array.isArray(value)) members += Object.keys(value).length;
        return value;
      });
      assert.equal(members, (text.match(/:/g) ?? []).length);
    }),
    { numRuns: 20_000 },
  );
});
