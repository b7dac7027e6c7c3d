import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Framing, type Piece, SplitError, Splitter } from './split.ts';

const limit = 4096;

function split(framing: Framing, text: string, chunkBytes: number): Piece[] {
  const splitter = new Splitter(framing, limit);
  const bytes = Buffer.from(text);
  const pieces: Piece[] = [];
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    // A copy: pieces must not depend on how long the chunk they came in lives.
    pieces.push(...splitter.push(Buffer.from(bytes.subarray(at, at + chunkBytes))));
  }
  return [...pieces, ...splitter.end()];
}

function values(framing: Framing, text: string, chunkBytes: number): string[] {
  const pieces = split(framing, text, chunkBytes);
  assert.equal(Buffer.concat(pieces.map(({ bytes }) => bytes)).toString(), text, 'no byte is lost or moved');
  return pieces.filter(({ kind }) => kind === 'value').map(({ bytes }) => bytes.toString());
}

const cases: readonly (readonly [what: string, framing: Framing, text: string, expected: readonly string[]])[] = [
  [
    'the items of a list',
    'document',
    '{"kind":"SecretList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[{"a":"]}\\""},\n {"b":{"c":[1]}}]}\n',
    ['{"a":"]}\\""}', '{"b":{"c":[1]}}'],
  ],
  ['items before the kind', 'document', '{"apiVersion":"v1","items":[{"a":1}],"kind":"X","metadata":{}}', ['{"a":1}']],
  ['no items', 'document', '{"kind":"PodList","items":[]}', []],
  [
    'the rows of a Table',
    'document',
    '{"kind":"Table","columnDefinitions":[{"name":"Name"}],"rows":[{"cells":["x"],"object":{"items":[{}]}}]}',
    ['{"cells":["x"],"object":{"items":[{}]}}'],
  ],
  [
    'a single object',
    'document',
    '{"kind":"Secret","data":{"items":"eA=="}}',
    ['{"kind":"Secret","data":{"items":"eA=="}}'],
  ],
  [
    'an object that has items beside other fields',
    'document',
    '{"kind":"Odd","data":{"a":"eA=="},"items":[{"b":1}]}',
    ['{"kind":"Odd","data":{"a":"eA=="},"items":[{"b":1}]}'],
  ],
  ['items that are null', 'document', '{"kind":"PodList","items":null}', ['{"kind":"PodList","items":null}']],
  [
    'the events of a watch',
    'watch',
    '{"type":"ADDED","object":{"a":"{"}}\n{"type":"DELETED"}\n',
    ['{"type":"ADDED","object":{"a":"{"}}', '{"type":"DELETED"}'],
  ],
  ['events without white space between', 'watch', '{"a":1}{"b":2}', ['{"a":1}', '{"b":2}']],
];

for (const [what, framing, text, expected] of cases) {
  test(`${what}: cut at every byte, the values are the same`, () => {
    for (let chunkBytes = 1; chunkBytes <= text.length; chunkBytes++) {
      assert.deepEqual(values(framing, text, chunkBytes), expected);
    }
  });
}

test('watch events come out as soon as they are whole, and the ends of their lines with them', () => {
  const splitter = new Splitter('watch', limit);
  assert.deepEqual(splitter.push(Buffer.from('{"type":"ADDED"')), []);
  const pushed = (text: string): string[] => splitter.push(Buffer.from(text)).map(({ bytes }) => bytes.toString());
  assert.deepEqual(pushed('}'), ['{"type":"ADDED"}']);
  assert.deepEqual(pushed('\n'), ['\n']);
  assert.deepEqual(pushed('{"type":"DELETED"}\n'), ['{"type":"DELETED"}', '\n']);
});

const broken: readonly (readonly [what: string, framing: Framing, text: string])[] = [
  ['a list that stops half way', 'document', '{"items":[{"a":1}'],
  ['a watch that stops half way', 'watch', '{"type":"ADDED"'],
  ['a list that turns out to have data', 'document', '{"items":[{"a":1}],"data":{"k":"c2VjcmV0"}}'],
  ['a list of strings', 'document', '{"items":["c2VjcmV0"]}'],
  ['something that closes too much', 'document', '{}}'],
  ['a watch of something else than objects', 'watch', '"c2VjcmV0"'],
];

for (const [what, framing, text] of broken) {
  test(`${what} is refused`, () => assert.throws(() => split(framing, text, 3), SplitError));
}

test('one value over the limit is refused, many values under it are not', () => {
  const item = `{"a":"${'x'.repeat(1000)}"}`;
  assert.equal(values('document', `{"items":[${Array(20).fill(item).join(',')}]}`, 512).length, 20);
  assert.throws(() => split('document', `{"items":[{"a":"${'x'.repeat(limit)}"}]}`, 512), SplitError);
});
