// One table for all rows: what each finds, and what it leaves alone.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { detectors as names } from '@sluice/model';
import { findSecrets } from './detect.ts';
import { detectors } from './detectors.ts';
import { label, secretTexts } from './fixtures.ts';

for (const [by, text, secret] of secretTexts) {
  test(`${by} finds what it should in ${JSON.stringify(text).slice(0, 50)}`, () => {
    const found = findSecrets(Buffer.from(text), []);
    assert.deepEqual(
      found.map((one) => [one.by, text.slice(one.start, one.end)]),
      [[by, secret]],
    );
  });
}

const passes: readonly string[] = [
  '',
  'a quite ordinary line of a log, with level=info and user=7',
  'secret/web created',
  'secret "web" deleted',
  'authorization.k8s.io/v1',
  'PASSWORD_FILE=/run/secrets/password',
  'secretName: web-tls',
  'tokenExpirationSeconds: 3607',
  'password=$PASSWORD',
  'password: ${DB_PASSWORD}',
  'token=<none>',
  'password: null',
  'password: ""',
  'password is required',
  'invalid password: must be longer',
  'tokens: 512',
  'https://example.com/a:b@c',
  'https://user@host/path',
  'image: registry.example/web@sha256:0123',
  'eyJ is how it begins',
  '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----',
  'task-sk-live and desk-top',
  'PWD=/root',
  'password=sluice-mask:v1:01234567:AAAAAAAAAAAAAAAA',
];

for (const text of passes) {
  test(`nothing is found in ${JSON.stringify(text).slice(0, 60)}`, () => {
    assert.deepEqual(findSecrets(Buffer.from(text), []), []);
  });
}

test('words that look random are found where a rule says so, and only there', () => {
  const text = Buffer.from('id q8Zr1LxVt0WmYb7KpS4n and aaaaaaaaaaaaaaaaaaaaaaaa');
  assert.deepEqual(findSecrets(text, []), []);
  assert.deepEqual(
    findSecrets(text, ['high-entropy']).map(({ start, end }) => text.toString('latin1', start, end)),
    ['q8Zr1LxVt0WmYb7KpS4n'],
  );
});

test('every detector that has a name has a row, and every row a name', () => {
  const rows = new Set<string>(detectors.map(({ name }) => name));
  const always = Object.entries(names).filter(([, { looks }]) => looks === 'always');
  assert.deepEqual([...rows].sort(), always.map(([name]) => name).sort());
});

/** Texts that make a matcher go back over what it has read, if it ever does. */
const hostile = [
  'password=',
  'password=$',
  'password: "',
  '--password ',
  '"auth"',
  '"auth":"',
  'authorization:',
  'authorization: bearer ',
  'eyJ',
  'eyJ.',
  'eyJhbGciOi.',
  '://',
  '://a:',
  '://a@',
  '-----BEGIN ',
  `-----BEGIN ${label}-----`,
  'sk-',
  'ghp_',
  'bearer ',
  'token\\',
  'secret,',
  'secret\n',
  'UFJJVkFURSBLRVk',
];

for (const text of hostile) {
  test(`${JSON.stringify(text)} over and over reads no byte more often than a bound`, () => {
    // Reads are counted, not time: a view that counts is what the search gets to see.
    const reads = (size: number): number => {
      const bytes = Buffer.from(text.repeat(Math.ceil(size / text.length)));
      let count = 0;
      const counted = new Proxy(bytes, {
        get(target, key) {
          if (typeof key === 'string' && key !== '' && key >= '0' && key <= '9~') count++;
          const value: unknown = Reflect.get(target, key);
          if (typeof value !== 'function') return value;
          return (...args: unknown[]): unknown => {
            if (key === 'toString' && args.length === 3) count += Number(args[2]) - Number(args[1]);
            return Reflect.apply(value, target, args);
          };
        },
      });
      findSecrets(counted, []);
      return count;
    };
    const [small, large] = [reads(2_000), reads(16_000)];
    assert.ok(small > 0 && large < small * 16, `${small} reads of 2 kB, ${large} of 16 kB`);
  });
}

test('what looks like a name in bytes that are no text is none', () => {
  const binary = Buffer.from('bf228ce714810594db5077445103106cf4', 'hex');
  const found = (before: Buffer, text: string): number =>
    findSecrets(Buffer.concat([before, Buffer.from(text, 'latin1')]), []).length;
  for (const text of ['wDPwDQ=\x01\x106\xcf)\xf4\x8e', 'token:hunter22\x01\xfe\xff', '://a\x80:b\xff@c']) {
    assert.equal(found(Buffer.concat([binary, binary]), text), 0, text);
  }
  // A few umlauts, signs of any alphabet, colours and the padding of archives may stand before a name.
  for (const before of ['Gr\xfc\xdfe, Frosch: ', '\x1b[31m', '\x12\x08', '\0'.repeat(16)])
    assert.equal(found(Buffer.from(before, 'latin1'), 'password=hunter22'), 1, before);
  assert.equal(found(Buffer.from('пароль базы данных — '), 'password=hunter22'), 1);
  assert.equal(found(Buffer.from('秘密'.repeat(8)).subarray(1), 'password=hunter22'), 1);
});
