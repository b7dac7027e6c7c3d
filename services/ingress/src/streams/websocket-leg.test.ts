import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ChannelProtocol, chooseWebSocketProtocol } from '@sluice/kube';
import { WebSocket, WebSocketServer } from 'ws';
import type { Leg } from './leg.ts';
import { WebSocketLeg } from './websocket-leg.ts';

type Test = { after(done: () => void): void };

/** An agent in the test's hand, and Sluice's end of its stream. */
async function agent(t: Test, { autoPong = true } = {}) {
  const name = 'v5.channel.k8s.io';
  const codec = chooseWebSocketProtocol([name]) as ChannelProtocol;
  const http = createServer();
  const sockets = new WebSocketServer({ noServer: true });
  const accepted = new Promise<Leg>((resolve) => {
    http.once('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
      sockets.handleUpgrade(request, socket, head, (webSocket) =>
        resolve(new WebSocketLeg(webSocket, socket, { codec, peer: 'agent', aheadBytes: 64 * 1024 })),
      );
    });
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  const socket = new WebSocket(`ws://127.0.0.1:${(http.address() as AddressInfo).port}/`, [name], { autoPong });
  socket.on('error', () => undefined);
  const leg = await accepted;
  if (socket.readyState !== WebSocket.OPEN) await once(socket, 'open');
  t.after(() => {
    socket.terminate();
    leg.destroy();
    http.close();
  });
  return { leg, socket };
}

async function next(leg: Leg): Promise<string> {
  const event = await leg.read();
  if (event === null) return 'gone';
  return event.kind === 'end' ? `${event.channel} ended` : `${event.channel} ${event.bytes.toString()}`;
}

test('messages are read by channel, to the end of stdin and of the connection', async (t) => {
  const { leg, socket } = await agent(t);
  socket.send(Buffer.from('\x00hello'));
  socket.send(Buffer.from('\x04{"Width":1,"Height":2}'));
  socket.send(Buffer.of(0xff, 0));
  assert.equal(await next(leg), 'stdin hello');
  assert.equal(await next(leg), 'resize {"Width":1,"Height":2}');
  assert.equal(await next(leg), 'stdin ended');
  socket.close();
  assert.equal(await next(leg), 'gone');
  assert.equal(leg.gone.aborted, true);
});

test('a message that its protocol does not have ends the stream, and says so', async (t) => {
  const { leg, socket } = await agent(t);
  const closed = once(socket, 'close');
  socket.send(Buffer.from('\x00before'));
  socket.send('a text');
  socket.send(Buffer.from('\x00after'));
  assert.equal(await next(leg), 'stdin before');
  await assert.rejects(leg.read(), { code: 'BadStream' });
  assert.equal((await closed)[0], 1002);
});

test('what was said still goes out before an end in order, however much input nobody took', async (t) => {
  const { leg, socket } = await agent(t);
  let said = '';
  socket.on('message', (data: Buffer) => {
    said += data.toString('latin1');
  });
  const closed = once(socket, 'close');
  socket.send(Buffer.alloc(8 * 1024 * 1024));
  await sleep(20);
  leg.send('stdout', Buffer.from('last'));
  await leg.close(60_000);
  assert.equal((await closed)[0], 1000);
  assert.equal(said, '\x01last');
});

test('the rest of a large message stays with its agent until somebody reads, and then comes', async (t) => {
  const { leg, socket } = await agent(t);
  const size = 24 * 1024 * 1024;
  socket.send(Buffer.alloc(size + 1));
  for (let [before, now] = [-1, socket.bufferedAmount]; now !== before; [before, now] = [now, socket.bufferedAmount])
    await sleep(200);
  assert.ok(socket.bufferedAmount > size / 2, `${socket.bufferedAmount} bytes are still there`);
  const event = await leg.read();
  assert.equal(event?.kind === 'data' && event.bytes.length, size);
});

test('an agent hears nothing before its client has shown that it reads', async (t) => {
  const { leg, socket } = await agent(t, { autoPong: false });
  const seen: string[] = [];
  socket.on('message', (data: Buffer) => seen.push(data.toString('latin1').slice(1)));
  leg.send('stderr', Buffer.from('refused'));
  leg.send('error', Buffer.from('status'));
  const closed = leg.close(5_000);
  await sleep(100);
  seen.push('shown');
  socket.pong();
  await closed;
  assert.deepEqual(seen, ['shown', 'refused', 'status']);
});

test('an agent whose client answers no ping is told all the same', async (t) => {
  const { leg, socket } = await agent(t, { autoPong: false });
  const told = once(socket, 'message');
  leg.send('stderr', Buffer.from('refused'));
  assert.equal(String((await told)[0]), '\x02refused');
});

test('an agent that does not read is waited for, until it reads or leaves', async (t) => {
  const { leg, socket } = await agent(t);
  socket.pause();
  const much = Buffer.alloc(16 * 1024 * 1024);
  leg.send('stdout', much);
  let isDrained = false;
  const drained = leg.drained().then(() => {
    isDrained = true;
  });
  await sleep(50);
  assert.equal(isDrained, false);
  socket.resume();
  await drained;
  socket.pause();
  leg.send('stdout', much);
  const second = leg.drained();
  socket.terminate();
  await second;
  if (!leg.gone.aborted) await once(leg.gone, 'abort');
});
