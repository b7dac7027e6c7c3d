// What can happen to frames between ingress and recorder, and messages that never were frames.
import { createHash } from 'node:crypto';
import { jetstream } from '@nats-io/jetstream';
import {
  consumerOf,
  decodeFrame,
  encodeFrame,
  type Frame,
  frameHeader,
  maxPayloadBytes,
  noCall,
  noHash,
  noSession,
  partitionOf,
  partitions,
  type StreamKey,
  streams,
} from '@sluice/model';
import type { Broker } from '@sluice/runtime';
import type { Random } from './random.ts';

/** A frame that was taken out of the stream, so that only its thief has it. */
export interface Stolen {
  readonly subject: string;
  readonly message: Uint8Array;
}

export type Disorder = 'duplicated' | 'reordered' | 'dropped' | 'changed';
/** What the verifier must find, and what it may, because somebody put it there: `INVARIANT PLACE`. */
export type Planted = Map<string, 'must' | 'may'>;

/** How long each consumer is robbed. */
const robberyMs = 2_000;

/** Takes frames from the recorder's consumers, as many of each as there are, up to `most`. */
export async function steal(broker: Broker, most: number): Promise<Stolen[]> {
  const client = jetstream(broker.nats);
  const robbed = await Promise.all(
    (Object.keys(streams) as StreamKey[]).flatMap((key) =>
      Array.from({ length: partitions }, async (_, partition) => {
        const consumer = await client.consumers.get(streams[key].name, consumerOf(partition));
        const taken: Stolen[] = [];
        for await (const message of await consumer.fetch({ max_messages: most, expires: robberyMs })) {
          taken.push({ subject: message.subject, message: message.data });
          await message.ackAck();
        }
        return taken;
      }),
    ),
  );
  return robbed.flat();
}

/** Gives stolen frames back, in disorder. */
export async function disturb(
  broker: Broker,
  disorder: Disorder,
  stolen: readonly Stolen[],
  random: Random,
): Promise<Planted> {
  // The broker says of each when it came back, not when it was there first.
  const planted: Planted = new Map(stolen.map(({ message }) => [`I1 call ${decodeFrame(message).call}`, 'may']));
  const client = jetstream(broker.nats);
  const give = async (given: readonly Stolen[]): Promise<void> => {
    for (const { subject, message } of given) await client.publish(subject, message);
  };
  switch (disorder) {
    case 'duplicated':
      await give(stolen.flatMap((one) => [one, one]));
      break;
    case 'reordered':
      await give(random.shuffled(stolen));
      break;
    case 'dropped': {
      const lost = random.pick(stolen.filter(({ message }) => canBeMissed(message, stolen)));
      const { ledger, seq, call } = decodeFrame(lost.message);
      planted.set(`I3 frame ${ledger}#${seq}`, 'must');
      for (const invariant of ['I2', 'I5']) planted.set(`${invariant} call ${call}`, 'may');
      await give(stolen.filter((one) => one !== lost));
      break;
    }
    case 'changed': {
      await give(stolen);
      const { subject, message } = random.pick(stolen);
      const { kind, ...frame } = decodeFrame(message);
      if (kind === 'unknown') throw new Error('a frame of a kind that nobody writes');
      const changed = encodeFrame({ ...frame, kind, atMicros: frame.atMicros + 1 }).message;
      planted.set(`I3 quarantine ${sha256(changed)}`, 'must');
      await give([{ subject, message: changed }]);
      break;
    }
  }
  return planted;
}

/**
 * Whether somebody can notice that it is gone: a later frame of its ledger comes. Its writer may die before it writes
 * another one. And without its outcome a call would be waited for in vain.
 */
function canBeMissed(message: Uint8Array, stolen: readonly Stolen[]): boolean {
  const { kind, ledger, seq } = decodeFrame(message);
  const isLater = (other: Frame): boolean => other.ledger === ledger && other.seq > seq;
  return kind !== 'outcome' && stolen.some((one) => isLater(decodeFrame(one.message)));
}

/** Publishes what is no frame, and frames that are hard to read. */
export async function poison(broker: Broker, random: Random, name: string): Promise<Planted> {
  const planted: Planted = new Map();
  const client = jetstream(broker.nats);
  for (const { message, isFrame } of random.shuffled(poisons(random, name))) {
    const stream = random.pick([streams.calls, streams.bytes]);
    await client.publish(`${stream.prefix}.${partitionOf(name)}`, message);
    if (!isFrame) planted.set(`I3 quarantine ${sha256(message)}`, 'must');
  }
  return planted;
}

function poisons(random: Random, name: string): { readonly message: Uint8Array; readonly isFrame?: true }[] {
  let seq = 0;
  let prev = noHash;
  /** A frame as it should be, of a ledger of this run's own. */
  const frame = (
    meta: string,
    bytes: Uint8Array = new Uint8Array(0),
    kind: Exclude<Frame['kind'], 'unknown'> = 'response',
  ): Buffer => {
    const place = {
      ledger: name,
      seq: ++seq,
      call: noCall,
      session: noSession,
      atMicros: Date.now() * 1000,
      offset: 0,
    };
    const { message, hash } = encodeFrame({ ...place, kind, meta, prev, bytes });
    prev = Buffer.from(hash);
    return message;
  };
  /** Something else at a place that is nobody's. */
  const spoilt = (spoil: (message: Buffer) => void): { message: Buffer } => {
    const { message } = encodeFrame({
      ledger: `${name}-spoilt`,
      seq: 1,
      call: noCall,
      session: noSession,
      atMicros: Date.now() * 1000,
      offset: 0,
      kind: 'response',
      meta: JSON.stringify({ run: name, nonce: random.text(8) }),
      prev: noHash,
      bytes: Buffer.from('body'),
    });
    spoil(message);
    return { message };
  };
  const whole = [
    frame('not JSON, '.repeat(3)),
    frame(`{"deep":${'['.repeat(50_000)}${']'.repeat(50_000)}}`),
    // A header near what a message can hold.
    frame(JSON.stringify({ huge: 'x'.repeat(maxPayloadBytes - 100_000) })),
    frame('{}', Buffer.alloc(maxPayloadBytes - 1_000, 0xff)),
    ofUnknownKind(frame('{}')),
  ];
  return [
    ...whole.map((message) => ({ message, isFrame: true as const })),
    { message: Buffer.from(`no frame: ${name}`) },
    { message: Buffer.concat([Buffer.from(name), Buffer.alloc(maxPayloadBytes - 10_000)]) },
    spoilt((message) => message.writeUInt8(2, 4)),
    spoilt((message) => message.fill(0xff, message.length - 4)),
    spoilt((message) => message.fill(0xff, 68, 70)),
    spoilt((message) => message.writeUInt32BE(0xffffffff, 0)),
    spoilt((message) => message.writeUInt32BE(0xfffffff0, 64)),
    spoilt((message) => message.writeBigUInt64BE(2n ** 63n, 8)),
  ];
}

/** The same with a kind of a newer Sluice, and the hash that belongs to it (`libs/model/src/frame.ts`). */
function ofUnknownKind(message: Buffer): Buffer {
  const header = frameHeader(message);
  const prevAt = header.byteLength - 64;
  message.writeUInt8(200, 5);
  const hash = createHash('sha256')
    .update(message.subarray(prevAt, prevAt + 32))
    .update(message.subarray(0, prevAt + 32))
    .update(createHash('sha256').update(message.subarray(header.byteLength)).digest())
    .digest();
  message.set(hash, prevAt + 32);
  return message;
}

/** Request bodies that are meant to break who reads them, and the status that says they were refused. */
export function hostileBodies(): { readonly what: string; readonly body: string; readonly expected: number }[] {
  const head = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"hostile"},"data":';
  return [
    { what: 'deep nesting', body: `${head}${'['.repeat(500_000)}${']'.repeat(500_000)}}`, expected: 400 },
    { what: 'deep nesting, open', body: `${head}${'{"a":'.repeat(300_000)}`, expected: 400 },
    { what: '10 MiB', body: `${head}{"a":"${'x'.repeat(10 * 2 ** 20)}"}}`, expected: 413 },
    { what: 'a name twice', body: `${head}{"a":"1","a":"2"}}`, expected: 400 },
    { what: 'half a surrogate', body: `${head}{"a":"\\ud800"}}`, expected: 400 },
  ];
}

function sha256(message: Uint8Array): string {
  return createHash('sha256').update(message).digest('hex');
}
