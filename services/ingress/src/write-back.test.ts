import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { hasMask } from './write-back.ts';

const mask = 'sluice-mask:v1:0123abcd:AbCdEfGhIjKlMnOp';
const base64 = (text: string | Buffer): string => Buffer.from(text).toString('base64');
const escapedMask = Array.from(Buffer.from(mask), (byte) => `\\u00${byte.toString(16).padStart(2, '0')}`).join('');

const forms: readonly (readonly [name: string, body: string])[] = [
  ['plain', `{"a":"${mask}"}`],
  ['of another key', '{"a":"sluice-mask:v1:ffffffff:x"}'],
  ['in base64', `{"data":{"a":"${base64(mask)}"}}`],
  ['in base64 behind one byte', base64(`x${mask}`)],
  ['in base64 behind two bytes', base64(`xy${mask}y`)],
  ['in base64url', Buffer.from(`{"a":"${mask}"}`).toString('base64url')],
  ['in base64 of base64', base64(`ab${base64(`x${mask}`)}`)],
  ['in base64 three times over', base64(`a${base64(`ab${base64(mask)}`)}`)],
  ['escaped', `{"a":"\\u0073luice-mask:v1:x"}`],
  ['escaped throughout', `{"a":"${escapedMask}"}`],
  ['in a JSON text within JSON', JSON.stringify({ a: JSON.stringify({ data: { b: base64(mask) } }) })],
  ['in gzip, in base64', base64(gzipSync(`{"password":"${mask}"}`))],
  ['in a Helm release', base64(base64(gzipSync(`{"manifest":"data: ${base64(mask)}"}`)))],
  ['in a key', `{"${mask}":1}`],
];

for (const [name, body] of forms) test(`a mask is found ${name}`, () => assert.ok(hasMask(Buffer.from(body))));

test('it is found at any place of what base64 holds', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (before, after) => {
      assert.ok(hasMask(Buffer.from(`{"a":"${base64(before + mask + after)}"}`)));
    }),
  );
});

test('what holds no mask is none', () => {
  fc.assert(
    fc.property(fc.oneof(fc.json(), fc.base64String({ minLength: 40 })), (body) => {
      assert.ok(!hasMask(Buffer.from(body)));
    }),
    { numRuns: 1_000 },
  );
  for (const body of ['', 'sluice-mask', 'H4sI', `H4sI${'A'.repeat(40)}`, base64(gzipSync('{"a":1}'))])
    assert.ok(!hasMask(Buffer.from(body)), body);
});
