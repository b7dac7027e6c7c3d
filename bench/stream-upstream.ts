// A cluster that costs next to nothing: one pod, in which commands run that move bytes. It speaks as an API server of
// today does: WebSocket v5 for exec, SPDY for port-forward, endless answers to watch and to logs -f.
import { readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { SpdySession } from '@sluice/kube';
import { type RawData, type WebSocket, WebSocketServer } from 'ws';
import { logText, messageBytes, stdin, stdout, toEnd } from './stream-words.ts';

const [certFile = '', keyFile = ''] = process.argv.slice(2);
const pod = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'web', namespace: 'shop', uid: '5f0c1f0e-0000-4000-8000-000000000001', resourceVersion: '1' },
  spec: { nodeName: 'node-1', containers: [{ name: 'main', image: 'registry.example/web:1', args: ['serve'] }] },
  status: { phase: 'Running' },
};
const success = Buffer.from('\u0003{"metadata":{},"status":"Success"}');
/** As an API server copies them. */
const pieces = Array.from({ length: logText.length / messageBytes }, (_, i) =>
  Buffer.concat([Buffer.of(stdout), logText.subarray(i * messageBytes, (i + 1) * messageBytes)]),
);
const unsentBytes = 1 << 20;

const commands: Readonly<Record<string, (socket: WebSocket, argument: string) => void>> = {
  // Says a line and ends.
  true: (socket) => {
    socket.send(Buffer.from('\u0001done\n'));
    end(socket);
  },
  // So many bytes of a log, in whole messages.
  bytes: (socket, count) => {
    let sent = 0;
    let hasEnded = false;
    const more = (): void => {
      while (sent < Number(count) && socket.bufferedAmount <= unsentBytes) {
        const piece = pieces[(sent / messageBytes) % pieces.length] as Buffer;
        sent += messageBytes;
        socket.send(piece, more);
      }
      if (sent < Number(count) || hasEnded) return;
      hasEnded = true;
      end(socket);
    };
    more();
  },
  // Takes everything there is, and says how much it was.
  count: (socket) => {
    let bytes = 0;
    socket.on('message', (data: Buffer) => {
      if (data[0] === stdin) bytes += data.length - 1;
      if (data[0] !== toEnd) return;
      socket.send(Buffer.from(`\u0001${bytes}`));
      end(socket);
    });
  },
  // A terminal that shows what is typed.
  echo: (socket) => {
    socket.on('message', (data: RawData) => {
      const [channel, ...typed] = data as Buffer;
      if (channel === stdin && typed.length > 0) socket.send(Buffer.from([stdout, ...typed]));
    });
  },
};

function end(socket: WebSocket): void {
  socket.send(success);
  socket.close(1000);
}

function answer(request: IncomingMessage, response: ServerResponse): void {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'https://cluster');
  const give = (status: number, body: object): void => {
    const text = JSON.stringify(body);
    response.writeHead(status, { 'content-type': 'application/json', 'content-length': text.length }).end(text);
  };
  request.resume();
  if (pathname.endsWith('/selfsubjectaccessreviews')) give(201, { status: { allowed: true } });
  else if (pathname.endsWith('/log')) {
    response.writeHead(200, { 'content-type': 'text/plain' });
    response.write('it begins\n');
  } else if (searchParams.has('watch')) {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.write(`${JSON.stringify({ type: 'ADDED', object: pod })}\n`);
  } else if (pathname.endsWith('/pods/web')) give(200, pod);
  else give(200, { major: '1', minor: '34', gitVersion: 'v1.34.0' });
}

function forward(socket: Duplex): void {
  socket.write(
    'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: portforward.k8s.io\r\n\r\n',
  );
  const none = (): void => undefined;
  const session = new SpdySession('server', (bytes) => void socket.write(bytes), {
    opened: (stream) => session.reply(stream),
    replied: none,
    // What is sent to the port comes back.
    data: (stream, bytes) => {
      session.consumed(stream, bytes.length);
      if (bytes.length > 0) session.write(stream, Buffer.from(bytes));
    },
    reset: none,
    goAway: none,
    writable: none,
  });
  socket.on('data', (bytes: Buffer) => session.push(bytes));
}

const webSockets = new WebSocketServer({ noServer: true, perMessageDeflate: false, clientTracking: false });
const server = createServer({ cert: readFileSync(certFile), key: readFileSync(keyFile) }, answer);
server.keepAliveTimeout = 600_000;
server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
  socket.on('error', () => undefined);
  if (request.headers.upgrade?.toLowerCase() !== 'websocket') return forward(socket);
  webSockets.handleUpgrade(request, socket, head, (webSocket) => {
    webSocket.on('error', () => undefined);
    const [command = '', argument = ''] = new URL(request.url ?? '/', 'https://cluster').searchParams.getAll('command');
    commands[command]?.(webSocket, argument);
  });
});
server.listen(0, '127.0.0.1', () =>
  process.send?.({ kind: 'ready', facts: { port: (server.address() as AddressInfo).port } }),
);
process.on('disconnect', () => process.exit(0));
