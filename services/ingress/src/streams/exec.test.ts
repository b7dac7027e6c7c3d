import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Channel, FrameMeta } from '@sluice/model';
import type { Ledger } from '@sluice/runtime';
import { raw } from '@sluice/runtime/raw';
import { Budget } from '../budget.ts';
import { type MaskClient, MaskError } from '../mask-client.ts';
import { AheadFrames, CallRecord } from '../record.ts';
import { Refusal } from '../refusal.ts';
import { AgentGone } from '../request.ts';
import { ChannelsRecord } from './channels-record.ts';
import { type Running, run } from './exec.ts';
import { type Leg, type LegEvent, LegQueue } from './leg.ts';

const agent = { name: 'demo', issuer: 'sluice', groups: [] };
const attributes = { kind: 'nonResource', verb: 'get', path: '/' } as const;
const subject = { agent, attributes, rules: [] };
const log = { info() {}, warn() {}, error() {} } as never;

/** What happened, in its order. */
type Event = `${'recorded' | 'acked' | 'agent' | 'pod'} ${string}`;

/** One end of a stream in the test's hand. */
class HandLeg implements Leg {
  readonly protocol = 'v5.channel.k8s.io';
  readonly hasStatus = true;
  readonly #queue = new LegQueue({ pause() {}, resume() {} }, { aheadBytes: 1 << 20 });
  readonly #gone = new AbortController();
  readonly #name: 'agent' | 'pod';
  readonly #events: Event[];

  constructor(name: 'agent' | 'pod', events: Event[]) {
    this.#name = name;
    this.#events = events;
  }

  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  say(channel: Channel, text: string): void {
    this.#queue.push({ kind: 'data', channel, bytes: raw(Buffer.from(text)) });
  }

  finish(channel: Channel): void {
    this.#queue.push({ kind: 'end', channel });
  }

  leave(): void {
    this.#queue.end();
    this.#gone.abort();
  }

  read(): Promise<LegEvent | null> {
    return this.#queue.read();
  }

  send(channel: Channel, bytes: Buffer): void {
    this.#events.push(`${this.#name} ${channel} ${bytes.toString()}`);
  }

  /** Whether it takes what it is sent. */
  takes = true;

  async drained(): Promise<void> {
    if (!this.takes) await new Promise(() => undefined);
  }

  end(channel: Channel): void {
    this.#events.push(`${this.#name} ${channel} ended`);
  }

  async close(): Promise<void> {}

  destroy(): void {}
}

/** Masks the word `hunter2`, and takes a turn for it. */
const maskClient: MaskClient = {
  values: async () => [],
  async text(_subject, _as, piece) {
    await sleep(1);
    return { bytes: Buffer.from(piece.toString().replaceAll('hunter2', 'MASK')), carry: '', held: 0 };
  },
};

function stream(more: Partial<Running> = {}) {
  const events: Event[] = [];
  const ledger = {
    append: async (_stream: string, { meta, bytes }: { meta: FrameMeta['channel']; bytes: Uint8Array }) => {
      const what = `${meta.channel} ${Buffer.from(bytes).toString()}`;
      events.push(`recorded ${what}`);
      await sleep(5);
      events.push(`acked ${what}`);
    },
  } as unknown as Ledger;
  const share = new Budget(log).share(agent);
  const call = new CallRecord(ledger, share, '00000000-0000-7000-8000-000000000000', '0'.repeat(32));
  const frames = (): AheadFrames => new AheadFrames(ledger, share, call);
  const record = new ChannelsRecord(frames(), frames());
  const [agentLeg, pod] = [new HandLeg('agent', events), new HandLeg('pod', events)];
  const cutter = new AbortController();
  const running = run({
    agent: agentLeg,
    cluster: pod,
    record,
    maskClient,
    subject,
    hasStdin: true,
    isTyped: true,
    archive: null,
    showsRaw: false,
    inputAllowed: Promise.resolve(),
    cut: cutter.signal,
    ...more,
  });
  running.catch(() => undefined);
  return { agent: agentLeg, pod, events, record, running, cut: (why: Refusal) => cutter.abort(why) };
}

const success = '{"metadata":{},"status":"Success"}';

/** Where an event stands; fails where it is not. */
function at(events: readonly Event[], event: Event): number {
  const index = events.indexOf(event);
  assert.notEqual(index, -1, `${event} in ${events.join(' | ')}`);
  return index;
}

test('output is recorded masked before it is delivered, and the last word waits for the acks', async () => {
  const { pod, events, record, running } = stream();
  pod.say('stdout', 'password hunter2');
  pod.say('error', success);
  pod.finish('error');
  await running;
  assert.ok(at(events, 'recorded stdout password MASK') < at(events, 'agent stdout password MASK'));
  assert.ok(at(events, 'acked stdout password MASK') < at(events, `agent error ${success}`));
  assert.ok(!events.join().includes('hunter2'));
  assert.equal(record.facts.exitCode, 0);
  assert.deepEqual(
    record.summary().channels.map(({ channel, bytes }) => [channel, bytes]),
    [
      ['stdout', 13],
      ['error', success.length],
    ],
  );
});

test('input is recorded masked and acknowledged before the pod gets it as it is', async () => {
  const { agent, events, running } = stream();
  agent.say('stdin', 'login hunter2');
  agent.finish('stdin');
  agent.leave();
  await assert.rejects(running, AgentGone);
  assert.equal(events.includes('pod stdin login hunter2'), false, 'an agent that left is not carried on for');
  const other = stream();
  other.agent.say('stdin', 'login hunter2');
  other.agent.finish('stdin');
  while (!other.events.includes('pod stdin ended')) await sleep(1);
  assert.ok(at(other.events, 'acked stdin login MASK') < at(other.events, 'pod stdin login hunter2'));
  assert.ok(at(other.events, 'pod stdin login hunter2') < at(other.events, 'pod stdin ended'));
  other.agent.leave();
  await assert.rejects(other.running, AgentGone);
});

test('input waits until the pod is known to be the same', async () => {
  const { promise, reject } = Promise.withResolvers<void>();
  const changed = new Refusal('ObjectChanged', 'another pod');
  const { agent, events, running } = stream({ inputAllowed: promise });
  agent.say('stdin', 'rm');
  await sleep(20);
  assert.deepEqual(events, []);
  reject(changed);
  await assert.rejects(running, changed);
  assert.deepEqual(events, []);
});

test('an agent that asked for no stdin has none', async () => {
  const { agent, pod, events, running } = stream({ hasStdin: false });
  agent.say('stdin', 'rm -rf /');
  agent.finish('stdin');
  agent.say('resize', '{"Width":1,"Height":2}');
  while (!events.some((event) => event.startsWith('pod resize'))) await sleep(1);
  assert.ok(!events.join().includes('stdin'), events.join(' | '));
  pod.say('error', success);
  pod.finish('error');
  await running;
});

test('nothing passes after the cut', async () => {
  const { agent, pod, events, running, cut } = stream();
  pod.say('stdout', 'before');
  while (!events.includes('agent stdout before')) await sleep(1);
  const why = new Refusal('Killed', 'killed by local:alice: enough');
  cut(why);
  pod.say('stdout', 'after');
  agent.say('stdin', 'after');
  await assert.rejects(running, why);
  await sleep(30);
  assert.ok(!events.join().includes('after'), events.join(' | '));
});

test('an agent that leaves is heard while its pod takes nothing more', async () => {
  const { agent, pod, events, running } = stream();
  pod.takes = false;
  agent.say('stdin', 'much');
  while (!events.includes('pod stdin much')) await sleep(1);
  agent.leave();
  await assert.rejects(running, AgentGone);
});

test('an agent that leaves with a whole archive had what it came for, and with half of one had not', async () => {
  const end = '\0'.repeat(1024);
  for (const said of [end, end.slice(0, 511)]) {
    const { agent, pod, events, running } = stream({ archive: 'stdout' });
    pod.say('stdout', said);
    while (!events.includes(`agent stdout ${said}`)) await sleep(1);
    agent.leave();
    await running.then(
      () => assert.equal(said, end),
      (error) => assert.ok(error instanceof AgentGone && said !== end),
    );
    if (said === end) at(events, `acked stdout ${said}`);
  }
});

test('what cannot be masked does not pass, in neither direction, and ends the stream', async () => {
  const broken: MaskClient = {
    values: async () => [],
    text: () => Promise.reject(new MaskError('unavailable')),
  };
  for (const side of ['agent', 'pod'] as const) {
    const { [side]: leg, events, running } = stream({ maskClient: broken });
    leg.say(side === 'agent' ? 'stdin' : 'stdout', 'hunter2');
    await assert.rejects(running, { reasonCode: 'ResponseWithheld' });
    assert.deepEqual(events, []);
  }
});

test('what cannot be recorded does not reach the pod, and ends the stream', async () => {
  const never = { append: () => new Promise(() => undefined) } as unknown as Ledger;
  const share = new Budget(log).share(agent);
  const call = new CallRecord(never, share, '00000000-0000-7000-8000-000000000000', '0'.repeat(32));
  const frames = (): AheadFrames => new AheadFrames(never, share, call);
  const { agent: leg, events, running } = stream({ record: new ChannelsRecord(frames(), frames()) });
  leg.say('stdin', 'ls');
  await assert.rejects(running, { reasonCode: 'ResponseWithheld' });
  assert.deepEqual(events, []);
});

test('a cluster that breaks off has not ended the command', async () => {
  const { pod, running } = stream();
  pod.say('stdout', 'half');
  pod.leave();
  await assert.rejects(running, { reasonCode: 'EffectUnknown' });
});

test('a size goes to the pod as numbers, and anything else ends the stream', async () => {
  const { agent, events, running } = stream();
  agent.say('resize', '{"height":33,"width":111}');
  while (!events.some((event) => event.startsWith('pod resize'))) await sleep(1);
  assert.ok(events.includes('pod resize {"Width":111,"Height":33}\n'));
  agent.say('resize', '{"Width":"hunter2"}');
  await assert.rejects(running, { reasonCode: 'StreamNotReadable' });
  assert.ok(!events.join().includes('hunter2'));
});

test('an exit code is known from the status', async () => {
  const { pod, record, running } = stream();
  const causes = [{ reason: 'ExitCode', message: '7' }];
  pod.say('error', JSON.stringify({ status: 'Failure', reason: 'NonZeroExitCode', details: { causes } }));
  pod.finish('error');
  await running;
  assert.equal(record.facts.exitCode, 7);
});
