// Frames on their way into a store that is full: a real broker, with the smallest streams there are. And a connection
// that breaks, in the hands of the test.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { decodeFrame, partitions, type StreamKey } from '@sluice/model';
import { newSealer, TestBroker, until } from '@sluice/testing';
import { type Broker, openBroker } from './broker.ts';
import { consumeFrames, type FrameIntake } from './frames.ts';
import type { HeldLease } from './held-lease.ts';
import { Lane } from './lane.ts';
import { type Entry, type Ledger, openLedger } from './ledger.ts';
import { createLogger } from './log.ts';
import { provision } from './provision.ts';
import { storeSizes } from './store.ts';

const log = createLogger('test', '/dev/null');
const mebibyte = 1024 * 1024;
let server: TestBroker;
let broker: Broker;
/** Every attempt to publish a frame, as the broker hears it. */
const heard: Uint8Array[] = [];

before(async () => {
  server = await TestBroker.start();
  broker = await openBroker(server.env, 'test', log);
  const sizes = { SLUICE_CALLS_MAX_BYTES: String(16 * mebibyte), SLUICE_BYTES_MAX_BYTES: String(16 * mebibyte) };
  await provision(broker, storeSizes(sizes));
  broker.nats.subscribe('sluice.*.*', { callback: (_, message) => void heard.push(message.data) });
});

after(async () => {
  await broker.drain().catch(() => undefined);
  await server.close();
});

const entry: Entry<'response'> = {
  kind: 'response',
  call: '01a20850-635b-7dcb-abe1-3e7176b59372',
  session: '0'.repeat(32),
  meta: { status: 200, contentType: 't' },
  bytes: Buffer.alloc(mebibyte),
};

/** Appends more than the store of a stream holds. */
async function overfill(ledger: Ledger, stream: StreamKey): Promise<{ readonly acked: Promise<unknown> }> {
  const acked = Promise.all(Array.from({ length: 40 }, () => ledger.append(stream, entry)));
  await until('a refused frame to be offered again', () => {
    const seqs = attempts(ledger);
    return new Set(seqs).size < seqs.length;
  });
  return { acked };
}

const attempts = (ledger: Ledger): number[] =>
  heard.map((message) => decodeFrame(message)).flatMap((frame) => (frame.ledger === ledger.name ? [frame.seq] : []));

async function takeAll(intake: FrameIntake): Promise<void> {
  for (let partition = 0; partition < partitions; partition++) await intake.take(partition);
}

/** Takes everything off the streams until `acked`; returns the positions that came, `frames` at least, in their order. */
async function drainUntil(ledger: Ledger, acked: Promise<unknown>, frames: number): Promise<number[]> {
  const seqs = new Set<number>();
  const consuming = await consumeFrames(broker, log, async (taken) => {
    for (const frame of taken.map(({ message }) => decodeFrame(message)))
      if (frame.ledger === ledger.name) seqs.add(frame.seq);
  });
  await takeAll(consuming);
  await acked;
  assert.equal(await ledger.drain(20_000), 0);
  await until('all frames', () => seqs.size >= frames && seqs.size === Math.max(...seqs));
  await consuming.drain();
  return [...seqs].sort((a, b) => a - b);
}

for (const stream of ['calls', 'bytes'] as const) {
  test(`a full store of ${stream}: frames wait, offered one at a time, and all arrive when there is room`, async () => {
    const ledger = await openLedger({ broker, sealer: newSealer(stream), log, onLost: assert.fail });
    assert.ok(ledger.healthy());
    const { acked } = await overfill(ledger, stream);
    if (stream === 'calls') await until('the ledger to say so', () => !ledger.healthy());
    assert.equal(ledger.healthy(), stream === 'bytes', 'only a call that cannot be recorded is a reason to take none');
    // What was on its way before the first refusal came may be heard late.
    await until('it to be calm', async () => {
      const already = heard.length;
      await sleep(500);
      return heard.length - already <= 2;
    });
    const before = attempts(ledger).length;
    for (let i = 0; i < 1_000; i++)
      void ledger.append(stream, { ...entry, bytes: Buffer.alloc((2 * mebibyte) / 1_000) });
    await sleep(3_000);
    const again = attempts(ledger).slice(before);
    assert.ok(again.length <= 8, `${again.length} attempts`);
    assert.equal(ledger.healthy(), stream === 'bytes', 'however long it waits');

    const seqs = await drainUntil(ledger, acked, 1_040);
    assert.deepEqual(
      seqs,
      Array.from({ length: seqs.length }, (_, i) => i + 1),
    );
  });
}

test('a frame of a call that is refused for want of room makes the ledger unwell, however young it is', async (t) => {
  const ledger = await openLedger({ broker, sealer: newSealer('young'), log, onLost: assert.fail });
  // No frame grows old, or goes without an answer for too long, while the clock stands.
  const now = performance.now();
  const clock = t.mock.method(performance, 'now', () => now);
  const acked = Promise.all(Array.from({ length: 40 }, () => ledger.append('calls', entry)));
  for (let looks = 0; looks < 200 && ledger.healthy(); looks++) await sleep(50);
  const isHealthy = ledger.healthy();
  clock.mock.restore();
  assert.equal(isHealthy, false);
  await drainUntil(ledger, acked, 40);
});

test('a ledger is well again by itself once its frames are taken', async () => {
  const ledger = await openLedger({ broker, sealer: newSealer('healing'), log, onLost: assert.fail });
  const { acked } = await overfill(ledger, 'calls');
  await until('the ledger to say so', () => !ledger.healthy());
  const consuming = await consumeFrames(broker, log, async () => undefined);
  await takeAll(consuming);
  await acked;
  await until('the ledger to be well', () => ledger.healthy());
  await ledger.drain(10_000);
  await consuming.drain();
});

/** A connection in the hands of the test: what is published on it, and how often it broke. */
class Wire {
  readonly published: string[] = [];
  breaks = 0;
  readonly lane: Lane;
  readonly #replies: string[] = [];
  #onAck: (error: null, ack: unknown) => void = () => undefined;

  constructor() {
    const nats = {
      subscribe: (_: string, { callback }: { readonly callback: (error: null, ack: unknown) => void }): void => {
        this.#onAck = callback;
      },
      publish: (_: string, message: Uint8Array, { reply }: { readonly reply: string }): void => {
        this.published.push(String(message));
        this.#replies.push(reply);
      },
    };
    const wire = {
      nats,
      connected: () => true,
      breaks: () => this.breaks,
      inbox: () => '_INBOX.x',
      atEndOfTurn: (publish: () => void) => publish(),
    };
    this.lane = new Lane(wire as unknown as Broker, 'CALLS', log);
  }

  send(text: string): Promise<void> {
    return this.lane.send({ subject: 's', message: Buffer.from(text), lease: { held: () => true } as HeldLease });
  }

  /** Acknowledges what was published last. */
  ack(): void {
    const json = (): unknown => ({ stream: 'CALLS', seq: 1 });
    this.#onAck(null, { subject: this.#replies.at(-1), data: Buffer.from('{}'), json });
  }
}

test('what was on its way when the connection broke goes again before anything newer', async () => {
  const wire = new Wire();
  try {
    const call = wire.send('call');
    wire.breaks++;
    const outcome = wire.send('outcome');
    assert.deepEqual(wire.published, ['call']);
    await until('the call to go again', () => wire.published.length > 1);
    assert.deepEqual(wire.published, ['call', 'call']);
    wire.ack();
    await call;
    await until('the outcome to go', () => wire.published.length > 2);
    assert.deepEqual(wire.published, ['call', 'call', 'outcome']);
    wire.ack();
    await outcome;
  } finally {
    wire.lane.close();
  }
});

test('a frame whose ack is lost goes again on a connection that stands', async () => {
  const wire = new Wire();
  try {
    const acked = wire.send('call');
    // It looks four times in a second; the deadline is generous, and shorter than that of `until`.
    for (let look = 0; look < 200 && wire.published.length < 2; look++) await sleep(100);
    assert.deepEqual(wire.published, ['call', 'call']);
    wire.ack();
    await acked;
  } finally {
    wire.lane.close();
  }
});
