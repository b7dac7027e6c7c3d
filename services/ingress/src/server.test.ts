import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, type TLSSocket } from 'node:tls';
import { createAuthority, createServerCertificate } from '@sluice/runtime/certificates';
import { readLimits } from './limits.ts';
import type { Pipeline } from './pipeline.ts';
import { listen } from './server.ts';

const log = { info() {}, warn() {}, error() {} } as never;

/** A server whose calls are answered by the test. */
async function serve(t: { after(done: () => Promise<void>): void }, pipeline: Pipeline) {
  const { cert, key } = await createServerCertificate(await createAuthority('test'));
  const config = {
    host: '127.0.0.1',
    port: 0,
    tlsCert: Buffer.from(cert),
    tlsKey: Buffer.from(key),
    keysDir: '',
    kubeconfig: '',
    context: '',
    limits: readLimits(),
  };
  const controls = { draining: new AbortController(), stop: new AbortController() };
  const server = await listen(config, pipeline, controls, log);
  t.after(() => server.drain());
  return { port: server.port };
}

async function agent(port: number): Promise<{ readonly socket: TLSSocket; readonly said: () => string }> {
  const socket = connect({ port, rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] });
  let said = '';
  socket.on('data', (chunk: Buffer) => {
    said += chunk.toString('latin1');
  });
  socket.on('error', () => undefined);
  await new Promise((resolve) => socket.once('secureConnect', resolve));
  return { socket, said: () => said };
}

const exec =
  'GET /api/v1/namespaces/a/pods/b/exec HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n';

test('a switch of protocols that is asked for before the last answer is given is not taken', async (t) => {
  const taken: string[] = [];
  const { promise: answered, resolve: answer } = Promise.withResolvers<void>();
  const { port } = await serve(t, async (request, response) => {
    taken.push(request.url ?? '');
    await answered;
    response.end('{}');
  });
  const { socket, said } = await agent(port);
  socket.write(`GET /version HTTP/1.1\r\nHost: x\r\n\r\n${exec}`);
  while (taken.length === 0) await sleep(1);
  await sleep(20);
  answer();
  await new Promise((resolve) => socket.once('close', resolve));
  assert.match(said(), /^HTTP\/1\.1 200 OK\r\n[^]*\{\}$/);
  assert.deepEqual(taken, ['/version']);
});
