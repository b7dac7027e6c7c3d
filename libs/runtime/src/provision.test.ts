import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { jetstreamManager } from '@nats-io/jetstream';
import { type Role, roles } from '@sluice/model';
import { TestBroker } from '@sluice/testing';
import { openAuthorityStore } from './authority.ts';
import { type Broker, openBroker } from './broker.ts';
import { ConfigError } from './env.ts';
import { createLogger } from './log.ts';
import { assertStreams, provision } from './provision.ts';

const log = createLogger('test', '/dev/null');
const all = ['CALLS', 'BYTES', 'LEASES', 'AUTHORITY', 'SHOWN', 'APPROVALS'];
let server: TestBroker;
let operator: Broker;

before(async () => {
  server = await TestBroker.start();
  operator = await openBroker(server.env, 'operator', log);
});
after(async () => {
  await operator.drain();
  await server.close();
});

async function as<T>(role: Role, act: (broker: Broker) => Promise<T>): Promise<T> {
  const broker = await openBroker(server.env, role, log);
  try {
    return await act(broker);
  } finally {
    await broker.nats.close();
  }
}

test('a service that finds no streams says who makes them, and makes none', async () => {
  const missing = (error: unknown): boolean =>
    error instanceof ConfigError && /^the broker has no stream \w+; `sluice up` makes it/.test(error.message);
  await assert.rejects(
    as('ingress', (broker) => assertStreams(broker, ['CALLS'])),
    missing,
  );
  await assert.rejects(as('policy', openAuthorityStore), missing);
  assert.deepEqual(await streamNames(), []);
});

test('only the operator makes streams and consumers', async () => {
  for (const role of roles.filter((one) => one !== 'operator')) {
    await assert.rejects(
      as(role, (broker) => provision(broker)),
      /permissions violation/i,
      role,
    );
  }
  assert.deepEqual(await streamNames(), []);
  await provision(operator);
  await provision(operator);
  assert.deepEqual((await streamNames()).toSorted(), all.toSorted());
  await as('recorder', (broker) => assertStreams(broker, ['CALLS', 'BYTES', 'LEASES']));
  await as('approval', openAuthorityStore);
});

test('only the operator deletes or purges a stream, or takes a consumer away', async () => {
  const manager = await jetstreamManager(operator.nats);
  for (const role of roles.filter((one) => one !== 'operator')) {
    await as(role, async ({ nats }) => {
      const weak = await jetstreamManager(nats, { checkAPI: false });
      for (const stream of all) {
        await assert.rejects(weak.streams.delete(stream), /permissions violation/i, role);
        await assert.rejects(weak.streams.purge(stream), /permissions violation/i, role);
        await assert.rejects(weak.streams.update(stream, { max_bytes: 1 }), /permissions violation/i, role);
      }
      await assert.rejects(weak.consumers.delete('CALLS', 'recorder-0'), /permissions violation/i, role);
    });
  }
  assert.equal((await manager.consumers.info('CALLS', 'recorder-0')).name, 'recorder-0');
  for (const stream of all) assert.ok(await manager.streams.delete(stream));
});

async function streamNames(): Promise<string[]> {
  const names: string[] = [];
  for await (const name of (await jetstreamManager(operator.nats)).streams.names()) names.push(name);
  return names;
}
