// The tail from end to end: frames on a real broker, the control socket, the command.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { type TestContext, test } from 'node:test';
import {
  type ApprovalEvent,
  type ApprovalState,
  encodeFrame,
  type FrameMeta,
  noHash,
  type Outcome,
  streams,
} from '@sluice/model';
import { type Broker, createLogger, openBroker } from '@sluice/runtime';
import { removeScratch, scratch, TestBroker, until, within } from '@sluice/testing';
import { type HomePaths, homePaths } from '../home.ts';
import { listenRunning, tailPath } from '../running.ts';
import { type TailEvent, tail, tailLine } from '../tail.ts';
import { listenControl } from './control.ts';
import { Tail } from './tail.ts';

const log = createLogger('test', '/dev/null');
const call = (n: number): string => `01a20850-635b-7dcb-abe1-${String(n).padStart(12, '0')}`;

interface Bench {
  readonly home: HomePaths;
  readonly broker: Broker;
  /** The connections that the tail has opened. */
  readonly opened: readonly Broker[];
  readonly control: { close(): Promise<void> };
}

async function bench(t: TestContext): Promise<Bench> {
  const dir = scratch();
  const server = await TestBroker.start();
  const broker = await openBroker(server.env, 'test', log);
  const opened: Broker[] = [];
  const home = homePaths(dir);
  const follow = new Tail(async () => {
    const connection = await openBroker(server.env, 'control tail', log);
    opened.push(connection);
    return connection;
  });
  const control = await listenControl(join(dir, 'control.sock'), broker, follow, { name: 'local:test', groups: [] });
  t.after(async () => {
    await control.close();
    await broker.drain();
    await server.close();
    removeScratch(dir);
  });
  return { home, broker, opened, control };
}

let seq = 0;
function publish<K extends 'call' | 'decision' | 'approval' | 'outcome'>(
  broker: Broker,
  n: number,
  kind: K,
  meta: FrameMeta[K],
  bytes = 0,
  ledger = 'l',
): Buffer {
  const { message } = encodeFrame({
    ledger,
    seq: ++seq,
    call: call(n),
    session: '0'.repeat(32),
    atMicros: 1_795_435_787_932_000,
    kind,
    offset: 0,
    meta: JSON.stringify(meta),
    prev: noHash,
    bytes: Buffer.alloc(bytes),
  });
  broker.nats.publish(`${streams.calls.prefix}.0`, message);
  return message;
}

const asked = (agent: string, name = 'p'): FrameMeta['call'] => ({
  agent: { name: agent, issuer: 'i', groups: [] },
  connection: 'c',
  attributes: {
    kind: 'resource',
    verb: 'get',
    apiGroup: 'apps',
    version: 'v1',
    resource: 'deployments',
    subresource: '',
    namespace: 'n',
    name,
  },
  method: 'GET',
  target: '/x',
  userAgent: '',
  digest: '',
  body: null,
  decision: {
    effect: 'allow',
    policy: 'p',
    rule: 'r',
    reasonCode: 'AllowedByRule',
    reason: '',
    authority: 1,
    policyVersion: '',
    impersonate: null,
  },
});
const ended = (outcome: Outcome): FrameMeta['outcome'] => ({
  outcome,
  status: 200,
  reasonCode: '',
  body: null,
  sha256: '',
  durationMicros: 12_345,
});

/** What the command prints, as it comes. */
function running(home: HomePaths, options: { readonly agent?: string; readonly json?: true }) {
  const out = new PassThrough();
  const stop = new AbortController();
  let text = '';
  out.on('data', (data: Buffer) => {
    text += data.toString();
  });
  const ending = tail(home, null, options, out, stop.signal);
  return { ending, stop, text: () => text };
}

/** Publishes until the tail has one: it listens. */
async function untilHeard({ broker }: Bench, text: () => string): Promise<void> {
  await until('the tail to listen', () => {
    publish(broker, 0, 'call', asked('demo', 'first'));
    return text().includes('first');
  });
}

test('each call is told at its decision and at its outcome, each frame once, while somebody listens', async (t) => {
  const around = await bench(t);
  const { home, broker, opened, control } = around;
  const { ending, text } = running(home, {});
  await untilHeard(around, text);
  const message = publish(broker, 1, 'call', asked('demo'));
  broker.nats.publish(`${streams.calls.prefix}.0`, message);
  broker.nats.publish(`${streams.calls.prefix}.1`, Buffer.from('no frame'));
  publish(broker, 1, 'outcome', ended('completed'));
  publish(broker, 2, 'outcome', ended('aborted'));
  await until('the last line', () => text().includes('aborted'));
  assert.deepEqual(
    text()
      .trimEnd()
      .split('\n')
      .filter((line) => !line.includes('first')),
    [
      `12:09:47.932  demo: get deployments.apps n/p  allow AllowedByRule  ${call(1)}`,
      `12:09:47.932  demo: get deployments.apps n/p  completed 200 after 12.3 ms  ${call(1)}`,
      `12:09:47.932  a call from before  aborted 200 after 12.3 ms  ${call(2)}`,
    ],
  );
  await control.close();
  await within('the end of the tail', ending);
  await until('the end of its connection', () => opened.every(({ nats }) => nats.isClosed()));
  assert.equal(opened.length, 1);
});

test('a call that needs an approval is told at its ask, at each vote and state, and at its second decision', async (t) => {
  const around = await bench(t);
  const { home, broker } = around;
  const [mine, others] = [running(home, { json: true, agent: 'asker' }), running(home, {})];
  await untilHeard(around, others.text);
  // The other listens when it is answered one that is its own.
  await until('the one of the agent to listen', () => {
    publish(broker, 7, 'call', asked('asker'));
    return mine.text() !== '';
  });
  const usual = asked('asker');
  const held: FrameMeta['call'] = {
    ...usual,
    decision: { ...usual.decision, effect: 'ask', reasonCode: 'ApprovalRequired' },
    held: { shape: 's', look: null },
  };
  const told = (at: number, event: ApprovalEvent, state: ApprovalState, ledger: string): void => {
    const meta = { approval: 'a1', seq: at, atMs: 1_795_435_787_932 + at * 1_000, event, state };
    publish(broker, 1, 'approval', meta, 0, ledger);
  };
  const requested: ApprovalEvent = {
    id: 'r',
    kind: 'requested',
    request: {
      ...usual,
      call: call(1),
      session: '0'.repeat(32),
      bodyBytes: 0,
      exact: 'e',
      shape: 's',
      mayDiffer: [],
      object: { kind: 'none' },
      policy: 'p',
      rule: 'r',
      reason: '',
      policyVersion: '',
      authority: 1,
      terms: { reviewers: [], quorum: 2, holdMs: 0, expiresMs: 0 },
    },
  };
  const approve = (name: string): ApprovalEvent => {
    return { id: name, kind: 'voted', vote: 'approve', reviewer: { name, groups: [] }, reason: '', more: 0 };
  };
  publish(broker, 1, 'call', held);
  told(1, requested, 'pending', 'approval-1');
  told(2, approve('local:alice'), 'pending', 'approval-1');
  told(2, approve('local:alice'), 'pending', 'approval-2');
  told(3, approve('oidc:bob'), 'approved', 'approval-2');
  told(4, { id: 't', kind: 'taken', call: call(1), exact: 'e', shape: 's', instance: 'i' }, 'used', 'approval-2');
  publish(broker, 1, 'decision', {
    decision: { ...usual.decision, reasonCode: 'AllowedByApproval' },
    approval: 'a1',
    reviewers: ['local:alice', 'oidc:bob'],
    precondition: { kind: 'none' },
  });
  told(5, { id: 'c', kind: 'concluded', call: call(1), end: 'known' }, 'used', 'approval-2');
  publish(broker, 1, 'outcome', ended('completed'));
  await until('the last line', () => [mine, others].every(({ text }) => text().includes('completed')));
  const about = 'asker: get deployments.apps n/p';
  assert.deepEqual(
    others
      .text()
      .trimEnd()
      .split('\n')
      .filter((line) => line.endsWith(call(1))),
    [
      `12:09:47.932  ${about}  ask ApprovalRequired  ${call(1)}`,
      `12:09:48.932  ${about}  approval a1 pending  ${call(1)}`,
      `12:09:49.932  ${about}  approval a1 pending, local:alice voted  ${call(1)}`,
      `12:09:50.932  ${about}  approval a1 approved, oidc:bob voted  ${call(1)}`,
      `12:09:51.932  ${about}  approval a1 used  ${call(1)}`,
      `12:09:47.932  ${about}  allow AllowedByApproval  ${call(1)}`,
      `12:09:47.932  ${about}  completed 200 after 12.3 ms  ${call(1)}`,
    ],
  );
  const events = mine
    .text()
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as TailEvent)
    .filter((event) => event.kind !== 'skipped' && event.call === call(1));
  assert.deepEqual(
    events.map(({ kind }) => kind),
    ['decision', 'approval', 'approval', 'approval', 'approval', 'decision', 'outcome'],
  );
  assert.deepEqual(events[3], {
    kind: 'approval',
    call: call(1),
    at: '2026-11-23T12:09:50.932Z',
    agent: 'asker',
    verb: 'get',
    resource: 'deployments.apps',
    namespace: 'n',
    name: 'p',
    command: null,
    approval: 'a1',
    state: 'approved',
    by: 'oidc:bob',
  });
  for (const { stop, ending } of [mine, others]) {
    stop.abort();
    await within('its end', ending);
  }
});

test('two listeners share one connection, each hears what it asked for, and the last to go closes it', async (t) => {
  const around = await bench(t);
  const { home, broker, opened } = around;
  const everybody = running(home, { json: true });
  await until('the tail to listen', () => {
    publish(broker, 0, 'call', asked('demo', 'first'));
    return everybody.text() !== '';
  });
  const other = running(home, { agent: 'other', json: true });
  await until('the other to listen', () => {
    publish(broker, 3, 'call', asked('other'));
    return other.text() !== '';
  });
  publish(broker, 4, 'call', asked('demo'));
  publish(broker, 3, 'outcome', ended('completed'));
  await until('the outcome', () => other.text().includes('outcome'));
  const events = other
    .text()
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as TailEvent);
  assert.ok(events.every((event) => event.kind !== 'skipped' && event.call === call(3)));
  assert.match(everybody.text(), new RegExp(call(4)));
  everybody.stop.abort();
  await within('the end of the first', everybody.ending);
  publish(broker, 5, 'call', asked('other', 'later'));
  await until('what comes later', () => other.text().includes('"later"'));
  other.stop.abort();
  await within('the end of the second', other.ending);
  await until('the end of the connection', () => opened.every(({ nats }) => nats.isClosed()));
  assert.equal(opened.length, 1);
  const again = running(home, {});
  await untilHeard(around, again.text);
  assert.equal(opened.length, 2);
  again.stop.abort();
  await again.ending;
});

test('a listener that is too slow is told how much it missed, and nothing waits for it', async (t) => {
  const around = await bench(t);
  const { home, broker } = around;
  const quick = running(home, { json: true });
  await untilHeard(around, quick.text);
  const events = (await listenRunning(home, `${tailPath}?agent=slow`)) ?? assert.fail();
  events.pause();
  const total = 6_000;
  for (let n = 1; n <= total; n++) {
    // Long names fill what lies between the two.
    publish(broker, n, 'call', asked('slow', `${n}-${'x'.repeat(500)}`));
    if (n % 200 === 0) await until('the quick one to hear it', () => quick.text().includes(`"${n}-`));
  }
  let [told, skipped] = [0, 0];
  const counted = Promise.withResolvers<void>();
  let rest = '';
  events.on('data', (data: Buffer) => {
    const lines = (rest + data.toString()).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const event = JSON.parse(line) as TailEvent;
      if (event.kind === 'skipped') skipped += event.count;
      else told++;
    }
    if (told + skipped === total) counted.resolve();
  });
  events.resume();
  await within('all to be told or counted', counted.promise);
  assert.ok(skipped > 0, 'something was skipped');
  events.destroy();
  quick.stop.abort();
  await quick.ending;
});

test('where no Sluice runs, and where it dies, one sentence says so', async (t) => {
  const dir = scratch();
  t.after(() => removeScratch(dir));
  const { signal } = new AbortController();
  await assert.rejects(tail(homePaths(dir), null, {}, new PassThrough(), signal), {
    message: 'Sluice does not run here, and `tail` shows what happens while it does',
  });
  const server = createServer((_, response) => {
    response.write('{"kind":"skipped","count":1}\n', () => response.destroy());
  });
  server.listen(homePaths(dir).controlSocket);
  t.after(() => server.close());
  await assert.rejects(tail(homePaths(dir), null, {}, new PassThrough(), signal), {
    message: 'the running Sluice has died',
  });
});

test('what an agent named cannot command the terminal or make lines of its own', () => {
  const line = tailLine({
    kind: 'decision',
    call: 'c',
    at: '2026-11-23T12:10:16.123Z',
    agent: 'a\u001b[2J\nb',
    verb: 'get',
    resource: '/version',
    namespace: '',
    name: '',
    command: null,
    effect: 'allow',
    reasonCode: 'AllowedByRule',
  });
  assert.equal(line, '12:10:16.123  a\\u001b[2J\\nb: get /version  allow AllowedByRule  c\n');
  const about = { agent: 'a', verb: 'get', resource: 'pods', namespace: '', name: '', command: null };
  const event = { kind: 'approval', call: 'c', at: '2026-11-23T12:10:16.123Z', state: 'denied' } as const;
  const voted = tailLine({ ...event, ...about, approval: 'i', by: 'local:\u009bx\ny' });
  assert.equal(voted, '12:10:16.123  a: get pods  approval i denied, local:\\u009bx\\ny voted  c\n');
  assert.equal(tailLine({ kind: 'skipped', count: 3 }), '… 3 skipped …\n');
});
