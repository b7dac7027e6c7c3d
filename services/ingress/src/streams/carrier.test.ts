import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { test } from 'node:test';
import { socketCarrier } from './carrier.ts';

/** A connection whose peer takes what it is sent when the test says so. */
function connection() {
  const taken: (() => void)[] = [];
  const wire = new Duplex({
    read: () => undefined,
    write: (_chunk, _encoding, done) => void taken.push(done),
  });
  const socket = Object.assign(wire, { setKeepAlive: () => wire }) as unknown as Socket;
  const take = (): void => {
    for (let done = taken.shift(); done !== undefined; done = taken.shift()) done();
  };
  return { wire, carrier: socketCarrier(socket, Buffer.alloc(0)), take };
}

const large = Buffer.alloc(1024 * 1024 + 1);
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('a peer that makes Sluice answer and reads nothing is not read any more, until it does', async () => {
  const { wire, carrier, take } = connection();
  let read = 0;
  carrier.start(
    () => {
      read++;
      carrier.write(large);
    },
    () => undefined,
  );
  wire.push('ask');
  await turn();
  wire.push('ask');
  await turn();
  assert.equal(read, 1);
  carrier.resume();
  await turn();
  assert.equal(read, 1, 'whoever takes the bytes cannot lift that');
  take();
  await turn();
  assert.equal(read, 2);
  carrier.destroy();
});

test('a peer is held back for whoever takes its bytes, whatever was sent meanwhile', async () => {
  const { wire, carrier, take } = connection();
  let read = 0;
  carrier.start(
    () => {
      read++;
      carrier.pause();
      carrier.write(large);
    },
    () => undefined,
  );
  wire.push('one');
  await turn();
  wire.push('two');
  take();
  await turn();
  assert.equal(read, 1);
  carrier.resume();
  await turn();
  assert.equal(read, 2);
  carrier.destroy();
});
