// What each role may do at the broker, as a nats-server with the real configuration judges it. The tables below are
// written by hand: they, not the code, say what is meant.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { errors, type Msg, type NatsConnection, type Subscription } from '@nats-io/transport-node';
import { permissions, type Role, roles, subjects } from '@sluice/model';
import { TestBroker } from '@sluice/testing';
import { type Broker, openBroker } from './broker.ts';
import { createLogger } from './log.ts';

const log = createLogger('test', '/dev/null');
let server: TestBroker;

/** A connection of a role, and what the broker has refused it. */
interface Connected {
  readonly broker: Broker;
  readonly refusals: string[];
}
const connected = new Map<Role, Connected>();

before(async () => {
  // Without streams: nothing that is allowed has an effect.
  server = await TestBroker.start();
  for (const role of roles) {
    const broker = await openBroker(server.env, role, log);
    const refusals: string[] = [];
    connected.set(role, { broker, refusals });
    void keepRefusals(broker, refusals);
  }
});
after(async () => {
  for (const { broker } of connected.values()) await broker.nats.close();
  await server.close();
});

async function keepRefusals(broker: Broker, refusals: string[]): Promise<void> {
  for await (const status of broker.nats.status()) {
    if (status.type !== 'error' || !(status.error instanceof errors.PermissionViolationError)) continue;
    const { subject, queue } = status.error;
    refusals.push(queue ? `${subject} ${queue}` : subject);
  }
}

function as(role: Role): NatsConnection {
  return connected.get(role)?.broker.nats ?? assert.fail(role);
}

/** What the broker refuses of what is done now. Its answer to a ping comes after all it has to say. */
async function refused(role: Role, act: () => void): Promise<string[]> {
  const { broker, refusals } = connected.get(role) ?? assert.fail(role);
  refusals.length = 0;
  act();
  await broker.nats.flush();
  await setImmediate();
  return [...refusals];
}

const nobody: readonly Role[] = [];

/** Who may publish what. */
const publishers: Readonly<Record<string, readonly Role[]>> = {
  'sluice.decide': ['ingress', 'control'],
  'sluice.mask': ['ingress'],
  'sluice.compile': ['approval'],
  'sluice.apply': ['control'],
  'sluice.records': ['control'],
  'sluice.kill': ['control'],
  'sluice.approval.ask': ['ingress'],
  'sluice.approval.review': ['control'],
  'sluice.approval.changed': ['approval'],
  'sluice.approvals.7k2m9xqd4t': ['approval'],
  'sluice.approvals.7k2m9xqd4t.more': nobody,
  'sluice.lease': ['ingress', 'policy'],
  'sluice.lease.renew': ['approval'],
  'sluice.lease.other': nobody,
  'sluice.calls.0': ['ingress', 'approval', 'recorder'],
  'sluice.calls.0.more': nobody,
  'sluice.calls': nobody,
  'sluice.bytes.3': ['ingress'],
  'sluice.leases.ledger.ingress.a': ['ingress', 'recorder'],
  'sluice.leases.ledger.approval.a': ['approval', 'recorder'],
  'sluice.leases.ledger.recorder.a': ['recorder'],
  'sluice.leases.partition.0': ['recorder'],
  'sluice.shown.0123': ['masking'],
  'sluice.shown.0123.more': nobody,
  'sluice.authority.policies': ['approval'],
  'sluice.authority.writer': ['approval'],
  'sluice.authority.other': nobody,
  'sluice.other': nobody,
  '$JS.API.INFO': ['operator'],
  '$JS.API.STREAM.NAMES': ['operator'],
  '$JS.API.STREAM.LIST': ['operator'],
  '$JS.API.STREAM.INFO.CALLS': ['ingress', 'approval', 'recorder', 'operator'],
  '$JS.API.STREAM.INFO.BYTES': ['ingress', 'approval', 'recorder', 'operator'],
  '$JS.API.STREAM.INFO.LEASES': ['ingress', 'approval', 'recorder', 'operator'],
  '$JS.API.STREAM.INFO.AUTHORITY': ['policy', 'approval', 'operator'],
  '$JS.API.STREAM.INFO.APPROVALS': ['approval', 'operator'],
  '$JS.API.STREAM.MSG.GET.APPROVALS': ['approval', 'operator'],
  '$JS.API.DIRECT.GET.APPROVALS': ['operator'],
  '$JS.API.CONSUMER.INFO.APPROVALS.outbox-record': ['approval', 'operator'],
  '$JS.API.CONSUMER.MSG.NEXT.APPROVALS.outbox-record': ['approval', 'operator'],
  '$JS.ACK.APPROVALS.outbox-record.1.1.1.1.0': ['approval'],
  '$JS.API.STREAM.INFO.SHOWN': ['masking', 'operator'],
  '$JS.API.STREAM.MSG.GET.SHOWN': ['masking', 'operator'],
  '$JS.API.STREAM.MSG.GET.CALLS': ['operator'],
  '$JS.API.STREAM.MSG.GET.BYTES': ['operator'],
  '$JS.API.STREAM.MSG.GET.LEASES': ['ingress', 'approval', 'recorder', 'operator'],
  '$JS.API.STREAM.MSG.GET.AUTHORITY': ['policy', 'approval', 'operator'],
  '$JS.API.DIRECT.GET.AUTHORITY': ['operator'],
  '$JS.API.DIRECT.GET.CALLS.sluice.calls.0': ['operator'],
  '$JS.API.CONSUMER.NAMES.CALLS': ['operator'],
  '$JS.API.CONSUMER.INFO.CALLS.other': ['operator'],
  '$JS.API.CONSUMER.MSG.NEXT.CALLS.other': ['operator'],
  '$JS.ACK.CALLS.other.1.1.1.1.0': nobody,
  '$SYS.REQ.SERVER.PING': nobody,
  '$SYS.REQ.USER.INFO': nobody,
  '_INBOX.a.b': nobody,
  ...Object.fromEntries(
    ['CALLS.recorder-0', 'CALLS.recorder-1', 'CALLS.recorder-2', 'CALLS.recorder-3']
      .flatMap((consumer) => [consumer, consumer.replace('CALLS', 'BYTES')])
      .flatMap((consumer) => [
        [`$JS.API.CONSUMER.INFO.${consumer}`, ['recorder', 'operator']],
        [`$JS.API.CONSUMER.MSG.NEXT.${consumer}`, ['recorder', 'operator']],
        [`$JS.ACK.${consumer}.1.1.1.1.0`, ['recorder']],
      ]),
  ),
  ...Object.fromEntries(
    ['CREATE', 'UPDATE', 'DELETE', 'PURGE', 'MSG.DELETE', 'SNAPSHOT', 'RESTORE', 'LEADER.STEPDOWN'].flatMap((verb) =>
      ['CALLS', 'BYTES', 'LEASES', 'AUTHORITY', 'SHOWN', 'APPROVALS'].map((stream) => [
        `$JS.API.STREAM.${verb}.${stream}`,
        ['operator'],
      ]),
    ),
  ),
  ...Object.fromEntries(
    ['CREATE', 'DURABLE.CREATE', 'DELETE', 'PAUSE', 'UNPIN', 'LEADER.STEPDOWN'].flatMap((verb) =>
      ['CALLS', 'BYTES', 'LEASES', 'AUTHORITY', 'SHOWN', 'APPROVALS'].map((stream) => [
        `$JS.API.CONSUMER.${verb}.${stream}.recorder-0`,
        ['operator'],
      ]),
    ),
  ),
  // Nobody puts an answer into an inbox, its own included; who is asked may answer, once.
  ...Object.fromEntries(roles.map((role) => [`_INBOX_${role}.a.b`, nobody])),
};

/** Who may listen to what: `subject`, or `subject group` as a member of a queue group. */
const subscribers: Readonly<Record<string, readonly Role[]>> = {
  'sluice.decide policy': ['policy'],
  'sluice.decide other': nobody,
  'sluice.decide': nobody,
  'sluice.compile policy': ['policy'],
  'sluice.compile': nobody,
  'sluice.mask masking': ['masking'],
  'sluice.mask': nobody,
  'sluice.lease approval': ['approval'],
  'sluice.lease': nobody,
  'sluice.apply approval': ['approval'],
  'sluice.apply': nobody,
  // All of them hear it: no group of which one does.
  'sluice.kill': ['ingress'],
  'sluice.approval.ask approval': ['approval'],
  'sluice.approval.ask': nobody,
  'sluice.approval.review approval': ['approval'],
  'sluice.approval.review': nobody,
  'sluice.approval.changed': ['ingress', 'control'],
  'sluice.approvals.*': nobody,
  'sluice.records recorder': ['recorder'],
  'sluice.records': nobody,
  'sluice.lease.renew': ['ingress', 'policy'],
  'sluice.calls.*': ['control'],
  'sluice.bytes.*': ['control'],
  'sluice.leases.ledger.*.*': ['recorder'],
  'sluice.leases.>': nobody,
  'sluice.shown.*': nobody,
  'sluice.leases.partition.*': nobody,
  'sluice.authority.>': nobody,
  'sluice.>': nobody,
  '>': nobody,
  '*.*': nobody,
  '$JS.API.>': nobody,
  '$JS.EVENT.>': nobody,
  '$JS.ACK.>': nobody,
  '$SYS.>': nobody,
  '_INBOX.>': nobody,
  _INBOX_ingress: nobody,
  ...Object.fromEntries(roles.map((role) => [`_INBOX_${role}.>`, [role]])),
};

for (const role of roles) {
  test(`${role} may publish what it has to, and nothing else`, async () => {
    const all = Object.keys(publishers);
    const refusals = await refused(role, () => {
      for (const subject of all) as(role).publish(subject);
    });
    assert.deepEqual(
      all.filter((subject) => !refusals.includes(subject)),
      all.filter((subject) => publishers[subject]?.includes(role)),
    );
  });

  test(`${role} may listen to what it has to, and nothing else`, async () => {
    const all = Object.keys(subscribers);
    const subscriptions: Subscription[] = [];
    const refusals = await refused(role, () => {
      for (const what of all) {
        const [subject = '', queue] = what.split(' ');
        const options = { callback: () => undefined, ...(queue === undefined ? {} : { queue }) };
        subscriptions.push(as(role).subscribe(subject, options));
      }
    });
    for (const subscription of subscriptions) subscription.unsubscribe();
    assert.deepEqual(
      all.filter((what) => !refusals.includes(what)),
      all.filter((what) => subscribers[what]?.includes(role)),
    );
  });
}

test('the tables know every subject and every permission, and of each a role that is refused', () => {
  for (const subject of Object.values(subjects)) {
    assert.ok(publishers[subject] !== undefined, `${subject} is not among what is published`);
    assert.ok(
      Object.keys(subscribers).some((what) => what.split(' ')[0] === subject),
      `${subject}: nobody listens`,
    );
  }
  const covers = (pattern: string, subject: string): boolean => {
    const source = pattern.replaceAll(/[.$]/g, '\\$&').replaceAll('*', '[^.]+').replace(/>$/, '.+');
    return new RegExp(`^${source}$`).test(subject);
  };
  for (const role of roles) {
    for (const pattern of permissions[role].publish) {
      const tried = Object.keys(publishers).filter((subject) => publishers[subject]?.includes(role));
      assert.ok(
        tried.some((subject) => covers(pattern, subject)),
        `${role} may publish ${pattern}: why?`,
      );
    }
    for (const what of permissions[role].subscribe)
      assert.ok(subscribers[what]?.includes(role), `${role} may listen to ${what}: why?`);
  }
  for (const allowed of [...Object.values(publishers), ...Object.values(subscribers)])
    assert.ok(allowed.length < roles.length);
});

test('who is asked may answer, once; nobody else can', async () => {
  const [ingress, policy, masking] = [as('ingress'), as('policy'), as('masking')];
  const inbox = '_INBOX_ingress.asked';
  const answers: string[] = [];
  ingress.subscribe(inbox, {
    callback: (_error, { data }) => {
      answers.push(Buffer.from(data).toString());
    },
  });
  const asked = Promise.withResolvers<string | undefined>();
  policy.subscribe('sluice.decide', { queue: 'policy', callback: (_error, { reply }) => asked.resolve(reply) });
  await Promise.all([ingress.flush(), policy.flush()]);
  ingress.publish('sluice.decide', '', { reply: inbox });
  assert.equal(await asked.promise, inbox);
  assert.deepEqual(await refused('masking', () => masking.publish(inbox, 'forged')), [inbox]);
  assert.deepEqual(await refused('policy', () => policy.publish(inbox, 'answer')), []);
  assert.deepEqual(await refused('policy', () => policy.publish(inbox, 'again')), [inbox]);
  await ingress.flush();
  assert.deepEqual(answers, ['answer']);
});

test('nobody reads what another is answered', async () => {
  const [ingress, policy] = [as('ingress'), as('policy')];
  const heard: string[] = [];
  const listen = (subject: string): (() => void) => {
    const callback = (error: Error | null, message: Msg): void => {
      if (error === null) heard.push(message.subject);
    };
    return () => void policy.subscribe(subject, { callback });
  };
  for (const subject of ['_INBOX_ingress.>', '_INBOX_ingress.*', '_INBOX_ingress.private', '*.private', '>'])
    assert.deepEqual(await refused('policy', listen(subject)), [subject]);
  assert.deepEqual(await refused('policy', listen('_INBOX_policy.>')), []);
  const test = await openBroker(server.env, 'test', log);
  for (const inbox of ['_INBOX_ingress.private', '_INBOX_policy.private']) test.nats.publish(inbox, 'answer');
  await test.drain();
  await Promise.all([ingress.flush(), policy.flush()]);
  assert.deepEqual(heard, ['_INBOX_policy.private']);
});
