import assert from 'node:assert/strict';
import { Agent, createServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { StreamRequest } from '@sluice/model';
import { createAuthority, createServerCertificate } from '@sluice/runtime/certificates';
import { addressOf } from '@sluice/runtime/cluster';
import { Refusal } from '../refusal.ts';
import { type Connecting, createConnect } from './connect.ts';

const authority = await createAuthority('test');
const certificate = await createServerCertificate(authority);
const stream: StreamRequest = {
  kind: 'exec',
  command: ['cat'],
  container: '',
  stdin: true,
  stdout: true,
  stderr: true,
  tty: false,
  ports: [],
};

/** A cluster in the test's hand: `asked` are its requests to switch protocols, `begun` those on which something came behind. */
async function cluster(t: { after(done: () => void): void }, answer: (upgrade: string) => string | null) {
  const asked: string[] = [];
  const begun: string[] = [];
  const server = createServer(certificate);
  server.on('upgrade', ({ headers }, socket: Socket) => {
    socket.on('error', () => undefined);
    t.after(() => void socket.destroy());
    const upgrade = headers.upgrade ?? '';
    asked.push(upgrade);
    socket.once('data', () => begun.push(upgrade));
    const said = answer(upgrade);
    if (said !== null) socket.write(said);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => void server.close());
  const { port } = server.address() as AddressInfo;
  const agent = new Agent({ ca: authority.cert });
  t.after(() => agent.destroy());
  const url = new URL(`https://127.0.0.1:${port}`);
  const connect = createConnect({
    name: 'test',
    server: url,
    address: addressOf(url),
    credentials: async () => ({ agent, headers: {} }),
  });
  const over = new AbortController();
  const connecting = (more: Partial<Connecting> = {}): Connecting => ({
    stream,
    target: '/api/v1/namespaces/a/pods/b/exec',
    headers: {},
    over: over.signal,
    assertCurrent: () => undefined,
    ...more,
  });
  return { asked, begun, connect, connecting, over };
}

const killed = new Refusal('Killed', 'killed by local:alice: enough');
const forbidden = 'HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n';
const spdy =
  'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n';

test('a call that is cut while the cluster has not answered ends with what cut it', async (t) => {
  const { asked, connect, connecting, over } = await cluster(t, (upgrade) =>
    upgrade === 'websocket' ? null : 'never',
  );
  const connected = connect.channels(connecting());
  connected.catch(() => undefined);
  while (asked.length === 0) await sleep(1);
  over.abort(killed);
  await assert.rejects(connected, killed);
});

test('a cluster that takes SPDY and opens no channel is not waited for when the call is over', async (t) => {
  const { begun, connect, connecting, over } = await cluster(t, (upgrade) =>
    upgrade === 'websocket' ? forbidden : spdy,
  );
  const connected = connect.channels(connecting());
  connected.catch(() => undefined);
  while (begun.length === 0) await sleep(1);
  over.abort(killed);
  await assert.rejects(connected, { reasonCode: 'EffectUnknown' });
});

test('nothing goes to the cluster once the policies have changed, over neither protocol', async (t) => {
  const { asked, connect, connecting } = await cluster(t, () => forbidden);
  const changed = new Refusal('AuthorityChanged', 'changed');
  let isCurrent = true;
  const assertCurrent = (): void => {
    if (!isCurrent) throw changed;
    isCurrent = false;
  };
  await assert.rejects(connect.channels(connecting({ assertCurrent })), changed);
  assert.deepEqual(asked, ['websocket']);
});

test('a cluster that switches to what nobody asked for is not read', async (t) => {
  const odd = spdy.replace('v4.channel.k8s.io', 'v9.channel.k8s.io');
  const { connect, connecting } = await cluster(t, (upgrade) => (upgrade === 'websocket' ? forbidden : odd));
  await assert.rejects(connect.channels(connecting()), { reasonCode: 'ResponseWithheld' });
});
