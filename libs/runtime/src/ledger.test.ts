import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { jetstreamManager } from '@nats-io/jetstream';
import { consumerOf, decodeFrame, FrameError, frameHashHolds, noHash } from '@sluice/model';
import { TestBroker, until } from '@sluice/testing';
import { type Broker, ensureStreams, openBroker } from './broker.ts';
import { consumeFrames, type StoredFrame } from './frames.ts';
import { type Entry, openLedger } from './ledger.ts';
import { createLogger } from './log.ts';

const log = createLogger('test', '/dev/null');
let server: TestBroker;
let broker: Broker;

before(async () => {
  server = await TestBroker.start();
  broker = await openBroker(server.env, 'test', log);
  await ensureStreams(broker);
});

after(async () => {
  await broker.drain().catch(() => undefined);
  await server.close();
});

function entry(index: number, bytes = Buffer.from(`body ${index}`)): Entry<'response'> {
  const call = `01a20850-635b-7dcb-abe1-${String(index).padStart(12, '0')}`;
  return { kind: 'response', call, session: '0'.repeat(32), meta: { status: 200, contentType: 't' }, bytes };
}

/** Takes everything off the streams until `enough`. */
async function collect(enough: (frames: readonly StoredFrame[]) => boolean): Promise<StoredFrame[]> {
  const taken: StoredFrame[] = [];
  const consuming = await consumeFrames(broker, log, async (frames) => {
    taken.push(...frames);
  });
  await until('the frames', () => enough(taken));
  await consuming.drain();
  return taken;
}

const bySeq = (frames: readonly StoredFrame[]) =>
  new Map(
    frames.map(({ message }) => [decodeFrame(message).seq, message]).sort((a, b) => Number(a[0]) - Number(b[0])) as [
      number,
      Uint8Array,
    ][],
  );

test('streams and consumers of an older Sluice are taken as they are, with the settings of this one', async () => {
  const older = { ack_wait: 30_000_000_000 };
  await (await jetstreamManager(broker.nats)).consumers.update('CALLS', consumerOf(0), older);
  await ensureStreams(broker);
  const { config } = await (await jetstreamManager(broker.nats)).consumers.info('CALLS', consumerOf(0));
  assert.equal(config.ack_wait, 10_000_000_000);
});

test('frames of one ledger are acknowledged, gapless over both streams, and chained by their hashes', async () => {
  const ledger = openLedger(broker, 'one', log);
  await Promise.all(Array.from({ length: 50 }, (_, i) => ledger.append(i % 2 === 0 ? 'calls' : 'bytes', entry(i))));
  const frames = bySeq(await collect((taken) => taken.length >= 50));
  assert.deepEqual(
    [...frames.keys()],
    Array.from({ length: 50 }, (_, i) => i + 1),
  );
  let prev: Uint8Array = noHash;
  for (const message of frames.values()) {
    assert.ok(frameHashHolds(message));
    const frame = decodeFrame(message);
    assert.deepEqual(Buffer.from(frame.prev), Buffer.from(prev));
    prev = frame.hash;
  }
  assert.equal(await ledger.drain(1_000), 0);
});

test('a broker that is killed under load costs no frame: what has no ack is published again', async () => {
  const ledger = openLedger(broker, 'two', log);
  const acked: Promise<void>[] = [];
  for (let i = 0; i < 300; i++) {
    acked.push(ledger.append('calls', entry(i)));
    if (i === 150) await server.kill();
  }
  await until('the ledger to notice', () => !ledger.healthy());
  await server.resume();
  await Promise.all(acked);
  await until('the ledger to be healthy again', () => ledger.healthy());
  const frames = bySeq(await collect((taken) => bySeq(taken).size >= 300));
  assert.equal(frames.size, 300);
  assert.equal(await ledger.drain(1_000), 0);
});

test('a frame that no message can hold is refused, and the ledger goes on without a gap', async () => {
  const ledger = openLedger(broker, 'three', log);
  await ledger.append('calls', entry(1));
  assert.throws(() => void ledger.append('calls', entry(2, Buffer.alloc(5 * 1024 * 1024))), FrameError);
  await ledger.append('calls', entry(3));
  const frames = bySeq(await collect((taken) => taken.length >= 2));
  assert.deepEqual([...frames.keys()], [1, 2]);
});

test('a batch that fails comes again, and is acknowledged only when it is done', async () => {
  const ledger = openLedger(broker, 'four', log);
  await Promise.all(Array.from({ length: 10 }, (_, i) => ledger.append('bytes', entry(i))));
  let failures = 0;
  const seen: number[] = [];
  const consuming = await consumeFrames(broker, log, async (frames) => {
    if (failures++ < 2) throw new Error('the store is away');
    seen.push(...frames.map(({ message }) => decodeFrame(message).seq));
  });
  await until('all frames', () => new Set(seen).size === 10);
  assert.equal(failures, 3);
  await consuming.drain();
});
