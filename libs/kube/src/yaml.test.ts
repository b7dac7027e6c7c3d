import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { BodyError } from './body-error.ts';
import { yamlToJson } from './yaml.ts';

type Vector = { readonly yaml: string } & ({ readonly json: string } | { readonly refused: true });

/** What a real API server read in each snippet, under the fields every object has. `tools/yaml-vectors.ts` wrote it. */
const { vectors } = JSON.parse(readFileSync(new URL('./yaml-vectors.json', import.meta.url), 'utf8')) as {
  readonly vectors: readonly Vector[];
};
const head = 'apiVersion: a/v1\nkind: A\nmetadata: { name: a }\n';

/** The fields of a snippet; whole numbers as texts, so that every digit counts. */
function fields(json: string): unknown {
  const object = JSON.parse(json, (_key, value: unknown, { source = '' }: { source?: string } = {}) =>
    typeof value === 'number' && /^-?\d+$/.test(source) ? `whole ${source}` : value,
  ) as Record<string, unknown>;
  for (const name of ['apiVersion', 'kind', 'metadata']) delete object[name];
  return object;
}

function read(yaml: string): { readonly json: string } | { readonly refused: string } {
  try {
    return { json: yamlToJson(Buffer.from(head + yaml)).toString() };
  } catch (error) {
    if (!(error instanceof BodyError)) throw error;
    return { refused: error.message };
  }
}

for (const vector of vectors) {
  test(`read as the server reads it, or refused: ${JSON.stringify(vector.yaml)}`, () => {
    const result = read(vector.yaml);
    if ('refused' in result) return;
    assert.ok('json' in vector, `the server refuses it, and here it is ${result.json}`);
    assert.deepEqual(fields(result.json), fields(vector.json));
  });
}

/** What the server reads and Sluice does not, and why. */
const stricter = new Map([
  ['a fraction or an infinity', ['v: 1e400', 'm: { 1.5: a }', 'm: { 1e3: a }']],
  ['a merge that other readers read otherwise', ['a: &x {k: 1}\nb: {k: 2, <<: *x}']],
  [
    'a tag that is hardly ever written by hand',
    [
      'v: !!int "5"',
      'v: !!bool "yes"',
      'v: !!null ""',
      'v: !!binary aGVsbG8=',
      'v: !foo bar',
      'v: !!timestamp 2001-01-01',
      'l: !!set {a, b}',
      'l: !!omap [a: 1]',
      'v: ! 5',
    ],
  ],
  [
    'a key that comes twice',
    ['a: 1\na: 2', 'm: {a: 1, a: 2}', 'm: {a: {b: 1}, a: {c: 2}}', 'm: {yes: 1, true: 2}', 'm: {1: a, "1": b}'],
  ],
  ['a second document, which the server leaves out', ['a: 1\n---\nb: 2', 'a: 1\n...\nb: 2']],
  ['a line separator inside a text', ['a: "\u0085"']],
]);

test('nothing else that the server reads is refused', () => {
  const refused = vectors.filter((vector) => 'json' in vector && 'refused' in read(vector.yaml));
  assert.deepEqual(refused.map(({ yaml }) => yaml).sort(), [...stricter.values()].flat().sort());
});

test('a few lines of aliases that stand for millions of values are refused', () => {
  const line = (i: number): string => `l${i}: &a${i} [${Array.from({ length: 9 }, () => `*a${i - 1}`).join(', ')}]`;
  const bomb = ['l0: &a0 [x]', ...Array.from({ length: 12 }, (_, i) => line(i + 1))].join('\n');
  assert.deepEqual(read(bomb), { refused: 'its aliases stand for too much' });
});

test('an alias inside what it stands for is refused', () => {
  assert.match(JSON.stringify(read('a: &a [*a]')), /nested deeper/);
});

test('property: JSON is YAML, and means the same', () => {
  fc.assert(
    fc.property(fc.jsonValue({ noUnicodeString: false }), (value) => {
      const text = JSON.stringify(value);
      if (/[\u0085\u2028\u2029]|"(-?0|<<)"/u.test(text) || /\\ud/i.test(text)) return;
      const result = yamlToJson(Buffer.from(text));
      assert.deepEqual(JSON.parse(result.toString()), JSON.parse(text));
    }),
  );
});

test('whatever is cut out of, or put into, a snippet is read or refused, and never crashes', () => {
  const pieces = vectors.map(({ yaml }) => yaml);
  fc.assert(
    fc.property(
      fc.constantFrom(...pieces),
      fc.constantFrom(...pieces),
      fc.nat(40),
      fc.nat(40),
      (one, other, at, cut) => {
        read(`${one.slice(0, at)}${other.slice(cut)}`);
      },
    ),
    { numRuns: 20_000 },
  );
});
