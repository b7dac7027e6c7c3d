import assert from 'node:assert/strict';
import { createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { openSeal, SealError, seal, sealNonce } from './raw.ts';

const newKey = (): KeyObject => createSecretKey(randomBytes(32));
const key = newKey();
const secret = Buffer.from('a secret on its way');

test('what is sealed opens with the same key and context, and shows nothing on the way', () => {
  const sealed = seal(key, { kind: 'request' }, [secret.subarray(0, 5), secret.subarray(5)]);
  assert.ok(!sealed.includes('secret'));
  assert.deepEqual(Buffer.from(openSeal(key, { kind: 'request' }, sealed)), secret);
});

test('two seals of the same bytes differ', () => {
  assert.notDeepEqual(seal(key, { kind: 'request' }, [secret]), seal(key, { kind: 'request' }, [secret]));
});

test('a changed byte, a cut, another key, another direction or another request: none opens', () => {
  const request = seal(key, { kind: 'request' }, [secret]);
  const reply = seal(key, { kind: 'reply', to: sealNonce(request) }, [secret]);
  const refused = (open: () => unknown): void => assert.throws(open, SealError);
  for (let at = 0; at < request.length; at++) {
    const changed = Buffer.from(request);
    changed[at] = (changed[at] ?? 0) ^ 1;
    refused(() => openSeal(key, { kind: 'request' }, changed));
    refused(() => openSeal(key, { kind: 'request' }, request.subarray(0, at)));
  }
  refused(() => openSeal(newKey(), { kind: 'request' }, request));
  refused(() => openSeal(key, { kind: 'request' }, reply));
  refused(() => openSeal(key, { kind: 'reply', to: sealNonce(reply) }, request));
  refused(() => openSeal(key, { kind: 'reply', to: randomBytes(12) }, reply));
});
