import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { parseTarget, requestAttributes } from '@sluice/kube';
import type { Allow } from '@sluice/model';
import { bind } from './bind.ts';
import type { Call } from './call.ts';
import { LiveCalls } from './live.ts';
import type { Refusal } from './refusal.ts';

const log = { info() {}, warn() {}, error() {} } as never;
const inAnHour = (): number => Date.now() + 3_600_000;
const soon = (): number => Date.now() + 20;

function bound(path: string, ends: { tokenEndsMs?: number; grantEndsMs?: number; deadline?: number }) {
  const target = parseTarget(path);
  const canonical = { method: 'GET', target, attributes: requestAttributes('GET', target) };
  const call = { canonical, tokenEndsMs: ends.tokenEndsMs ?? inAnHour(), record: { id: 'c', session: 's' } };
  const impersonate = { user: 'u', groups: [] };
  const { deadline, grantEndsMs } = ends;
  const decision = { obligations: { impersonate, ...(deadline !== undefined && { deadline }) } };
  return bind({ live: new LiveCalls(log) }, call as unknown as Call, {
    decision: decision as unknown as Allow,
    decideAgain: async () => decision as unknown as Allow,
    grantEndsMs,
  });
}

const exec = '/api/v1/namespaces/shop/pods/web/exec?command=sh&stdin=true';

test('a stream, a watch and a log end with the token, the grant or the deadline, whichever is first', async () => {
  for (const path of [exec, '/api/v1/pods?watch=true', '/api/v1/namespaces/shop/pods/web/log?follow=true']) {
    for (const [ends, code] of [
      [{ tokenEndsMs: soon() }, 'TokenExpired'],
      [{ grantEndsMs: soon() }, 'GrantExpired'],
      [{ deadline: soon(), grantEndsMs: inAnHour() }, 'DeadlineReached'],
    ] as const) {
      const { cut, release } = bound(path, ends);
      if (!cut.aborted) await once(cut, 'abort');
      assert.equal((cut.reason as Refusal).reasonCode, code, path);
      release();
    }
  }
});

test('a call that ends by itself ends with its deadline alone', async () => {
  const { cut, release } = bound('/api/v1/namespaces/shop/pods/web', {
    tokenEndsMs: Date.now() - 1,
    deadline: Date.now() + 60,
  });
  await once(cut, 'abort');
  assert.equal((cut.reason as Refusal).reasonCode, 'DeadlineReached');
  release();
});

test('a token that ends in months ends nothing now', () => {
  const { cut, release } = bound(exec, { tokenEndsMs: Date.now() + 90 * 24 * 3_600_000 });
  assert.equal(cut.aborted, false);
  release();
});
