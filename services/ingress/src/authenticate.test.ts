import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Agent } from '@sluice/model';
import { TokenError } from '@sluice/runtime/identity';
import { createAuthenticate } from './authenticate.ts';
import { Refusal } from './refusal.ts';
import type { Request } from './request.ts';

const agent: Agent = { name: 'a', issuer: 'i', groups: [] };
const bearing = (authorization?: string): Request => ({ headers: { authorization } }) as unknown as Request;

test('a verified token is not verified again for a while, and never past its end', async () => {
  let verified = 0;
  let expiresAtMs = Date.now() + 600_000;
  const authenticate = createAuthenticate(async () => {
    verified++;
    return { agent, expiresAtMs };
  });
  assert.deepEqual(await authenticate(bearing('Bearer t1')), { agent, tokenEndsMs: expiresAtMs });
  assert.deepEqual((await authenticate(bearing('bearer t1'))).agent, agent);
  assert.equal(verified, 1);
  expiresAtMs = Date.now() - 1;
  await authenticate(bearing('Bearer t2'));
  await authenticate(bearing('Bearer t2'));
  assert.equal(verified, 3, 'an expired one is looked at each time');
});

test('without a bearer token, or with one that is refused, nobody is known', async () => {
  const authenticate = createAuthenticate(() => Promise.reject(new TokenError('no')));
  for (const value of [undefined, '', 'Bearer', 'Bearer ', 'Basic abc', 'Bearer a b', 'Bearer t']) {
    await assert.rejects(authenticate(bearing(value)), (error: unknown) => {
      assert.ok(error instanceof Refusal);
      assert.equal(error.reasonCode, 'NotAuthenticated');
      return true;
    });
  }
});

test('a verifier that breaks is no refusal that could be taken for a decision', async () => {
  const authenticate = createAuthenticate(() => Promise.reject(new RangeError('broken')));
  await assert.rejects(authenticate(bearing('Bearer t')), RangeError);
});
