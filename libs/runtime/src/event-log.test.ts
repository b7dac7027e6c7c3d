import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { approvals } from '@sluice/model';
import { TestBroker, until } from '@sluice/testing';
import { type Broker, openBroker } from './broker.ts';
import { type EventLog, openEventLog, type StoredMessage } from './event-log.ts';
import { createLogger } from './log.ts';
import { openOutbox } from './outbox.ts';
import { provision } from './provision.ts';

const log = createLogger('test', '/dev/null');
let server: TestBroker;
let broker: Broker;
let events: EventLog;

before(async () => {
  server = await TestBroker.start();
  broker = await openBroker(server.env, 'test', log);
  await provision(broker);
  events = await openEventLog(broker, approvals.stream);
});
after(async () => {
  events.close();
  await broker.drain();
  await server.close();
});

const bytes = (text: string): Buffer => Buffer.from(text);

async function texts(subject: string, afterSeq = 0): Promise<string[]> {
  const found: string[] = [];
  for await (const { payload } of events.read(subject, afterSeq)) found.push(Buffer.from(payload).toString());
  return found;
}

test('of two who write behind the same event one is told that it was too late', async () => {
  const subject = approvals.of('race');
  const first = await events.append(subject, bytes('first'), 0);
  assert.ok(first !== null);
  const both = await Promise.all(['a', 'b'].map((text) => events.append(subject, bytes(text), first.seq)));
  assert.equal(both.filter((stored) => stored !== null).length, 1);
  assert.equal((await texts(subject)).length, 2);
});

test('a subject is read alone, behind a place, in its order', async () => {
  const [one, other] = [approvals.of('one'), approvals.of('other')];
  const first = (await events.append(one, bytes('1'), 0)) as StoredMessage;
  await events.append(other, bytes('x'), 0);
  await events.append(one, bytes('2'), first.seq);
  assert.deepEqual(await texts(one), ['1', '2']);
  assert.deepEqual(await texts(one, first.seq), ['2']);
  assert.deepEqual(await texts(approvals.of('nobody')), []);
});

test('a message that was stored although nobody said so is known again', async () => {
  const subject = approvals.of('lost');
  const stored = await events.append(subject, bytes('said once'), 0);
  // The same words again, as after an answer that did not come.
  assert.deepEqual(await events.append(subject, bytes('said once'), 0), stored);
  assert.deepEqual(await texts(subject), ['said once']);
  assert.equal(await events.append(subject, bytes('other words'), 0), null);
});

test('the time of an event is the broker\u2019s, and so is now', async () => {
  const before = events.now();
  const stored = (await events.append(approvals.of('clock'), bytes('x'), 0)) as StoredMessage;
  // Both clocks are this machine's; a second is no time between them.
  assert.ok(Math.abs(stored.atMs - before) < 5_000);
  assert.ok(Math.abs(events.now() - Date.now()) < 5_000);
});

test('an outbox hands out every event in order, again while it is not taken, and goes on where it was', async () => {
  const subject = approvals.of('outbox');
  const [name] = approvals.outboxes;
  const taken: string[] = [];
  let failures = 2;
  const open = (): ReturnType<typeof openOutbox> =>
    openOutbox(broker, approvals.stream, approvals.outbox(name), log, async ({ payload, subject: of }) => {
      if (of !== subject) return;
      if (failures-- > 0) throw new Error('not now');
      taken.push(Buffer.from(payload).toString());
    });
  const first = (await events.append(subject, bytes('1'), 0)) as StoredMessage;
  const outbox = await open();
  await until('the event to be taken', () => taken.length === 1);
  await outbox.drain();
  await events.append(subject, bytes('2'), first.seq);
  const again = await open();
  await until('the next event to be taken', () => taken.length === 2);
  await again.drain();
  assert.deepEqual(taken, ['1', '2']);
});
