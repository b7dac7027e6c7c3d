// What is masked of an object, by what it is: each row plants one secret, and says what must be left of the text when the
// secret is taken out. Everything else stays byte for byte.
import assert from 'node:assert/strict';
import { createSecretKey } from 'node:crypto';
import { test } from 'node:test';
import type { MaskRule } from '@sluice/model';
import fc from 'fast-check';
import { createMasker } from './mask.ts';

const masker = createMasker(createSecretKey(Buffer.alloc(32, 7)));
const request = {
  agent: { issuer: 'https://id.example', name: 'a' },
  apiGroup: '',
  resource: 'things',
  subresource: '',
  form: 'object',
  direction: 'shown',
  rules: [],
} as const;
const secret = 'planted-secret-4711';
const base64 = (text: string): string => Buffer.from(text).toString('base64');
const anyMask = /sluice-mask:v1:[0-9a-f]{8}:[A-Za-z0-9_-]{16}/;
const anyMask64 = /c2x1aWNlLW1hc2s6djE6[A-Za-z0-9+/]+={0,2}/;

type Asked = Partial<Pick<Parameters<typeof masker.mask>[0], 'apiGroup' | 'resource' | 'form' | 'rules'>>;

function masked(text: string, asked: Asked = {}): string {
  return masker.mask({ ...request, ...asked }, Buffer.from(text)).bytes.toString();
}

const rule = (more: Partial<MaskRule>): Asked => ({
  apiGroup: 'example.com',
  resource: 'databases',
  rules: [{ resources: ['databases.example.com'], paths: [], keys: [], detectors: [], ...more }],
});
const patch = (asked: Asked = {}): Asked => ({ ...asked, form: 'json-patch' });
const configMap = (inner: string): string => `{"kind":"ConfigMap","data":${inner}}`;

/** In the text `§` stands for the secret. */
const places: readonly (readonly [what: string, text: string, asked?: Asked])[] = [
  ['an environment variable', '{"env":[{"name":"DB_PASSWORD","value":"§"},{"name":"LEVEL","value":"info"}]}'],
  ['its value before its name', '{"env":[{"value":"§","name":"API_TOKEN"}]}'],
  ['a header of a probe', '{"httpHeaders":[{"name":"Authorization","value":"§"},{"name":"Accept","value":"a"}]}'],
  ['an argument behind its flag', '{"args":["serve","--password","§","--name","web"]}'],
  ['an argument with its flag', '{"args":["--token=§","--v=2"]}'],
  ['an entry of a ConfigMap by its name', configMap('{"DB_PASSWORD":"§","LEVEL":"info"}')],
  ['the same, its kind behind it', '{"data":{"api-key":"§"},"kind":"ConfigMap"}'],
  ['the same, its kind in the URL', '{"data":{"api-key":"§","a":"b"}}', { resource: 'configmaps' }],
  ['a file of settings', configMap('{".env":"LEVEL=info\\nDB_PASSWORD=§\\nMORE=1\\n"}')],
  [
    'a token in a status',
    '{"kind":"TokenRequest","status":{"token":"§","expirationTimestamp":"2026-01-01T00:00:00Z"}}',
  ],
  ['a password in any object', '{"spec":{"auth":{"user":"u","password":"§"}}}'],
  ['a message', '{"kind":"Event","message":"cannot log in with password=§ now"}'],
  ['an escaped string, of which the rest stays', '{"note":"\\u003ca\\u003e \\"password=§\\" \\/ \\n"}'],
  ['a value set in managedFields', '{"fieldsV1":{"f:args":{"v:\\"--token=§\\"":{},".":{}}}}'],
  ['a cell that prints a masked field', '{"cells":["web","§",3],"object":{"spec":{"password":"§"}}}'],
  ['a place of a rule', '{"spec":{"users":[{"pin":"§","name":"u"}]}}', rule({ paths: ['.spec.users[*].pin'] })],
  ['everything under a place of a rule', '{"spec":{"tls":{"a":"§","b":["§"]},"x":1}}', rule({ paths: ['.spec.tls'] })],
  ['a place at any depth', '{"a":{"b":[{"c":{"pin":"§"}}]}}', rule({ paths: ['..pin'] })],
  ['a quoted name in a place', '{"data":{"tls.key":"§","tls.crt":"x"}}', rule({ paths: [".data['tls.key']"] })],
  ['a key of a rule, in any case', '{"spec":{"Main-DSN":"§","size":3}}', rule({ keys: ['*-dsn'] })],
  [
    'a patch of a variable',
    '[{"op":"add","path":"/spec/containers/0/env/-","value":{"name":"TOKEN","value":"§"}}]',
    patch(),
  ],
  [
    'a patch of a variable\u2019s value',
    '[{"op":"replace","path":"/spec/containers/0/env/3/value","value":"§"}]',
    patch(),
  ],
  [
    'a patch of a ConfigMap\u2019s entry',
    '[{"op":"add","path":"/data/password","value":"§"}]',
    patch({ resource: 'configmaps' }),
  ],
  [
    'a patch of a place of a rule',
    '[{"op":"add","path":"/spec/users/0/pin","value":"§"}]',
    patch(rule({ paths: ['.spec.users[*].pin'] })),
  ],
  [
    'a patch that says its value first',
    '[{"value":"§","op":"add","path":"/spec/pin"}]',
    patch(rule({ paths: ['.spec.pin'] })),
  ],
];

for (const [what, text, asked] of places) {
  test(`masked: ${what}`, () => {
    const given = text.replaceAll('§', secret);
    const result = masked(given, asked);
    assert.ok(!result.includes(secret), result);
    assert.equal(result.replaceAll(new RegExp(anyMask.source, 'g'), '§'), text);
    assert.equal(masked(result, asked), result, 'a second time changes nothing');
  });
}

const embedded: readonly (readonly [what: string, text: string])[] = [
  ['a Secret in a custom object', '{"kind":"Bundle","spec":{"objects":[{"kind":"Secret","data":{"a":"B"}}]}}'],
  ['a Secret in a template', '{"spec":{"template":{"data":{"a":"B","b":""},"kind":"Secret"}}}'],
  ['binary data of a ConfigMap', '{"kind":"ConfigMap","binaryData":{"f":"P"}}'],
];

for (const [what, text] of embedded) {
  test(`masked: ${what}`, () => {
    const form = base64(text.includes('"P"') ? `password=${secret}` : secret);
    const result = masked(text.replace(/"[BP]"/, `"${form}"`));
    assert.ok(!result.includes(form), result);
    assert.equal(result.replace(anyMask64, 'X').replace(/"X"/, '"B"').replace('"f":"B"', '"f":"P"'), text);
  });
}

const untouched: readonly (readonly [text: string, asked?: Asked])[] = [
  ['{"env":[{"name":"PASSWORD_FILE","value":"/run/x"},{"name":"LEVEL","value":"info"}]}'],
  ['{"env":[{"name":"DB_PASSWORD","valueFrom":{"secretKeyRef":{"name":"web-db","key":"password"}}}]}'],
  ['{"volumes":[{"secret":{"secretName":"web"}}],"imagePullSecrets":[{"name":"registry"}]}'],
  ['{"automountServiceAccountToken":false,"token":null}'],
  ['{"kind":"ConfigMap","data":{"a":"b"},"x":[1.0,12345678901234567890,{"data":{"y":"z"}}]}'],
  ['{"cells":["web","Opaque",2,"3d"],"object":{"kind":"PartialObjectMetadata","metadata":{"name":"web"}}}'],
  ['{"spec":{"pin":"1234"}}', { ...rule({ paths: ['.spec.pin'] }), resource: 'others' }],
];

for (const [text, asked] of untouched) {
  test(`left as it is: ${text.slice(0, 60)}`, () => assert.equal(masked(text, asked), text));
}

test('a number in a masked place becomes a mask, null stays', () => {
  const result = masked('{"spec":{"pin":1234,"a":null}}', rule({ paths: ['.spec'] }));
  assert.match(result, /^\{"spec":\{"pin":"sluice-mask:v1:[^"]+","a":null\}\}$/);
});

test('many values in one object cost no more than their number', () => {
  const entries = Array.from({ length: 60_000 }, (_, index) => `"token-${index}":"v-${index}"`).join(',');
  const variables = Array.from({ length: 30_000 }, (_, index) => `{"name":"TOKEN_${index}","value":"v-${index}"}`).join(
    ',',
  );
  for (const text of [configMap(`{${entries}}`), `{"env":[${variables}]}`]) {
    const { masks } = masker.mask(request, Buffer.from(text));
    assert.equal(masks, text.includes('"env"') ? 30_000 : 60_000);
  }
});

test('Secrets within Secrets, their kinds behind their data, are refused where nobody could tell how deep', () => {
  const nested = (depth: number): string =>
    depth === 0 ? `"${'x'.repeat(1000)}"` : `{"data":{"a":${nested(depth - 1)}},"kind":"Secret"}`;
  assert.ok(!masked(nested(5)).includes('xxx'));
  assert.throws(() => masked(nested(60)), { code: 'BadJson' });
});

const leaf = fc.oneof(
  fc.string(),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.boolean(),
  fc.constant(null),
);
const tree = fc.letrec((tie) => ({
  node: fc.oneof(
    { maxDepth: 4 },
    leaf,
    fc.array(tie('node'), { maxLength: 4 }),
    fc.dictionary(
      fc.string().filter((key) => !['__proto__', 'kind'].includes(key)),
      tie('node'),
      { maxKeys: 4 },
    ),
    fc.constant({ env: [{ name: 'DB_PASSWORD', value: secret }] }),
    fc.constant({ kind: 'Secret', data: { a: base64(secret) }, stringData: { b: secret } }),
    fc.constant({ message: `"token": "${secret}" \u2713` }),
    fc.constant({ args: ['--token', secret] }),
  ),
}));

test('in any object nothing planted survives, in any form, and the rest is the same value', () => {
  fc.assert(
    fc.property(tree.node, fc.constantFrom(0, 1), (value, indent) => {
      const text = JSON.stringify(value, null, indent);
      const result = masked(text);
      for (const form of [secret, base64(secret), base64(secret).slice(0, 20)])
        assert.ok(!result.includes(form), result);
      assert.equal(masked(result), result);
      assertSame(JSON.parse(text), JSON.parse(result));
    }),
    { numRuns: 500 },
  );
});

/** The same value, but for strings in which a mask stands. */
function assertSame(was: unknown, is: unknown): void {
  if (typeof is === 'string' && (anyMask.test(is) || anyMask64.test(is))) return;
  if (typeof was !== 'object' || was === null || typeof is !== 'object' || is === null)
    return assert.deepEqual(is, was);
  assert.deepEqual(Object.keys(is), Object.keys(was));
  for (const [key, inner] of Object.entries(was)) assertSame(inner, (is as Record<string, unknown>)[key]);
}
