// The floor of streams: a naive gate with Sluice's hops and nothing else. TLS on both sides, an ask, a write-ahead with
// its ack, then for what comes a sealed masking hop and a frame: acknowledged before it goes to the pod, and within a
// window before it goes to the agent; the outcome. No token, no policy, no masks, no places, no limits. `floor.ts worker`
// answers it. Agents say in `x-floor` what it is to leave out, or to do besides: `unmasked`, `pod`.
import { createSecretKey, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { Agent, createServer, request } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { jetstream } from '@nats-io/jetstream';
import { createLogger, openBroker } from '@sluice/runtime';
import { openSeal, seal, sealNonce } from '@sluice/runtime/raw';
import { WebSocket, WebSocketServer } from 'ws';
import { protocol, status } from './stream-words.ts';

const [certFile = '', keyFile = '', caFile = '', upstreamPort = '', token = ''] = process.argv.slice(2);
const { nats } = await openBroker(process.env, 'test floor', createLogger('floor', '/dev/null'));
const stream = jetstream(nats);
const key = createSecretKey(Buffer.alloc(32, 1));
const frame = randomBytes(1200);
/** As Sluice: of a piece, of what may be read ahead, of what may run ahead of its acks, of what may wait to be sent. */
const pieceBytes = 256 * 1024;
const aheadBytes = 256 * 1024;
const windowBytes = 256 * 1024;
const unsentBytes = 256 * 1024;
const headers = { authorization: `Bearer ${token}` };
const to = { agent: new Agent({ keepAlive: true, ca: readFileSync(caFile) }), headers };

/** Takes what comes from one side, as much of a channel at once as there is, and passes it on. */
class Pump {
  readonly #from: WebSocket;
  readonly #waiting: Buffer[] = [];
  #bytes = 0;
  #wake: () => void = () => undefined;
  #sent: () => void = () => undefined;
  #isOver = false;

  constructor(from: WebSocket) {
    this.#from = from;
    from.on('error', () => undefined);
    from.on('message', (data) => {
      this.#waiting.push(data as Buffer);
      this.#bytes += (data as Buffer).length;
      if (this.#bytes > aheadBytes) from.pause();
      this.#wake();
    });
    from.on('close', () => {
      this.#isOver = true;
      this.#wake();
    });
  }

  async run(to: WebSocket, pass: (piece: Buffer) => Promise<Buffer>): Promise<void> {
    for (;;) {
      const piece = await this.#next();
      if (piece === null) return;
      to.send(await pass(piece), () => this.#sent());
      while (to.bufferedAmount > unsentBytes && to.readyState === WebSocket.OPEN)
        await new Promise<void>((resolve) => {
          this.#sent = resolve;
        });
    }
  }

  async #next(): Promise<Buffer | null> {
    while (this.#waiting.length === 0) {
      if (this.#isOver) return null;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const parts: Buffer[] = [];
    const channel = this.#waiting[0]?.[0];
    for (let bytes = 0; this.#waiting[0]?.[0] === channel; ) {
      bytes += this.#waiting[0]?.length ?? 0;
      if (parts.length > 0 && bytes > pieceBytes) break;
      const message = this.#waiting.shift();
      if (message === undefined) break;
      this.#bytes -= message.length;
      parts.push(parts.length === 0 ? message : message.subarray(1));
    }
    if (this.#from.isPaused && this.#bytes <= aheadBytes / 2) this.#from.resume();
    return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
  }
}

async function masked(bytes: Buffer): Promise<Buffer> {
  const sealed = seal(key, { kind: 'request' }, [bytes]);
  const { data } = await nats.request('floor.mask', sealed, { timeout: 2_000 });
  return openSeal(key, { kind: 'reply', to: sealNonce(sealed) }, data);
}

const publish = (bytes: Buffer): Promise<unknown> =>
  stream.publish('floor.frames', Buffer.concat([frame.subarray(0, 300), bytes]));

/** Reads the pod, and has it masked for whoever decides. */
async function readPod(path: string): Promise<void> {
  const body = await new Promise<Buffer>((resolve) => {
    const outgoing = request({ ...to, host: '127.0.0.1', port: upstreamPort, path: path.replace(/\/exec.*/, '') });
    outgoing.on('response', (response) => resolve(buffer(response)));
    outgoing.end();
  });
  await masked(body);
}

async function carry(incoming: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
  const also = incoming.headers['x-floor'];
  const path = incoming.url ?? '/';
  if (also === 'pod') await readPod(path);
  await nats.request('floor.ask', frame.subarray(0, 400), { timeout: 2_000 });
  await stream.publish('floor.frames', frame);
  const cluster = new WebSocket(`wss://127.0.0.1:${upstreamPort}${path}`, [protocol], {
    ...to,
    perMessageDeflate: false,
  });
  const fromCluster = new Pump(cluster);
  await new Promise((resolve) => cluster.once('open', resolve));
  const agent = await new Promise<WebSocket>((resolve) => webSockets.handleUpgrade(incoming, socket, head, resolve));
  const mask = also === 'unmasked' ? async (bytes: Buffer) => bytes : masked;
  const input = new Pump(agent).run(cluster, async (piece) => {
    const bytes = await mask(piece);
    await publish(bytes);
    return bytes;
  });
  let ahead = 0;
  let acked: Promise<unknown> = Promise.resolve();
  const output = fromCluster.run(agent, async (piece) => {
    const bytes = await mask(piece);
    ahead += bytes.length;
    const last = publish(bytes).then(() => {
      ahead -= bytes.length;
    });
    acked = Promise.all([acked, last]);
    if (ahead > windowBytes || bytes[0] === status) await acked;
    return bytes;
  });
  await Promise.race([input, output]);
  agent.close(1000);
  cluster.terminate();
  await stream.publish('floor.frames', frame.subarray(0, 400));
}

const webSockets = new WebSocketServer({ noServer: true, perMessageDeflate: false, clientTracking: false });
const server = createServer({ cert: readFileSync(certFile), key: readFileSync(keyFile) });
server.on('upgrade', (incoming: IncomingMessage, socket: Duplex, head: Buffer) => {
  socket.on('error', () => undefined);
  void carry(incoming, socket, head);
});
server.listen(0, '127.0.0.1', () =>
  process.send?.({ kind: 'ready', facts: { port: (server.address() as AddressInfo).port } }),
);
process.on('disconnect', () => process.exit(0));
