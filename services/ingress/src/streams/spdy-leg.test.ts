import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ChannelProtocol, chooseSpdyProtocol, SpdySession } from '@sluice/kube';
import type { Channel } from '@sluice/model';
import { loopback } from '@sluice/testing';
import type { Leg } from './leg.ts';
import { SpdyLeg } from './spdy-leg.ts';

type Test = { after(done: () => void): void };

const codec = chooseSpdyProtocol(['v4.channel.k8s.io']) as ChannelProtocol;

/** An agent in the test's hand, and Sluice's end of its stream. */
async function agent(t: Test, wanted: readonly Channel[], opens: readonly (readonly [Channel, boolean])[] = []) {
  const [near, far] = await loopback(t);
  const said: string[] = [];
  const session = new SpdySession('client', (bytes) => void far.write(bytes), {
    opened: () => undefined,
    replied: () => undefined,
    data: (stream, bytes, isEnded) => said.push(`${stream} ${bytes.toString()}${isEnded ? ' ended' : ''}`),
    reset: (stream) => said.push(`${stream} reset`),
    goAway: () => undefined,
    writable: () => undefined,
  });
  far.on('data', (chunk: Buffer) => session.push(chunk));
  const leg = new SpdyLeg(near, Buffer.alloc(0), { codec, peer: 'agent', aheadBytes: 64 * 1024, wanted });
  t.after(() => leg.destroy());
  const ids = new Map<Channel, number>();
  for (const [channel, isEnded] of opens) {
    const stream = session.open(new Map([['streamtype', channel]]));
    ids.set(channel, stream);
    if (isEnded) session.end(stream);
  }
  return { leg, session, far, said, id: (channel: Channel): number => ids.get(channel) ?? 0 };
}

async function next(leg: Leg): Promise<string> {
  const event = await leg.read();
  if (event === null) return 'gone';
  return event.kind === 'end' ? `${event.channel} ended` : `${event.channel} ${event.bytes.toString()}`;
}

const some = [
  ['error', false],
  ['stdin', false],
  ['stdout', false],
] as const;
const three: readonly Channel[] = ['error', 'stdin', 'stdout'];

test('what an agent says comes out by channel, and what it is told goes to its streams', async (t) => {
  const { leg, session, said, id } = await agent(t, three, some);
  await leg.opened();
  session.write(id('stdin'), Buffer.from('hello'));
  session.end(id('stdin'));
  assert.equal(await next(leg), 'stdin hello');
  assert.equal(await next(leg), 'stdin ended');
  leg.send('stdout', Buffer.from('world'));
  leg.end('stdout');
  while (said.length < 2) await sleep(1);
  assert.deepEqual(said, [`${id('stdout')} world`, `${id('stdout')}  ended`]);
});

test('a stream that opens with its end has ended', async (t) => {
  const { leg, far } = await agent(t, ['stdin']);
  // SYN_STREAM with FIN, which no Go client sends.
  let syn = Buffer.alloc(0);
  const session = new SpdySession('client', (bytes) => (syn = Buffer.concat([syn, bytes])), {
    opened: () => undefined,
    replied: () => undefined,
    data: () => undefined,
    reset: () => undefined,
    goAway: () => undefined,
    writable: () => undefined,
  });
  session.open(new Map([['streamtype', 'stdin']]));
  syn[4] = 0x01;
  far.write(syn);
  await leg.opened();
  assert.equal(await next(leg), 'stdin ended');
});

test('an agent that takes nothing of a channel is waited for, until it gives the channel up', async (t) => {
  const { leg, session, far, id } = await agent(t, three, some);
  await leg.opened();
  // A window, once set, is kept to: 16 bytes for each stream.
  far.write(Buffer.from('800300040000000c000000010000000700000010', 'hex'));
  session.write(id('stdin'), Buffer.from('set'));
  assert.equal(await next(leg), 'stdin set');
  leg.send('stdout', Buffer.alloc(100));
  let isDrained = false;
  const drained = leg.drained().then(() => {
    isDrained = true;
  });
  await sleep(20);
  assert.equal(isDrained, false);
  session.reset(id('stdout'));
  await drained;
});

test('the end of a stream is taken by an agent whose input nobody reads', async (t) => {
  const { leg, session, far, id } = await agent(t, three, some);
  await leg.opened();
  session.write(id('stdin'), Buffer.alloc(4 * 1024 * 1024));
  await sleep(20);
  const closed = leg.close(60_000);
  far.end();
  await closed;
  assert.ok(far.writableFinished, 'all of it was read');
});
