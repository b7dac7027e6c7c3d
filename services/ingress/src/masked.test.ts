import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type MaskClient, MaskError } from './mask-client.ts';
import { maskedTextOf } from './masked.ts';
import { Refusal } from './refusal.ts';

/** Masking as it is when no worker is there. */
const nobody: MaskClient = {
  values: async () => Promise.reject(new MaskError('unavailable')),
  text: async () => Promise.reject(new MaskError('unavailable')),
};
const subject = {
  agent: { issuer: 'sluice', name: 'demo', groups: [] },
  attributes: { kind: 'nonResource', verb: 'get', path: '/' },
  rules: [],
} as const;

test('a log that breaks off while it is withheld is withheld, and nothing else comes of it', async () => {
  const breaking = (async function* () {
    yield Buffer.from('line\n');
    await sleep(1);
    throw new Error('the cluster broke off');
  })();
  const uncaught: unknown[] = [];
  process.on('unhandledRejection', (error) => uncaught.push(error));
  await assert.rejects(async () => {
    for await (const _ of maskedTextOf(breaking, nobody, subject)) assert.fail('a piece came');
  }, Refusal);
  await sleep(20);
  assert.deepEqual(uncaught, []);
});
