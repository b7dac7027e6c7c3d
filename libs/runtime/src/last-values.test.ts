import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { shown } from '@sluice/model';
import { TestBroker } from '@sluice/testing';
import { type Broker, openBroker } from './broker.ts';
import { type LastValues, openLastValues } from './last-values.ts';
import { createLogger } from './log.ts';
import { provision } from './provision.ts';

const log = createLogger('test', '/dev/null');
const subject = shown.of('0123456789abcdef0123456789abcdef');
let server: TestBroker;
let operator: Broker;
let one: LastValues;
let other: LastValues;
const opened: Broker[] = [];

async function values(): Promise<LastValues> {
  const broker = await openBroker(server.env, 'masking', log);
  opened.push(broker);
  return openLastValues(broker, shown.stream);
}

before(async () => {
  server = await TestBroker.start();
  operator = await openBroker(server.env, 'operator', log);
  await provision(operator);
  one = await values();
  other = await values();
});

after(async () => {
  for (const broker of [...opened, operator]) await broker.nats.close();
  await server.close();
});

test('what was never written is empty, at sequence 0', async () => {
  assert.deepEqual(await one.get(subject), { seq: 0, payload: new Uint8Array(0) });
});

test('what one writer writes, another reads; who writes on an old value is told, and changes nothing', async () => {
  const seq = await one.replace(subject, Buffer.from('first'), 0);
  assert.ok(seq !== null);
  const read = await other.get(subject);
  assert.deepEqual([read.seq, Buffer.from(read.payload).toString()], [seq, 'first']);
  assert.equal(await other.replace(subject, Buffer.from('lost'), 0), null);
  assert.ok((await other.replace(subject, Buffer.from('second'), seq)) !== null);
  assert.equal(await one.replace(subject, Buffer.from('late'), seq), null);
  assert.equal(Buffer.from((await one.get(subject)).payload).toString(), 'second');
});
