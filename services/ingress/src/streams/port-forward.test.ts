import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type SpdyEvents, type SpdyHeaders, SpdySession } from '@sluice/kube';
import type { Allow, Decision, FrameMeta } from '@sluice/model';
import type { Ledger } from '@sluice/runtime';
import { loopback } from '@sluice/testing';
import { Budget } from '../budget.ts';
import type { MaskClient } from '../mask-client.ts';
import { AheadFrames, CallRecord } from '../record.ts';
import { Refusal } from '../refusal.ts';
import { socketCarrier } from './carrier.ts';
import { ChannelsRecord } from './channels-record.ts';
import { SpdyForwardAgent } from './forward-agent.ts';
import { forward } from './port-forward.ts';

type Test = { after(done: () => void): void };

const agent = { name: 'demo', issuer: 'sluice', groups: [] };
const subject = { agent, attributes: { kind: 'nonResource', verb: 'get', path: '/' }, rules: [] } as const;
const log = { info() {}, warn() {}, error() {} } as never;
const maskClient: MaskClient = {
  values: async () => [],
  text: async (_subject, _as, piece) => {
    await sleep(5);
    return { bytes: Buffer.from(piece), carry: '', held: 0 };
  },
};
const impersonate = { user: 'tier', groups: [] };
const allowAs = (user: string): Allow =>
  ({ effect: 'allow', obligations: { impersonate: { user, groups: [] } } }) as unknown as Allow;
const allow = allowAs(impersonate.user);
const deny = { effect: 'deny', reasonCode: 'DeniedByRule', reason: 'not this port', hint: '' } as Decision;

/** A SPDY peer in the test's hand. `said`: what it heard, in order. */
function peer(role: 'client' | 'server', socket: Socket) {
  const said: string[] = [];
  const events: SpdyEvents = {
    opened: (stream, headers) => {
      session.reply(stream);
      said.push(`${stream} opened ${headers.get('streamtype')} ${headers.get('port')}`);
    },
    replied: () => undefined,
    data: (stream, bytes, isEnded) => said.push(`${stream} ${bytes.toString()}${isEnded ? ' ended' : ''}`),
    reset: (stream) => said.push(`${stream} reset`),
    goAway: () => undefined,
    writable: () => undefined,
  };
  const session = new SpdySession(role, (bytes) => void socket.write(bytes), events);
  socket.on('data', (chunk: Buffer) => session.push(chunk));
  return { session, said, socket };
}

/** A port-forward between an agent and a cluster, both in the test's hand. */
async function forwarding(t: Test, decide: (port: number) => Promise<Decision>) {
  const [[agentNear, agentFar], [clusterNear, clusterFar]] = await Promise.all([loopback(t), loopback(t)]);
  const recorded: string[] = [];
  const acked: string[] = [];
  const ledger = {
    append: async (_stream: string, { meta }: { meta: FrameMeta['channel'] }) => {
      const what = meta.channel === 'port' ? `${meta.event} ${meta.connection} ${meta.port}` : meta.channel;
      recorded.push(what);
      await sleep(5);
      acked.push(what);
    },
  } as unknown as Ledger;
  const share = new Budget(log).share(agent);
  const call = new CallRecord(ledger, share, '00000000-0000-7000-8000-000000000000', '0'.repeat(32));
  const frames = (): AheadFrames => new AheadFrames(ledger, share, call);
  const cutter = new AbortController();
  const running = forward({
    agent: new SpdyForwardAgent(socketCarrier(agentNear, Buffer.alloc(0)), 'SPDY/3.1 portforward.k8s.io'),
    cluster: { socket: clusterNear, head: Buffer.alloc(0), protocol: 'portforward.k8s.io' },
    record: new ChannelsRecord(frames(), frames()),
    maskClient,
    subject,
    allow,
    decide,
    ports: new Set(),
    cut: cutter.signal,
  });
  running.catch(() => undefined);
  const client = peer('client', agentFar);
  let count = 0;
  /** Opens a connection, and returns its streams. */
  const open = (port: number): { readonly error: number; readonly data: number } => {
    const headers = (streamtype: string): SpdyHeaders =>
      new Map([
        ['streamtype', streamtype],
        ['port', String(port)],
        ['requestid', String(count)],
      ]);
    const error = client.session.open(headers('error'));
    const data = client.session.open(headers('data'));
    count++;
    return { error, data };
  };
  return { agent: client, cluster: peer('server', clusterFar), open, recorded, acked, running, cut: cutter };
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await sleep(1);
}

test('bytes wait for the decision about their port, and for its record', async (t) => {
  const { promise, resolve } = Promise.withResolvers<Decision>();
  const { agent, cluster, open, recorded, acked } = await forwarding(t, () => promise);
  const { data } = open(80);
  agent.session.write(data, Buffer.from('GET /'));
  await sleep(20);
  assert.deepEqual([recorded, cluster.said], [[], []]);
  resolve(allow);
  await until(() => recorded.length > 0);
  assert.deepEqual([recorded, cluster.said], [['opened 1 80'], []]);
  await until(() => cluster.said.includes('3 GET /'));
  assert.deepEqual(acked, ['opened 1 80']);
  assert.deepEqual(cluster.said, ['1 opened error 80', '1  ended', '3 opened data 80', '3 GET /']);
  cluster.session.write(3, Buffer.from('200'));
  cluster.session.end(3);
  agent.session.end(data);
  await until(() => recorded.includes('closed 1 80'));
  await until(() => agent.said.includes(`${data} 200`));
});

test('a port that is refused is told so on its error stream, and another one goes on', async (t) => {
  const { agent, cluster, open, acked } = await forwarding(t, async (port) => (port === 80 ? allow : deny));
  const refused = open(5432);
  agent.session.write(refused.data, Buffer.from('SELECT'));
  await until(() => agent.said.some((what) => what.startsWith(`${refused.error} Error from Sluice (DeniedByRule)`)));
  assert.deepEqual(acked, ['refused 1 5432']);
  agent.session.write(open(80).data, Buffer.from('GET /'));
  await until(() => cluster.said.includes('3 GET /'));
  assert.ok(!cluster.said.join().includes('SELECT'));
});

test('a port that would be reached under another identity is refused', async (t) => {
  const { agent, cluster, open } = await forwarding(t, async () => allowAs('other'));
  const { error } = open(80);
  await until(() => agent.said.some((what) => what.startsWith(`${error} Error from Sluice (AuthorityChanged)`)));
  assert.deepEqual(cluster.said, []);
});

test('a connection that is given up before it is decided is not opened', async (t) => {
  const { promise, resolve } = Promise.withResolvers<Decision>();
  const { agent, cluster, open, recorded } = await forwarding(t, (port) =>
    port === 80 ? promise : Promise.resolve(allow),
  );
  const { data } = open(80);
  await sleep(10);
  agent.session.reset(data);
  open(81);
  await until(() => cluster.said.includes('3 opened data 81'));
  resolve(allow);
  await sleep(20);
  assert.deepEqual(recorded, ['opened 2 81']);
  assert.equal(cluster.said.filter((what) => what.includes('opened')).length, 2);
});

test('a cluster that takes no more connections ends none, and each new one is told', async (t) => {
  const { agent, cluster, open } = await forwarding(t, async () => allow);
  const first = open(80);
  await until(() => cluster.said.includes('3 opened data 80'));
  cluster.session.goAway();
  // What comes behind it says that it was heard.
  cluster.session.write(3, Buffer.from('words'));
  await until(() => agent.said.includes(`${first.data} words`));
  const second = open(81);
  await until(() => agent.said.some((what) => what.includes('takes no more connections')));
  assert.ok(agent.said.find((what) => what.includes('takes no more'))?.startsWith(`${second.error} `));
  agent.session.write(first.data, Buffer.from('still here'));
  await until(() => cluster.said.includes('3 still here'));
});

test('what an agent does not take stays with the cluster', async (t) => {
  const { agent, cluster, open } = await forwarding(t, async () => allow);
  // A window, once set, is kept to: 16 bytes for each stream.
  agent.socket.write(Buffer.from('800300040000000c000000010000000700000010', 'hex'));
  const { data } = open(80);
  await until(() => cluster.said.includes('3 opened data 80'));
  for (let count = 0; count < 32; count++) cluster.session.write(3, Buffer.alloc(1024 * 1024));
  let left = -1;
  for (; left !== cluster.socket.writableLength; await sleep(100)) left = cluster.socket.writableLength;
  assert.ok(left > 8 * 1024 * 1024, `${left} bytes are left`);
  agent.session.reset(data);
  await until(() => cluster.said.includes('3 reset'));
});

test('what the cluster complains of comes before the end of the connection', async (t) => {
  const { agent, cluster, open } = await forwarding(t, async () => allow);
  const { error, data } = open(80);
  await until(() => cluster.said.includes('3 opened data 80'));
  cluster.session.write(1, Buffer.from('connection refused'));
  cluster.session.end(1);
  cluster.session.end(3);
  await until(() => agent.said.includes(`${data}  ended`));
  assert.ok(agent.said.includes(`${error} connection refused`), agent.said.join(' | '));
});

test('a cut is told to every connection, decided or not', async (t) => {
  const { agent, cluster, open, running, cut, recorded } = await forwarding(t, async (port) =>
    port === 80 ? allow : new Promise<Decision>(() => undefined),
  );
  const connections = [open(80), open(81)];
  await until(() => cluster.said.includes('3 opened data 80'));
  const why = new Refusal('Killed', 'killed by local:alice: enough');
  agent.socket.on('end', () => agent.socket.end());
  cut.abort(why);
  await assert.rejects(running, why);
  await until(() => agent.socket.destroyed);
  for (const { error } of connections)
    assert.ok(agent.said.includes(`${error} sluice: ${why.message}`), agent.said.join(' | '));
  assert.deepEqual(recorded, ['opened 1 80', 'closed 1 80']);
});

test('a failure that nobody foresaw ends the port-forward, and nothing else', async (t) => {
  const { open, running } = await forwarding(t, async () => {
    throw new TypeError('a mistake');
  });
  open(80);
  await assert.rejects(running, TypeError);
});
