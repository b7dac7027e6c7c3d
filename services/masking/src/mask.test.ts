import assert from 'node:assert/strict';
import { createSecretKey } from 'node:crypto';
import { test } from 'node:test';
import { JsonError } from '@sluice/kube';
import { createMasker } from './mask.ts';

const masker = createMasker(createSecretKey(Buffer.alloc(32, 7)));
const agent = { issuer: 'https://id.example', name: 'a' };
const secretsCall = {
  agent,
  apiGroup: '',
  resource: 'secrets',
  subresource: '',
  form: 'object',
  direction: 'shown',
  rules: [],
} as const;
const podsCall = { ...secretsCall, resource: 'pods' } as const;

const secretText = 'correct-horse-battery';
const base64 = Buffer.from(secretText).toString('base64');
const maskPattern = /^sluice-mask:v1:[0-9a-f]{8}:[A-Za-z0-9_-]{16}$/;

function mask(request: Parameters<typeof masker.mask>[0], value: unknown): { text: string; value: never } {
  const text = masker
    .mask(request, Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)))
    .bytes.toString();
  return { text, value: JSON.parse(text) as never };
}

const secret = {
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name: 's' },
  data: { password: base64 },
  type: 'Opaque',
};

const places: readonly (readonly [what: string, request: Parameters<typeof masker.mask>[0], value: unknown])[] = [
  ['a Secret', secretsCall, secret],
  ['a Secret whose kind stands last', podsCall, { data: { password: base64 }, apiVersion: 'v1', kind: 'Secret' }],
  ['an item of a typed list, which has no kind', secretsCall, { metadata: { name: 's' }, data: { password: base64 } }],
  ['a Secret under another URL', podsCall, secret],
  ['a Secret inside a List', podsCall, { kind: 'List', items: [secret] }],
  ['a watch event', secretsCall, { type: 'ADDED', object: secret }],
  ['a row of a Table with the whole object', secretsCall, { cells: ['s', 'Opaque', 1], object: secret }],
  ['stringData', secretsCall, { kind: 'Secret', stringData: { password: secretText } }],
  ['a merge patch, which has no kind', secretsCall, { data: { password: base64, gone: null } }],
  ['a json-patch', { ...secretsCall, form: 'json-patch' }, [{ op: 'add', path: '/data/password', value: base64 }]],
  [
    'a json-patch with a whole map',
    { ...secretsCall, form: 'json-patch' },
    [{ op: 'add', path: '/data', value: { p: base64 } }],
  ],
  ['an escaped key', secretsCall, `{"kind":"Secret","d\\u0061ta":{"password":"${base64}"}}`],
  ['a key given twice', podsCall, `{"kind":"Secret","data":{"p":"${base64}"},"data":{"q":"${base64}"}}`],
  ['two kinds', podsCall, `{"kind":"Pod","kind":"Secret","data":{"p":"${base64}"}}`],
  [
    'the last-applied annotation',
    podsCall,
    {
      kind: 'Pod',
      metadata: { annotations: { 'kubectl.kubernetes.io/last-applied-configuration': JSON.stringify(secret) } },
    },
  ],
  [
    'a last-applied annotation that is not JSON',
    secretsCall,
    {
      kind: 'Secret',
      metadata: { annotations: { 'kubectl.kubernetes.io/last-applied-configuration': `{${secretText}` } },
    },
  ],
];

for (const [what, request, value] of places) {
  test(`${what} comes out masked`, () => {
    const given = typeof value === 'string' ? value : JSON.stringify(value);
    assert.ok(given.includes(base64) || given.includes(secretText), 'the secret is there to begin with');
    const { text } = mask(request, value);
    assert.ok(!text.includes(base64) && !text.includes(secretText), text);
  });
}

test('masks in data are base64 and in stringData plain', () => {
  const { value } = mask(secretsCall, { kind: 'Secret', data: { a: base64 }, stringData: { b: secretText } });
  const { data, stringData } = value as { data: { a: string }; stringData: { b: string } };
  assert.match(Buffer.from(data.a, 'base64').toString(), maskPattern);
  assert.match(stringData.b, maskPattern);
  assert.equal(Buffer.from(data.a, 'base64').toString(), stringData.b, 'equal values look equal to one agent');
});

test('two agents see different masks of one value', () => {
  const other = { ...secretsCall, agent: { ...agent, name: 'b' } };
  assert.notEqual(mask(secretsCall, secret).text, mask(other, secret).text);
});

test('a short value gets a tag that cannot be guessed', () => {
  const short = { kind: 'Secret', stringData: { pin: '1234' } };
  assert.notEqual(mask(secretsCall, short).text, mask(secretsCall, short).text);
});

test('every byte outside a mask stays as it was', () => {
  const text = `{ "kind":"Secret", "n": 12345678901234567890, "f":1.0, "u":"\\u003c", "data" :{ "a" : "${base64}" , "b":""},\n"z":[ ] }`;
  const masked = mask(secretsCall, text).text;
  const [before, after] = text.split(base64);
  assert.ok(masked.startsWith(before as string) && masked.endsWith(after as string), masked);
});

test('what is not a Secret comes back byte for byte', () => {
  const text = '{"kind":"ConfigMap","data":{"a":"eA=="},"x":[1.0,{"data":{"y":"z"}}]}';
  assert.equal(mask({ ...podsCall, resource: 'configmaps' }, text).text, text);
});

test('a patch that only deletes keys has nothing to mask', () => {
  assert.equal(mask(secretsCall, '{"data":{"a":null}}').text, '{"data":{"a":null}}');
});

test('what is not JSON is refused', () => {
  for (const text of ['', '{"a":1', 'k: v', '{}{}'])
    assert.throws(() => masker.mask(secretsCall, Buffer.from(text)), JsonError);
  assert.throws(() => masker.mask(secretsCall, Buffer.from('['.repeat(10_000))), JsonError);
});
