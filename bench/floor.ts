// The floor: a naive gate with Sluice's hops and nothing else. TLS, ask, write-ahead with its ack, the call upstream,
// a sealed masking hop, the body's ack, the outcome; no token, no policy, no masks, no frames, no limits.
// `floor.ts gate …` is the gate; `floor.ts worker` answers asks and masking hops, and drains the streams.
import { createSecretKey, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Agent, createServer, request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { AckPolicy, jetstream, jetstreamManager, RetentionPolicy } from '@nats-io/jetstream';
import { createLogger, openBroker } from '@sluice/runtime';
import { openSeal, seal, sealNonce } from '@sluice/runtime/raw';

const [role = ''] = process.argv.slice(2);
const { nats } = await openBroker(process.env, 'test floor', createLogger('floor', '/dev/null'));
const key = createSecretKey(Buffer.alloc(32, 1));
const frame = randomBytes(1200);
const decision = randomBytes(400);

async function worker(): Promise<void> {
  const manager = await jetstreamManager(nats);
  await manager.streams.add({
    name: 'FLOOR',
    subjects: ['floor.frames'],
    retention: RetentionPolicy.Workqueue,
    max_bytes: 1 << 28,
  });
  await manager.consumers.add('FLOOR', {
    durable_name: 'floor',
    ack_policy: AckPolicy.Explicit,
    max_ack_pending: 10_000,
  });
  const consumer = await jetstream(nats).consumers.get('FLOOR', 'floor');
  await consumer.consume({ max_messages: 5_000, callback: (message) => message.ack() });
  nats.subscribe('floor.ask', { callback: (_error, message) => void message.respond(decision) });
  nats.subscribe('floor.mask', {
    callback: (_error, message) => {
      const opened = openSeal(key, { kind: 'request' }, message.data);
      message.respond(seal(key, { kind: 'reply', to: sealNonce(message.data) }, [opened]));
    },
  });
  await nats.flush();
  process.send?.({ kind: 'ready', facts: {} });
}

function gate(): void {
  const [, certFile = '', keyFile = '', caFile = '', upstreamPort = '', token = ''] = process.argv.slice(2);
  const agent = new Agent({ keepAlive: true, maxSockets: 256, ca: readFileSync(caFile) });
  const stream = jetstream(nats);
  const server = createServer({ cert: readFileSync(certFile), key: readFileSync(keyFile) }, (incoming, outgoing) => {
    void (async () => {
      await nats.request('floor.ask', frame.subarray(0, 400), { timeout: 2_000 });
      await stream.publish('floor.frames', frame);
      const headers = { authorization: `Bearer ${token}` };
      const upstream = request({ agent, port: Number(upstreamPort), host: '127.0.0.1', path: incoming.url, headers });
      upstream.end();
      const body = await new Promise<Buffer>((resolve) => {
        upstream.on('response', (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('end', () => resolve(Buffer.concat(chunks)));
        });
      });
      const sealed = seal(key, { kind: 'request' }, [body]);
      const { data } = await nats.request('floor.mask', sealed, { timeout: 2_000 });
      const masked = openSeal(key, { kind: 'reply', to: sealNonce(sealed) }, data);
      await stream.publish('floor.frames', Buffer.concat([frame.subarray(0, 300), masked]));
      outgoing.writeHead(200, { 'content-type': 'application/json', 'content-length': masked.length }).end(masked);
      await stream.publish('floor.frames', frame.subarray(0, 400));
    })();
  });
  server.keepAliveTimeout = 60_000;
  server.listen(0, '127.0.0.1', () =>
    process.send?.({ kind: 'ready', facts: { port: (server.address() as AddressInfo).port } }),
  );
}

process.on('disconnect', () => process.exit(0));
if (role === 'worker') await worker();
else gate();
