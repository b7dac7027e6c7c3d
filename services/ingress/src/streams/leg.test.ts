import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Channel } from '@sluice/model';
import { raw } from '@sluice/runtime/raw';
import { LegQueue, type ReadAhead, StreamError } from './leg.ts';

function queue(ahead: ReadAhead = { aheadBytes: 1_000 }) {
  const flow: string[] = [];
  const legs = new LegQueue({ pause: () => flow.push('pause'), resume: () => flow.push('resume') }, ahead);
  const say = (channel: Channel, text: string): void =>
    legs.push({ kind: 'data', channel, bytes: raw(Buffer.from(text)) });
  return { legs, flow, say };
}

async function next(legs: LegQueue): Promise<string> {
  const event = await legs.read();
  if (event === null) return 'gone';
  return event.kind === 'end' ? `${event.channel} ended` : `${event.channel} ${event.bytes.toString()}`;
}

test('pieces of one channel come together, and the order of channels stays', async () => {
  const { legs, say } = queue();
  say('stdout', 'a');
  say('stdout', 'b');
  say('stderr', 'c');
  say('stdout', 'd');
  legs.push({ kind: 'end', channel: 'stdout' });
  say('stdout', 'e');
  legs.end();
  const seen: string[] = [];
  for (let event = await next(legs); event !== 'gone'; event = await next(legs)) seen.push(event);
  assert.deepEqual(seen, ['stdout ab', 'stderr c', 'stdout d', 'stdout ended', 'stdout e']);
});

test('a source is held back while too much waits, and goes on when half of it is taken', async () => {
  const { legs, flow, say } = queue();
  say('stdout', 'x'.repeat(500));
  say('stderr', 'y'.repeat(300));
  assert.deepEqual(flow, []);
  say('stdout', 'z'.repeat(300));
  assert.deepEqual(flow, ['pause']);
  say('stdout', 'and more');
  assert.deepEqual(flow, ['pause'], 'it is paused once');
  while (flow.length === 1) await legs.read();
  assert.deepEqual(flow, ['pause', 'resume']);
});

test('less is held while nobody has read', async () => {
  const { legs, flow, say } = queue({ aheadBytes: 1_000, heldBytes: 200 });
  say('stdin', 'x'.repeat(300));
  assert.deepEqual(flow, ['pause']);
  await legs.read();
  say('stdin', 'y'.repeat(800));
  assert.deepEqual(flow, ['pause', 'resume']);
});

test('what has not come whole counts while nobody has read, and is let come then', async () => {
  const { legs, flow, say } = queue({ aheadBytes: 1_000, heldBytes: 200 });
  legs.coming(150);
  say('stdin', 'x'.repeat(50));
  assert.deepEqual(flow, []);
  legs.coming(150);
  assert.deepEqual(flow, ['pause']);
  await legs.read();
  assert.deepEqual(flow, ['pause', 'resume']);
  legs.coming(10_000);
  assert.deepEqual(flow, ['pause', 'resume']);
});

test('many events without bytes count, too', () => {
  const { legs, flow } = queue();
  for (let count = 0; count < 100; count++) legs.push({ kind: 'end', channel: 'stdin' });
  assert.deepEqual(flow, ['pause']);
});

test('what came before the end is read before it, and nothing after', async () => {
  const { legs, say } = queue();
  say('stdin', 'last');
  legs.end(new StreamError('broken'));
  say('stdin', 'late');
  assert.equal(await next(legs), 'stdin last');
  await assert.rejects(legs.read(), { code: 'BadStream' });
});
