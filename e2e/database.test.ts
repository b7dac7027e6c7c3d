// The recorder's database is full, or slow: calls go on, what is not at rest stays with the broker, and memory holds.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { consumerOf, partitions, streams } from '@sluice/model';
import { createLogger, openBroker } from '@sluice/runtime';
import { openScripted, removeScratch, type ScriptedCluster, Sluice, scratch, TestBroker, until } from '@sluice/testing';
import { TestClickHouse } from '@sluice/testing/clickhouse';

const dir = scratch();
const mebibyte = 1024 * 1024;
let server: TestBroker;
let broker: Awaited<ReturnType<typeof openBroker>>;
let database: TestClickHouse;
let cluster: ScriptedCluster;
let sluice: Sluice;

const policy = `apiVersion: sluice.internal/v1alpha1
kind: AccessPolicy
metadata: { name: all }
spec:
  subjects: [{ agent: "*" }]
  obligations: { record: full, impersonate: { user: "sluice:tier:demo", groups: ["sluice:demo"] } }
  rules:
    - { name: everything, effect: allow, verbs: ["*"], resources: ["*"] }
`;
const configMaps = '/api/v1/namespaces/n/configmaps';
const configMap = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"small"}}';
const bigConfigMap = JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', data: { text: 'x '.repeat(mebibyte / 2) } });

before(async () => {
  server = await TestBroker.start();
  broker = await openBroker(server.env, 'test', createLogger('test', '/dev/null'));
  database = await TestClickHouse.start(join(dir, 'clickhouse'));
  cluster = await openScripted(dir);
  cluster.answer = ({ method, target }) => ({
    status: method === 'POST' ? 201 : 200,
    body: target.endsWith('/big') ? bigConfigMap : configMap,
  });
  mkdirSync(join(dir, 'policies'));
  writeFileSync(join(dir, 'policies', 'all.yaml'), policy);
  sluice = await Sluice.start({
    home: join(dir, 'home'),
    flags: ['--kubeconfig', cluster.kubeconfig, '--policies', join(dir, 'policies')],
    env: { ...server.env, ...database.env, SLUICE_BYTES_MAX_BYTES: String(16 * mebibyte) },
  });
});

after(async () => {
  await sluice?.stop();
  await broker?.drain();
  await server?.close();
  await cluster?.close();
  await database?.close();
  removeScratch(dir);
});

interface StreamState {
  readonly messages: number;
  readonly first_seq: number;
}

async function stateOf(stream: string): Promise<StreamState> {
  const info = await broker.request(`$JS.API.STREAM.INFO.${stream}`, new Uint8Array(0), 30_000);
  return (JSON.parse(Buffer.from(info).toString()) as { state: StreamState }).state;
}

/** Frames of calls that the recorder has been handed and has not acknowledged. */
async function inHand(): Promise<number> {
  let sum = 0;
  for (let partition = 0; partition < partitions; partition++) {
    const subject = `$JS.API.CONSUMER.INFO.${streams.calls.name}.${consumerOf(partition)}`;
    const info = await broker.request(subject, new Uint8Array(0), 30_000);
    sum += (JSON.parse(Buffer.from(info).toString()) as { num_ack_pending: number }).num_ack_pending;
  }
  return sum;
}

const atRest = async (): Promise<boolean> =>
  (await stateOf('CALLS')).messages === 0 && (await stateOf('BYTES')).messages === 0;

/** Every ledger is in the database without a gap and without a copy, and every call has one outcome. */
async function assertWhole(): Promise<void> {
  interface Counted {
    readonly ledger: string;
    readonly rows: string;
    readonly frames: string;
    readonly last: string;
  }
  const ledgers = await database.rows<Counted>(
    'SELECT ledger, count() AS rows, uniqExact(seq) AS frames, max(seq) AS last FROM record GROUP BY ledger',
  );
  assert.ok(ledgers.length >= 2);
  for (const { ledger, rows, frames, last } of ledgers) {
    assert.equal(frames, last, `${ledger} has a gap`);
    assert.equal(rows, frames, `${ledger} has a copy`);
  }
  const strange = await database.rows(
    `SELECT call, countIf(kind = 'call') AS calls, countIf(kind = 'outcome') AS outcomes FROM record
     WHERE kind IN ('call', 'outcome') GROUP BY call HAVING calls != 1 OR outcomes != 1`,
  );
  assert.deepEqual(strange, []);
}

const small = async (): Promise<number> => (await sluice.call('GET', `${configMaps}/small`)).status;
const write = async (): Promise<number> => (await sluice.call('POST', configMaps, configMap)).status;

test('a full disk under the database: calls go on, not a frame is acknowledged, and all arrives when there is room', async () => {
  await until('the first frames to be at rest', atRest);
  const { first_seq } = await stateOf('CALLS');
  database.onInsert = (table) => (table === 'record' ? 'disk-full' : 'stored');
  for (let index = 0; index < 10; index++) assert.deepEqual([await small(), await write()], [200, 201]);
  await until('the batch to be tried again', () => database.refused >= 3);
  const held = await stateOf('CALLS');
  assert.ok(held.messages >= 40, `${held.messages} frames are with the broker`);
  assert.equal(held.first_seq, first_seq);
  assert.ok((await inHand()) > 0);
  assert.match(readFileSync(join(sluice.home, 'log', 'recorder.log'), 'utf8'), /"code":"243"/);
  database.onInsert = () => 'stored';
  await until('all frames to be at rest', atRest);
  await assertWhole();
});

test('a database that takes 5 s for each insert, for a minute: calls go on, memory holds, nothing is dropped', async () => {
  database.onInsert = () => sleep(5_000, 'stored' as const);
  const endMs = performance.now() + 60_000;
  const isOver = (): boolean => performance.now() > endMs;
  const statuses = new Map<string, number>();
  const count = (what: string, status: number): void => {
    statuses.set(`${what} ${status}`, (statuses.get(`${what} ${status}`) ?? 0) + 1);
  };
  const { stdout } = await sluice.cli('kubeconfig', '--agent', 'heavy');
  const heavy = { authorization: `Bearer ${/token: (\S+)/.exec(stdout)?.[1]}` };
  const readsBig = async (): Promise<void> => {
    while (!isOver()) count('big', (await sluice.call('GET', `${configMaps}/big`, '', heavy)).status);
  };
  const goesOn = async (): Promise<void> => {
    for (; !isOver(); await sleep(100)) {
      count('small', await small());
      count('write', await write());
    }
  };
  const rss: Record<'ingress' | 'recorder', number[]> = { ingress: [], recorder: [] };
  const watches = async (): Promise<void> => {
    for (; !isOver(); await sleep(500)) {
      for (const part of ['ingress', 'recorder'] as const)
        rss[part].push(residentBytes(sluice.state().parts[part] ?? 0));
    }
  };
  await Promise.all([readsBig(), readsBig(), readsBig(), readsBig(), goesOn(), watches()]);

  assert.deepEqual([...statuses.keys()].sort(), ['big 200', 'small 200', 'write 201']);
  assert.ok((statuses.get('small 200') ?? 0) > 50, 'the other agent went on all the time');
  // A recorder's heap comes to its size within ten inserts or so, which is most of this minute.
  for (const [part, limit] of [
    ['ingress', 64 * mebibyte],
    ['recorder', 128 * mebibyte],
  ] as const) {
    const samples = rss[part];
    const early = Math.max(...samples.slice(0, samples.length / 3));
    const late = Math.max(...samples.slice((samples.length * 2) / 3));
    assert.ok(late - early <= limit, `${part} grew from ${early} to ${late} bytes`);
  }
  database.onInsert = () => 'stored';
  await until('all frames to be at rest', atRest);
  await assertWhole();
});

function residentBytes(pid: number): number {
  const kibibytes = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kibibytes) * 1024;
}
