import assert from 'node:assert/strict';
import { createSecretKey } from 'node:crypto';
import { test } from 'node:test';
import { parseTarget, requestAttributes } from '@sluice/kube';
import { raw } from '@sluice/runtime/raw';
import type { Call } from '../call.ts';
import type { Get } from '../get.ts';
import type { MaskClient } from '../mask-client.ts';
import { createPods } from './pod.ts';

const target = parseTarget('/api/v1/namespaces/shop/pods/web/exec?command=ls');
const agent = { name: 'demo', issuer: 'sluice', groups: [] };
const call = {
  record: { id: '00000000-0000-7000-8000-000000000000' },
  canonical: { method: 'GET', target, attributes: requestAttributes('GET', target) },
  agent,
} as unknown as Call;
const impersonate = { user: 'tier', groups: [] };

/** What masking learns, when the cluster gives these answers one after the other; `null`: none. */
async function learning(names: readonly string[], answers: readonly (number | null)[]): Promise<readonly string[]> {
  const left = [...answers];
  const learnt: string[] = [];
  const get: Get = async ({ target: asked, headers }) => {
    const status = left.shift() ?? null;
    if (status === null) throw new Error('no answer');
    return { status, body: raw(Buffer.from(`${asked} ${String(headers['impersonate-user'] ?? 'sluice')}`)) };
  };
  const maskClient = {
    values: async (_subject: unknown, _as: unknown, values: readonly Buffer[]) => {
      learnt.push(...values.map(String));
      return [];
    },
  } as unknown as MaskClient;
  const pods = createPods(get, maskClient, createSecretKey(Buffer.alloc(32)));
  await pods.learnSecrets(call, names, impersonate);
  return learnt;
}

test('the Secrets of a pod are read with Sluice’s own identity, or as the agent’s tier', async () => {
  const secret = '/api/v1/namespaces/shop/secrets/db';
  assert.deepEqual(await learning(['db'], [200]), [`${secret} sluice`]);
  const [asTier] = await learning(['db'], [403, 200]);
  assert.ok(asTier?.startsWith(secret) && !asTier.endsWith('sluice'), asTier);
});

test('a Secret that nobody may read, or that is not there, stays unknown', async () => {
  assert.deepEqual(await learning(['db'], [403, 403]), []);
  assert.deepEqual(await learning(['db'], [404, 404]), []);
});

test('a cluster that does not say what a Secret is does not make it one that nobody knows', async () => {
  for (const answers of [[500], [429], [null], [403, 503], [403, null]]) {
    await assert.rejects(learning(['db'], answers), { reasonCode: 'MaskingUnavailable' }, JSON.stringify(answers));
  }
});

test('a pod with more Secrets than are looked for is not entered: among so many, one could hide', async () => {
  const names = Array.from({ length: 129 }, (_, at) => `s${at}`);
  await assert.rejects(
    learning(
      names,
      names.map(() => 200),
    ),
    { reasonCode: 'PodNotReadable' },
  );
  assert.equal(
    (
      await learning(
        names.slice(1),
        names.map(() => 200),
      )
    ).length,
    128,
  );
});
