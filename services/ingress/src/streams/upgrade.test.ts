import assert from 'node:assert/strict';
import { createServer, type IncomingMessage } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { StreamRequest } from '@sluice/model';
import { AgentGone } from '../request.ts';
import { Upgrade } from './upgrade.ts';

const exec: StreamRequest = {
  kind: 'exec',
  command: ['cat'],
  container: '',
  stdin: true,
  stdout: true,
  stderr: true,
  tty: false,
  ports: [],
};
type Test = { after(done: () => void): void };

/** The next switch of protocols that somebody asks for. */
async function server(t: Test): Promise<{ readonly port: number; readonly next: () => Promise<Upgrade> }> {
  const upgrades: Upgrade[] = [];
  const http = createServer();
  http.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    socket.on('error', () => undefined);
    t.after(() => void socket.destroy());
    upgrades.push(new Upgrade(request, socket, head));
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  t.after(() => void http.close());
  return {
    port: (http.address() as AddressInfo).port,
    next: async () => {
      while (upgrades.length === 0) await sleep(1);
      return upgrades.shift() as Upgrade;
    },
  };
}

const head = (method: 'GET' | 'POST', ...lines: readonly string[]): string =>
  [`${method} / HTTP/1.1`, 'Host: x', 'Connection: Upgrade', ...lines, '', ''].join('\r\n');
const spdy = head('POST', 'Upgrade: SPDY/3.1', 'X-Stream-Protocol-Version: v4.channel.k8s.io');
const webSocket = head(
  'GET',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  `Sec-WebSocket-Key: ${'A'.repeat(22)}==`,
  'Sec-WebSocket-Protocol: v4.channel.k8s.io',
);

function asks(t: Test, port: number, text: string): { readonly socket: Socket; readonly said: () => string } {
  const socket = connect(port, '127.0.0.1', () => socket.write(text, 'latin1'));
  let said = '';
  socket.on('data', (chunk: Buffer) => {
    said += chunk.toString('latin1');
  });
  socket.on('error', () => undefined);
  t.after(() => void socket.destroy());
  return { socket, said: () => said };
}

test('an agent that leaves before anything is decided is heard', async (t) => {
  const { port, next } = await server(t);
  const { socket } = asks(t, port, `${spdy}and something`);
  const upgrade = await next();
  socket.write(' more');
  await sleep(10);
  socket.end();
  await new Promise((resolve) => upgrade.gone.addEventListener('abort', resolve));
  assert.ok(upgrade.gone.reason instanceof AgentGone);
  await assert.rejects(upgrade.acceptChannels(exec), AgentGone);
});

test('what an agent sends before it is accepted waits for that, and in bounds', async (t) => {
  const { port, next } = await server(t);
  // A frame of stdin, under a mask of zeros.
  const frame = (text: string): string =>
    Buffer.concat([Buffer.of(0x82, 0x80 | (text.length + 1), 0, 0, 0, 0, 0), Buffer.from(text)]).toString('latin1');
  const agent = asks(t, port, `${webSocket}${frame('one')}`).socket;
  const upgrade = await next();
  agent.write(frame('two'), 'latin1');
  await sleep(20);
  const leg = await upgrade.acceptChannels(exec);
  const first = await leg.read();
  const second = first?.kind === 'data' && first.bytes.length === 3 ? await leg.read() : null;
  const said = [first, second].map((event) => (event?.kind === 'data' ? event.bytes.toString() : '')).join('');
  assert.equal(said, 'onetwo');
  leg.destroy();

  const { socket } = asks(t, port, spdy);
  await next();
  while (socket.write(Buffer.alloc(64 * 1024))) await sleep(1);
  const sent = socket.bytesWritten;
  await sleep(20);
  assert.equal(socket.bytesWritten, sent, 'nobody reads on');
});

test('a connection is handed over once', async (t) => {
  const { port, next } = await server(t);
  const { socket, said } = asks(t, port, spdy);
  const upgrade = await next();
  const accepted = upgrade.acceptChannels(exec);
  await assert.rejects(upgrade.acceptChannels(exec), AgentGone);
  while (!said().includes('101')) await sleep(1);
  socket.destroy();
  await assert.rejects(accepted, { reasonCode: 'StreamNotReadable' });
  assert.equal(said().match(/101 Switching/g)?.length, 1);
});

test('a request to switch has no body', async (t) => {
  const { port, next } = await server(t);
  asks(
    t,
    port,
    `${head('POST', 'Upgrade: SPDY/3.1', 'X-Stream-Protocol-Version: v4.channel.k8s.io', 'Content-Length: 4')}body`,
  );
  const upgrade = await next();
  assert.throws(() => upgrade.check(exec), { reasonCode: 'StreamNotReadable' });
});

test('an answer that is no stream goes out whole, and the connection ends behind it', async (t) => {
  const { port, next } = await server(t);
  const { socket, said } = asks(t, port, spdy);
  const { response } = await next();
  socket.pause();
  const body = Buffer.alloc(8 * 1024 * 1024, 'x');
  assert.equal(response.write(body), false);
  const drained = new Promise((resolve) => response.once('drain', resolve));
  socket.resume();
  await drained;
  response.end('y');
  await new Promise((resolve) => socket.once('close', resolve));
  assert.match(said(), /^HTTP\/1\.1 200 OK\r\n[^]*x\r\n1\r\ny\r\n0\r\n\r\n$/);
});
