// What one worker was shown another finds, on a real broker.
import assert from 'node:assert/strict';
import { createSecretKey } from 'node:crypto';
import { after, before, test } from 'node:test';
import { shown } from '@sluice/model';
import { type Broker, createLogger, type LastValues, openBroker, openLastValues, provision } from '@sluice/runtime';
import { TestBroker } from '@sluice/testing';
import { ShownValues } from './shown-values.ts';

const log = createLogger('test', '/dev/null');
const masksKey = createSecretKey(Buffer.alloc(32, 1));
const sealKey = createSecretKey(Buffer.alloc(32, 2));
const agent = { issuer: 'https://id.example', name: 'a' };
const brokers: Broker[] = [];
let server: TestBroker;

before(async () => {
  server = await TestBroker.start();
  const operator = await openBroker(server.env, 'operator', log);
  brokers.push(operator);
  await provision(operator);
});

after(async () => {
  for (const broker of brokers) await broker.nats.close();
  await server.close();
});

async function store(): Promise<LastValues> {
  const broker = await openBroker(server.env, 'masking', log);
  brokers.push(broker);
  return openLastValues(broker, shown.stream);
}

async function worker(values?: LastValues): Promise<ShownValues> {
  return new ShownValues(values ?? (await store()), masksKey, sealKey);
}

async function finds(values: ShownValues, text: string, whom = agent): Promise<boolean> {
  const known = await values.of(whom, { isFirst: true });
  return values.prints.find(Buffer.from(text), known, true).findings.length > 0;
}

test('a value that one worker learned is found by another, for that agent alone', async () => {
  const [one, other] = [await worker(), await worker()];
  await one.learn(agent, [Buffer.from('shown-to-the-agent')]);
  assert.ok(await finds(other, 'x shown-to-the-agent y'));
  assert.ok(!(await finds(other, 'x shown-to-the-agent y', { ...agent, name: 'b' })));
});

test('workers that learn at the same time lose nothing', async () => {
  const workers = await Promise.all([worker(), worker(), worker()]);
  await Promise.all(
    workers.flatMap((one, index) =>
      [0, 1, 2].map((turn) => one.learn(agent, [Buffer.from(`value-${index}-${turn}-of-many`)])),
    ),
  );
  const fresh = await worker();
  for (const index of [0, 1, 2])
    for (const turn of [0, 1, 2]) assert.ok(await finds(fresh, `value-${index}-${turn}-of-many`));
});

test('what is known already is not written again', async () => {
  const real = await store();
  let writes = 0;
  const counting: LastValues = {
    get: (subject) => real.get(subject),
    replace(subject, payload, seq) {
      writes++;
      return real.replace(subject, payload, seq);
    },
  };
  const one = await worker(counting);
  for (let times = 0; times < 3; times++)
    await one.learn(agent, [Buffer.from('learned-only-once'), Buffer.from('short')]);
  assert.equal(writes, 1);
});

test('an entry is bounded, and the oldest values go first', async () => {
  const [one, whom] = [await worker(), { ...agent, name: 'reads-much' }];
  await one.learn(whom, [Buffer.from('the-very-first-value')]);
  const many = Array.from({ length: 9_000 }, (_, index) => Buffer.from(`a-value-with-number-${index}`));
  await one.learn(whom, many);
  const fresh = await worker();
  assert.ok(await finds(fresh, 'a-value-with-number-8999', whom));
  assert.ok(!(await finds(fresh, 'the-very-first-value', whom)));
});

test('the broker holds nothing of a value, and nothing that another key reads', async () => {
  const one = await worker();
  await one.learn({ ...agent, name: 'sealed' }, [Buffer.from('nobody-reads-this-value')]);
  const other = new ShownValues(await store(), masksKey, createSecretKey(Buffer.alloc(32, 9)));
  await assert.rejects(other.of({ ...agent, name: 'sealed' }, { isFirst: true }), { code: 'SealBroken' });
});

test('a broker that does not take it is an error: nothing is shown', async () => {
  const refusing: LastValues = {
    get: async () => ({ seq: 0, payload: new Uint8Array(0) }),
    replace: async () => null,
  };
  await assert.rejects((await worker(refusing)).learn(agent, [Buffer.from('never-remembered')]));
});
