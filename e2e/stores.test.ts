// The broker's stores fill up while the recorder is away: one agent's bodies leave room for others, calls that cannot
// be recorded are not made, nothing is lost, and all heals by itself.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import {
  decodeFrame,
  type FrameMeta,
  type FrameRow,
  type RecordsAnswer,
  type RecordsQuestion,
  subjects,
} from '@sluice/model';
import { createLogger, openBroker, type StoreLevel, storeLevel } from '@sluice/runtime';
import {
  type Answered,
  openScripted,
  reasonCode,
  removeScratch,
  type ScriptedCluster,
  Sluice,
  scratch,
  TestBroker,
  until,
} from '@sluice/testing';

const dir = scratch();
const mebibyte = 1024 * 1024;
const storeBytes = 16 * mebibyte;
let server: TestBroker;
let broker: Awaited<ReturnType<typeof openBroker>>;
let cluster: ScriptedCluster;
let sluice: Sluice;

const policy = `apiVersion: sluice.internal/v1alpha1
kind: AccessPolicy
metadata: { name: all }
spec:
  subjects: [{ agent: "*" }]
  obligations:
    record: full
    impersonate: { user: "sluice:tier:demo", groups: ["sluice:demo"] }
  rules:
    - { name: everything, effect: allow, verbs: ["*"], resources: ["*"] }
`;

/** A list of a mebibyte; its name stands in it, so that no two are the same. */
function bigList(name: string): string {
  const item = (index: number) => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: `${name}-${index}`, namespace: 'n' },
    data: { text: 'all work and no play '.repeat(3_120) },
  });
  const items = Array.from({ length: 16 }, (_, index) => item(index));
  return JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMapList', metadata: { resourceVersion: '1' }, items });
}

before(async () => {
  server = await TestBroker.start();
  broker = await openBroker(server.env, 'test', createLogger('test', '/dev/null'));
  cluster = await openScripted(dir);
  cluster.answer = ({ method, target }) => {
    const name = /fieldSelector=metadata.name%3D([a-z0-9-]+)/.exec(target)?.[1];
    const body = name === undefined ? '{"apiVersion":"v1","kind":"ConfigMap"}' : bigList(name);
    return { status: method === 'POST' ? 201 : 200, body };
  };
  mkdirSync(join(dir, 'policies'));
  writeFileSync(join(dir, 'policies', 'all.yaml'), policy);
  sluice = await Sluice.start({
    home: join(dir, 'home'),
    flags: ['--kubeconfig', cluster.kubeconfig, '--policies', join(dir, 'policies')],
    env: {
      ...server.env,
      SLUICE_CALLS_MAX_BYTES: String(storeBytes),
      SLUICE_BYTES_MAX_BYTES: String(storeBytes),
    },
  });
});

after(async () => {
  await sluice?.stop();
  await broker?.drain();
  await server?.close();
  await cluster?.close();
  removeScratch(dir);
});

type Caller = (method: string, path: string, body?: string) => Promise<Answered>;

/** Calls as an agent of its own. */
async function agent(name: string): Promise<Caller> {
  const { stdout } = await sluice.cli('kubeconfig', '--agent', name);
  const authorization = `Bearer ${/token: (\S+)/.exec(stdout)?.[1]}`;
  return (method, path, body = '') => sluice.call(method, path, body, { authorization });
}

const configMaps = '/api/v1/namespaces/n/configmaps';
const big = (name: string): string => `${configMaps}?fieldSelector=metadata.name%3D${name}`;
const newConfigMap = (name: string, text = ''): string =>
  JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace: 'n' }, data: { text } });

/** The recorder stops where it is; returns what lets it go on. */
function stopRecorder(): () => void {
  const pid = sluice.state().parts['recorder'] ?? 0;
  process.kill(pid, 'SIGSTOP');
  return () => void process.kill(pid, 'SIGCONT');
}

async function level(stream: 'calls' | 'bytes'): Promise<StoreLevel> {
  return until(`the level of ${stream}`, () => storeLevel(broker, stream));
}

async function firstSeq(): Promise<number> {
  const info = await broker.request('$JS.API.STREAM.INFO.CALLS', new Uint8Array(0), 5_000);
  return (JSON.parse(Buffer.from(info).toString()) as { state: { first_seq: number } }).state.first_seq;
}

const ingressLog = (): string => readFileSync(join(sluice.home, 'log', 'ingress.log'), 'utf8');
const sha256 = (text: string | Buffer): string => createHash('sha256').update(text).digest('hex');

async function ask<K extends RecordsAnswer['kind']>(
  question: RecordsQuestion & { readonly kind: K },
): Promise<Extract<RecordsAnswer, { kind: K }> | undefined> {
  const answer = await broker
    .request(subjects.records, Buffer.from(JSON.stringify(question)), 10_000)
    .catch(() => null);
  if (answer === null) return undefined;
  const said = JSON.parse(Buffer.from(answer).toString()) as RecordsAnswer;
  return said.kind === question.kind ? (said as Extract<RecordsAnswer, { kind: K }>) : undefined;
}

async function framesOf(call: string): Promise<readonly FrameRow[]> {
  const frames: FrameRow[] = [];
  for (let more = true; more; ) {
    const after = frames.at(-1) ?? null;
    const part = await until(`the frames of ${call}`, () => ask({ kind: 'frames', call, after }));
    frames.push(...part.frames);
    more = part.more;
  }
  return frames;
}

/** Every call of the agent has its outcome, once. Returns the SHA-256 of each recorded answer. */
async function recordOf(agent: string): Promise<ReadonlySet<string>> {
  const calls = await until(`every outcome of ${agent}`, async () => {
    const rows = (await ask({ kind: 'calls', agent, limit: 1_000 }))?.calls ?? [];
    return rows.length > 0 && rows.every(({ outcome }) => outcome !== null) && rows;
  });
  // Bodies have a store of their own: they may come behind the outcomes.
  await until('every body', async () => (await level('bytes')).usedBytes === 0);
  const answers = new Set<string>();
  for (const { id } of calls) {
    const frames = await framesOf(id);
    for (const kind of ['call', 'outcome']) assert.equal(frames.filter((frame) => frame.kind === kind).length, 1, id);
    const parts = frames.filter(({ kind }) => kind === 'response').sort((a, b) => a.offset - b.offset);
    answers.add(sha256(Buffer.concat(parts.map(({ bytesBase64 }) => Buffer.from(bytesBase64, 'base64')))));
  }
  return answers;
}

test('one agent fills half of the store of bodies: its answers pause, others go on, and all arrive whole', async () => {
  const heavy = await agent('heavy');
  const light = await agent('light');
  const goOn = stopRecorder();
  const answers = new Map<string, Answered>();
  const names = Array.from({ length: 24 }, (_, index) => `heavy-${index}`);
  const answering = names.map(async (name) => {
    answers.set(name, await heavy('GET', big(name)));
  });
  await until('an answer to wait for room', () => ingressLog().includes('wait for room'));

  for (let index = 0; index < 5; index++) {
    const name = `light-${index}`;
    assert.equal((await light('GET', `${configMaps}/${name}`)).status, 200);
    assert.equal((await light('POST', configMaps, newConfigMap(name))).status, 201);
    const listed = await light('GET', configMaps);
    assert.equal(listed.status, 200);
  }
  const list = await light('GET', big('light'));
  assert.equal(sha256(list.body), sha256(bigList('light')), 'a big answer to somebody else');
  assert.ok(answers.size < names.length, 'answers to the heavy agent wait');
  const { usedBytes, maxBytes } = await level('bytes');
  assert.equal(maxBytes, storeBytes);
  assert.ok(usedBytes > storeBytes / 3 && usedBytes < storeBytes * 0.75, `${usedBytes} bytes are stored`);

  goOn();
  await Promise.all(answering);
  for (const [name, { status, body }] of answers) {
    assert.equal(status, 200, body);
    assert.equal(sha256(body), sha256(bigList(name)));
  }
  const recorded = await recordOf('heavy');
  for (const name of names) assert.ok(recorded.has(sha256(bigList(name))), `the record has ${name} whole`);
  await recordOf('light');
});

test('agents that leave while their answers wait for room hold nothing', async () => {
  await until('an empty store', async () => (await level('bytes')).usedBytes === 0);
  /** By call: a frame whose ack is late goes again. */
  const ends = new Map<string, FrameMeta['outcome']>();
  const listening = broker.nats.subscribe('sluice.calls.*', {
    callback: (_, { data }) => {
      const { kind, call, meta } = decodeFrame(data);
      if (kind === 'outcome') ends.set(call, JSON.parse(meta) as FrameMeta['outcome']);
    },
  });
  const goOn = stopRecorder();
  const count = 16;
  const sockets = await Promise.all(Array.from({ length: count }, () => sluice.socket()));
  for (const [index, socket] of sockets.entries()) {
    socket.on('error', () => undefined).resume();
    const head = [`GET ${big(`leaver-${index}`)} HTTP/1.1`, 'Host: sluice', `Authorization: Bearer ${sluice.token()}`];
    socket.write([...head, '', ''].join('\r\n'));
  }
  await until('the agent to have its half', async () => (await level('bytes')).usedBytes > storeBytes / 2 - mebibyte);
  for (const socket of sockets) socket.destroy();
  await until('the end of every call', () => ends.size === count);
  listening.unsubscribe();
  assert.ok([...ends.values()].filter(({ outcome }) => outcome === 'aborted').length >= 4, 'most of those that waited');
  goOn();
});

test('a full store of calls: new calls are refused at once, the cluster sees nothing of them, and all heals', async () => {
  const writer = await agent('writer');
  await until('an empty store', async () => (await level('calls')).usedBytes === 0);
  const goOn = stopRecorder();
  const first = await firstSeq();
  const text = 'all work and no play '.repeat(130_000);
  const made: string[] = [];
  let refused: Answered | undefined;
  for (let index = 0; refused === undefined; index++) {
    const name = `full-${index}`;
    const answered = await writer('POST', configMaps, newConfigMap(name, text));
    if (answered.status === 201) made.push(name);
    else refused = answered;
  }
  assert.ok(made.length >= 4);
  assert.equal(refused.status, 503);
  const seen = cluster.requests.length;
  for (const [method, path, body] of [
    ['GET', `${configMaps}/refused`, ''],
    ['GET', configMaps, ''],
    ['POST', configMaps, newConfigMap('refused')],
  ] as const) {
    const answered = await writer(method, path, body);
    assert.equal(answered.status, 503);
    assert.equal(reasonCode(answered), 'RecordUnavailable');
    assert.equal(answered.headers['retry-after'], '1');
  }
  assert.equal(cluster.requests.length, seen, 'the cluster sees nothing of what cannot be recorded');
  assert.equal(await firstSeq(), first, 'what is there stays there');
  const applied = await sluice.cli('policy', 'apply', join(dir, 'policies'));
  assert.equal(applied.code, 0, applied.stderr);

  goOn();
  await until('calls to go through again', async () => {
    return (await writer('POST', configMaps, newConfigMap('healed'))).status === 201;
  });
  const posted = cluster.requests.filter(({ method }) => method === 'POST').map(({ body }) => body.toString());
  for (const name of made) assert.equal(posted.filter((body) => body.includes(`"${name}"`)).length, 1, name);
  assert.equal((await writer('GET', `${configMaps}/healed`)).status, 200);
  await recordOf('writer');
  // A call that is refused at once is not written down, to wait for an ack that does not come.
  const names = await until('the last call', async () => {
    const rows = (await ask({ kind: 'calls', agent: 'writer', limit: 1_000 }))?.calls.map(({ name }) => name);
    return rows?.includes('healed') && rows;
  });
  assert.ok(!names.includes('refused'), 'what was refused at once is in the record');
});
