import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { leases } from '@sluice/model';
import { TestBroker, until } from '@sluice/testing';
import { openBroker } from './broker.ts';
import { type LeaseStore, openLeaseStore, takeLease } from './held-lease.ts';
import { createLogger } from './log.ts';
import { provision } from './provision.ts';

const log = createLogger('test', '/dev/null');

test('an answer to a renewal that never comes does not cost the lease', async (t) => {
  const server = await TestBroker.start();
  const broker = await openBroker(server.env, 'test', log);
  t.after(async () => {
    await broker.drain().catch(() => undefined);
    await server.close();
  });
  await provision(broker);
  const store = await openLeaseStore(broker);
  let swaps = 0;
  /** The second answer goes with the broker's connection: whoever waits for it waits in vain. */
  const lossy: LeaseStore = {
    last: (of) => store.last(of),
    async swap(subject, payload, seq, timeoutMs = 2_000) {
      const swapped = store.swap(subject, payload, seq, timeoutMs);
      if (++swaps !== 2) return swapped;
      await Promise.all([swapped, sleep(timeoutMs)]);
      throw new Error('no answer');
    },
  };
  let lost = '';
  const lease = await takeLease({
    store: lossy,
    subject: leases.ledger('test', 'lossy'),
    payload: Buffer.from('{"state":"held"}'),
    after: 0,
    renewMs: 750,
    leaseMs: 3_000,
    log,
    onLost: (why) => {
      lost = why;
    },
  });
  assert.ok(lease !== null);
  await until('renewals after the lost one, or the end of the lease', () => swaps >= 5 || lost !== '');
  assert.equal(lost, '');
  assert.ok(lease.held());
  lease.abandon();
});
