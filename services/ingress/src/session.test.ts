import assert from 'node:assert/strict';
import { createSecretKey } from 'node:crypto';
import { test } from 'node:test';
import type { Agent } from '@sluice/model';
import { sessionOf } from './session.ts';

const [key, other] = [1, 2].map((byte) => createSecretKey(Buffer.alloc(32, byte)));
assert.ok(key !== undefined && other !== undefined);
const agent = (name: string): Agent => ({ name, issuer: 'sluice', groups: [] });
const lateMs = Date.parse('2026-03-01T23:59:59.999Z');

test('calls of one agent on one day are one session, whoever read its token', () => {
  const demo = agent('demo');
  const first = sessionOf(demo, key, Date.parse('2026-03-01T00:00:00Z'));
  // printf '["sluice","demo","2026-03-01"]' | openssl dgst -sha256 -mac HMAC -macopt hexkey:0101…01
  assert.equal(first, '737ac5093625e0c7b9e43df968aa5bc1');
  assert.equal(sessionOf(demo, key, lateMs), first);
  assert.equal(sessionOf(agent('demo'), key, lateMs), first);
});

test('another day, another agent or another key is another session', () => {
  const demo = agent('demo');
  const ids = [
    sessionOf(demo, key, lateMs),
    sessionOf(demo, key, lateMs + 1),
    sessionOf(agent('other'), key, lateMs),
    sessionOf(demo, other, lateMs),
  ];
  assert.equal(new Set(ids).size, ids.length);
  assert.equal(sessionOf(demo, key, lateMs), ids[0]);
});
