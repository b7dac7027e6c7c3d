import assert from 'node:assert/strict';
import { test } from 'node:test';
import { leaseMs } from '@sluice/model';
import { Leases } from './leases.ts';

const member = (instance: string, seq: number) => ({ instance, role: 'ingress', seq }) as const;

test('a sequence is in force once every member has confirmed it', () => {
  const leases = new Leases({ succeeds: false }, 0);
  leases.renew(member('a', 1), 0);
  leases.renew(member('b', 1), 0);
  assert.equal(leases.outstandingMs(1, 10), 0);
  assert.ok(leases.outstandingMs(2, 10) > 0);
  leases.renew(member('a', 2), 20);
  assert.ok(leases.outstandingMs(2, 30) > 0);
  leases.renew(member('b', 3), 30);
  assert.equal(leases.outstandingMs(2, 30), 0);
});

test('a member that is silent is waited for until its lease has ended, and no longer', () => {
  const leases = new Leases({ succeeds: false }, 0);
  leases.renew(member('silent', 1), 100);
  assert.equal(leases.outstandingMs(2, 200), leaseMs - 100);
  assert.equal(leases.outstandingMs(2, 100 + leaseMs), 0);
});

test('the members of the writer before are unknown, so their leases must all have ended', () => {
  const leases = new Leases({ succeeds: true }, 1_000);
  assert.equal(leases.outstandingMs(1, 1_000), leaseMs);
  assert.equal(leases.outstandingMs(1, 1_000 + leaseMs), 0);
});

test('members are counted by role, and those whose lease has ended are not', () => {
  const leases = new Leases({ succeeds: false }, 0);
  leases.renew(member('a', 1), 0);
  leases.renew({ instance: 'p', role: 'policy', seq: 1 }, 10);
  leases.renew({ instance: 'p', role: 'policy', seq: 2 }, 20);
  assert.deepEqual(leases.count(100), { ingress: 1, policy: 1 });
  assert.deepEqual(leases.count(leaseMs + 5), { ingress: 0, policy: 1 });
});

test('of a writer before, every member may still run, until its lease must have ended', () => {
  const leases = new Leases({ succeeds: true }, 0);
  assert.equal(leases.mayRun('unknown', leaseMs - 1), true);
  assert.equal(leases.mayRun('unknown', leaseMs), false);
  leases.renew(member('a', 1), leaseMs);
  assert.equal(leases.mayRun('a', 2 * leaseMs - 1), true);
  assert.equal(leases.mayRun('a', 2 * leaseMs), false);
});
