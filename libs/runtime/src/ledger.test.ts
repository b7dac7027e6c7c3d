import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { jetstreamManager } from '@nats-io/jetstream';
import {
  certificateHolds,
  consumerOf,
  decodeFrame,
  type Frame,
  FrameError,
  type FrameMeta,
  frameHashHolds,
  type LedgerLease,
  leases,
  noHash,
  partitionOf,
  partitions,
  sealHolds,
} from '@sluice/model';
import { newRoot, newSealer, TestBroker, until } from '@sluice/testing';
import { type Broker, openBroker } from './broker.ts';
import { consumeFrames, type StoredFrame } from './frames.ts';
import { openLeaseStore } from './held-lease.ts';
import { type Entry, type Ledger, type LedgerOptions, openLedger } from './ledger.ts';
import { createLogger } from './log.ts';
import { provision } from './provision.ts';

const log = createLogger('test', '/dev/null');
const root = newRoot();
let server: TestBroker;
let broker: Broker;

before(async () => {
  server = await TestBroker.start();
  broker = await openBroker(server.env, 'test', log);
  await provision(broker);
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
  for (let partition = 0; partition < partitions; partition++) await consuming.take(partition);
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
  await provision(broker);
  const { config } = await (await jetstreamManager(broker.nats)).consumers.info('CALLS', consumerOf(0));
  assert.equal(config.ack_wait, 10_000_000_000);
});

/** A ledger of this test, with a key of its own. */
const open = (writer: string, more: Partial<LedgerOptions> = {}): Promise<Ledger> =>
  openLedger({ broker, sealer: newSealer(writer, root), log, onLost: assert.fail, ...more });

const kindsOf = (frames: Map<number, Uint8Array>): string[] => [...frames.values()].map((m) => decodeFrame(m).kind);

test('frames of one ledger are acknowledged, gapless over both streams, and chained by their hashes', async () => {
  const ledger = await open('one');
  await Promise.all(Array.from({ length: 50 }, (_, i) => ledger.append(i % 2 === 0 ? 'calls' : 'bytes', entry(i))));
  assert.equal(await ledger.drain(10_000), 0);
  const frames = bySeq(await collect((taken) => taken.length >= 53));
  assert.deepEqual(
    [...frames.keys()],
    Array.from({ length: 53 }, (_, i) => i + 1),
  );
  let prev: Uint8Array = noHash;
  for (const message of frames.values()) {
    assert.ok(frameHashHolds(message));
    const frame = decodeFrame(message);
    assert.deepEqual(Buffer.from(frame.prev), Buffer.from(prev));
    prev = frame.hash;
  }
  const kinds = kindsOf(frames);
  assert.deepEqual([kinds[0], ...kinds.slice(-2)], ['opened', 'closed', 'seal']);
});

test('a seal signs the frame before it, with a key that the root has signed', async () => {
  const ledger = await open('sealed');
  await ledger.append('calls', entry(1));
  ledger.seal();
  ledger.seal();
  const frames = bySeq(await collect((taken) => taken.length >= 3));
  assert.deepEqual(kindsOf(frames), ['opened', 'response', 'seal']);
  const [opened, , sealed] = [...frames.values()].map(decodeFrame);
  assert.ok(opened !== undefined && sealed !== undefined);
  const { key } = JSON.parse(opened.meta) as FrameMeta['opened'];
  assert.ok(certificateHolds(root.publicKey, key));
  const { kid, signature } = JSON.parse(sealed.meta) as FrameMeta['seal'];
  const head = { ledger: ledger.name, seq: 2, hash: Buffer.from(sealed.prev).toString('hex') };
  assert.equal(kid, key.kid);
  assert.ok(sealHolds(key, head, signature));
  assert.ok(!sealHolds(key, { ...head, seq: 3 }, signature));
  await ledger.drain(10_000);
  await collect((taken) => taken.length >= 2);
});

test('with a new day a new ledger begins, and names the end of the one before', async () => {
  let today = Date.UTC(2026, 10, 23, 23, 59);
  const ledger = await open('daily', { now: () => today });
  const first = ledger.name;
  await ledger.append('calls', entry(1));
  today += 120_000;
  await until('the next ledger', () => ledger.name !== first);
  await ledger.append('calls', entry(2));
  const lease = await until('the lease on the first to be given back', async () => {
    const last = await (await openLeaseStore(broker)).last(leases.ledger('daily', first));
    const said = JSON.parse(Buffer.from(last?.payload ?? '').toString()) as LedgerLease;
    return said.state === 'closed' && said;
  });
  assert.deepEqual(lease, { state: 'closed', seq: 4, cause: 'rolled' });
  assert.equal(await ledger.drain(10_000), 0);
  const taken = (await collect((frames) => frames.length >= 8)).map(({ message }) => decodeFrame(message));
  const of = (name: string): Frame[] => taken.filter((frame) => frame.ledger === name).sort((a, b) => a.seq - b.seq);
  assert.deepEqual(
    [of(first), of(ledger.name)].map((frames) => frames.map(({ seq, kind }) => [seq, kind])),
    [
      [
        [1, 'opened'],
        [2, 'response'],
        [3, 'closed'],
        [4, 'seal'],
      ],
      [
        [1, 'opened'],
        [2, 'response'],
        [3, 'closed'],
        [4, 'seal'],
      ],
    ],
  );
  const { previous, instance } = JSON.parse(of(ledger.name)[0]?.meta ?? '') as FrameMeta['opened'];
  assert.deepEqual(previous, { ledger: first, seq: 4, hash: Buffer.from(of(first)[3]?.hash ?? '').toString('hex') });
  assert.deepEqual([first, ledger.name], [`${instance}-0`, `${instance}-1`]);
});

test('a writer whose lease somebody has ended writes no more', async () => {
  const lost = Promise.withResolvers<string>();
  const ledger = await open('ended', { onLost: lost.resolve });
  const store = await openLeaseStore(broker);
  const subject = leases.ledger('ended', ledger.name);
  await until('the lease to be ended', async () => {
    const last = await store.last(subject);
    return store.swap(subject, Buffer.from('{"state":"ended"}'), last?.seq ?? 0);
  });
  assert.equal(await lost.promise, 'somebody else has taken the lease');
  assert.ok(!ledger.healthy());
  await collect((taken) => taken.length >= 1);
  void ledger.append('calls', entry(1));
  assert.equal(await ledger.drain(500), 3, 'nothing of it goes out');
});

test('a lease that cannot be renewed ends by the monotonic clock, and not before', async () => {
  const lost = Promise.withResolvers<string>();
  const ledger = await open('cut-off', { onLost: lost.resolve, leaseMs: 1_500 });
  await server.kill();
  assert.equal(await lost.promise, 'the lease was not renewed for 1.5 s');
  await server.resume();
  await until('the broker', () => broker.connected());
  assert.ok(!ledger.healthy());
});

test('a broker that is killed under load costs no frame: what has no ack is published again', async () => {
  const ledger = await open('two');
  const acked: Promise<void>[] = [];
  for (let i = 0; i < 300; i++) {
    acked.push(ledger.append('calls', entry(i)));
    if (i === 150) await server.kill();
  }
  await until('the ledger to notice', () => !ledger.healthy());
  await server.resume();
  await Promise.all(acked);
  await until('the ledger to be healthy again', () => ledger.healthy());
  assert.equal(await ledger.drain(10_000), 0);
  const mine = (taken: readonly StoredFrame[]): StoredFrame[] =>
    taken.filter(({ message }) => decodeFrame(message).ledger === ledger.name);
  const frames = bySeq(mine(await collect((taken) => kindsOf(bySeq(mine(taken))).at(-2) === 'closed')));
  assert.equal(frames.size, Math.max(...frames.keys()));
  assert.equal(kindsOf(frames).filter((kind) => kind === 'response').length, 300);
});

test('a frame that no message can hold is refused, and the ledger goes on without a gap', async () => {
  const ledger = await open('three');
  await ledger.append('calls', entry(1));
  assert.throws(() => void ledger.append('calls', entry(2, Buffer.alloc(5 * 1024 * 1024))), FrameError);
  await ledger.append('calls', entry(3));
  const frames = bySeq(await collect((taken) => taken.length >= 3));
  assert.deepEqual([...frames.keys()], [1, 2, 3]);
});

test('a batch that fails comes again, and is acknowledged only when it is done', async () => {
  const ledger = await open('four');
  await Promise.all(Array.from({ length: 10 }, (_, i) => ledger.append('bytes', entry(i))));
  let failures = 0;
  const seen: number[] = [];
  const consuming = await consumeFrames(broker, log, async (frames) => {
    if (failures++ < 2) throw new Error('the store is away');
    seen.push(...frames.map(({ message }) => decodeFrame(message).seq));
  });
  await consuming.take(partitionOf(ledger.name));
  await until('all frames', () => new Set(seen).size === 11);
  assert.ok(failures >= 3);
  await consuming.drain();
});
