import assert from 'node:assert/strict';
import { test } from 'node:test';
import { innerValues } from './inner-values.ts';

function inside(value: string): string[] {
  return innerValues(Buffer.from(value)).map(String);
}

test('of a docker config the password is known, from its field and from inside auth', () => {
  const auth = Buffer.from('robot:pulls-images').toString('base64');
  const config = JSON.stringify({ auths: { 'r.example': { username: 'robot', password: 'pulls-"images"', auth } } });
  assert.deepEqual(inside(config), [
    'pulls-\\"images\\"',
    'pulls-"images"',
    auth,
    'robot:pulls-images',
    'pulls-images',
  ]);
});

test('of a kubeconfig the token and the key, as it is and decoded', () => {
  const key = `-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n`;
  const data = Buffer.from(key).toString('base64');
  const found = inside(`users:\n- name: a\n  user:\n    client-key-data: ${data}\n    token: token-of-nobody-1\n`);
  assert.deepEqual(found, [data, key, 'token-of-nobody-1']);
});

test('of a URL the password', () => {
  assert.deepEqual(inside('postgres://shop:hunter2-hunter2@db/shop'), ['hunter2-hunter2']);
});

test('of what is no more than itself nothing, and of very much not all', () => {
  assert.deepEqual(inside('just-a-password'), []);
  assert.equal(inside('password=abc defgh '.repeat(1_000)).length, 32);
});
