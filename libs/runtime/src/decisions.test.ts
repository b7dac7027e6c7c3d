import assert from 'node:assert/strict';
import { createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import type { Decision } from '@sluice/model';
import { openDecision, signDecision } from './decisions.ts';

const newKey = (): KeyObject => createSecretKey(randomBytes(32));
const key = newKey();
const decision: Decision = {
  effect: 'allow',
  reasonCode: 'AllowedByRule',
  policy: 'p',
  rule: 'r',
  authority: 1,
  policyVersion: '0123456789abcdef',
  digest: 'd1',
  notAfter: 2_000,
  obligations: { impersonate: { user: 'sluice:tier:t', groups: [] } },
};

test('a decision is believed for its request, until its end', () => {
  const signed = signDecision(key, decision);
  assert.deepEqual(openDecision(key, signed, 'd1', 1_999), decision);
  assert.equal(openDecision(key, signed, 'd1', 2_000), null, 'it is over');
  assert.equal(openDecision(key, signed, 'd2', 1_000), null, 'it is for another request');
});

test('a decision with any other byte, or of any other key, is not believed', () => {
  const signed = Buffer.from(signDecision(key, decision));
  for (let at = 0; at < signed.length; at++) {
    const changed = Buffer.from(signed);
    changed[at] = (changed[at] ?? 0) ^ 1;
    assert.equal(openDecision(key, changed, 'd1', 1_000), null, `byte ${at}`);
  }
  assert.equal(openDecision(newKey(), signed, 'd1', 1_000), null);
  assert.equal(openDecision(key, Buffer.alloc(0), 'd1', 1_000), null);
});
