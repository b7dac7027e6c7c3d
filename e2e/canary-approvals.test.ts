// Every surface of a call that a reviewer is asked about, against every place where an approval leaves something: each
// place must have the markers, so that the search is known to see, and no canary.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { approvals, type ReviewAnswer, type ReviewQuestion, subjects } from '@sluice/model';
import { createLogger, openBroker, openEventLog } from '@sluice/runtime';
import {
  type Answered,
  openScripted,
  reasonCode,
  removeScratch,
  type ScriptedAnswer,
  type ScriptedCluster,
  Sluice,
  scratch,
  TestBroker,
  until,
} from '@sluice/testing';
import { type HeldSurface, heldSurfaces, opaqueBody, userAgent } from './held-surfaces.ts';
import { contentsUnder, Planting } from './planting.ts';

const dir = scratch();
const planting = new Planting(heldSurfaces);
/** Those that have a card of their own. */
const asked = heldSurfaces.filter(({ end }) => end !== 'joined');
/** Those whose sentence has the marker. */
const named = asked.filter(({ markedIn }) => markedIn !== 'target');
/** A process for each command takes its time: these stand for all. */
const printed = ['a Secret patched, while it waits', 'the command of an exec'];
/** What went over the broker, sealed or not. */
const wire: Buffer[] = [];
/** What the agent got. */
const shown: string[] = [];
const reviewer = { name: 'local:alice', groups: [] };
/** By the row's name. */
const approvalOf = new Map<string, string>();
let cluster: ScriptedCluster;
let broker: TestBroker;
let ear: Awaited<ReturnType<typeof openBroker>>;
let sluice: Sluice;

function start(env: Readonly<Record<string, string>> = {}): Promise<Sluice> {
  const policies = join(import.meta.dirname, 'policies', 'everything-asked.yaml');
  return Sluice.start({
    home: join(dir, 'home'),
    flags: ['--kubeconfig', cluster.kubeconfig, '--policies', policies],
    env: { ...broker.env, SLUICE_APPROVAL_QUEUES: 'outside', ...env },
  });
}

before(async () => {
  cluster = await openScripted(dir);
  broker = await TestBroker.start();
  // The recorder is killed below, so that frames stay in the broker's files until they have been looked at.
  sluice = await start({ SLUICE_RESTART_DELAY_MS: '600000' });
  ear = await openBroker(broker.env, 'test', createLogger('test', '/dev/null'));
  ear.listen('>', (payload) => wire.push(Buffer.from(payload)));
});

after(async () => {
  await ear?.drain();
  await sluice?.stop();
  await cluster?.close();
  await broker?.close();
  removeScratch(dir);
});

/** Sluice looks at the object before it asks, and gets all of it. */
function answerFor(surface: HeldSurface): ScriptedAnswer {
  const { secret, marker: name } = planting.of(surface);
  const annotations = { 'kubectl.kubernetes.io/last-applied-configuration': `{"kind":"Secret","data":"${secret}"}` };
  const metadata = { name, namespace: 'shop', uid: 'u-1', resourceVersion: '7', annotations };
  const data = { a: Buffer.from(secret).toString('base64') };
  return { body: JSON.stringify({ apiVersion: 'v1', kind: 'Secret', metadata, data }) };
}

async function call(surface: HeldSurface): Promise<Answered> {
  const of = planting.of(surface);
  const { method, path, headers, sent } = surface;
  cluster.answer = ({ target }) =>
    answerFor(heldSurfaces.find((row) => target.includes(planting.of(row).marker)) ?? surface);
  const isExec = path(of).includes('/exec?');
  const answered = isExec
    ? await sluice.exec(path(of))
    : await sluice.call(method, path(of), sent?.(of) ?? '', headers?.(of) ?? {});
  shown.push(`${answered.body}\n${JSON.stringify(answered.headers)}`);
  return answered;
}

/** What the CLI asks, from a process that is there already. */
async function review<Kind extends ReviewAnswer['kind']>(
  kind: Kind,
  question: ReviewQuestion,
): Promise<Extract<ReviewAnswer, { kind: Kind }>> {
  const reply = await ear.request(subjects.approvalReview, Buffer.from(JSON.stringify(question)), 30_000);
  const answer = JSON.parse(Buffer.from(reply).toString()) as ReviewAnswer;
  assert.equal(answer.kind, kind, JSON.stringify(answer));
  return answer as Extract<ReviewAnswer, { kind: Kind }>;
}

/** The approval that was asked for last. */
async function newest(): Promise<string | undefined> {
  return (await review('list', { kind: 'list', limit: 1 })).approvals[0]?.id;
}

/** With the reviewer's own words: they are shown as they are. */
async function vote(how: 'approve' | 'deny', surface: HeldSurface): Promise<void> {
  const approval = approvalOf.get(surface.name) ?? '';
  const reason = `seen: ${planting.of(surface).marker}`;
  await review('show', { kind: 'vote', approval, vote: how, reason, more: 0, reviewer });
}

test('every surface is asked about while the recorder is away', async () => {
  await sluice.kill('recorder');
  for (const [at, surface] of heldSurfaces.entries()) {
    const { name, end } = surface;
    // That one is made while the one before it waits.
    if (end === 'joined') continue;
    const last = await newest();
    const answer = call(surface);
    const id = await until(`an approval of ${name}`, async () => {
      const found = await newest();
      return found !== last && found;
    });
    approvalOf.set(name, id);
    if (end === 'waiting') {
      const next = heldSurfaces[at + 1];
      assert.ok(next?.end === 'joined');
      assert.equal(reasonCode(await call(next)), 'ApprovalRequired');
    } else assert.equal(reasonCode(await answer), 'ApprovalRequired', name);
    await vote(end === 'denied' ? 'deny' : 'approve', surface);
    if (end === 'denied') continue;
    const passed = await (end === 'waiting' ? answer : call(surface));
    assert.equal(passed.status, 200, `${name}: ${passed.body}`);
  }
});

test('the cluster got each approved call once, as the agent sent it, and no other', () => {
  // Besides, Sluice asks what it may, for no call.
  const changes = cluster.requests.filter(
    ({ method, headers }) => method !== 'GET' && headers['audit-id'] !== undefined,
  );
  const passed = heldSurfaces.filter(({ end }) => end === 'used' || end === 'waiting');
  assert.equal(changes.length, passed.length);
  const sent = changes.flatMap(({ target, body }) => [decodeURIComponent(target), body]);
  const seen = planting.found('secret', sent);
  const withSecret = passed.filter(({ name }) => name !== userAgent);
  assert.deepEqual(
    withSecret.map(({ name }) => name).filter((name) => !seen.includes(name)),
    [],
  );
});

test('the agent gets the markers and no canary', () => {
  assert.deepEqual(planting.missed(named, shown), []);
  assert.deepEqual(planting.found('secret', shown), []);
});

test('the stream of approvals, as it is read and in its files, has the markers and no canary', async () => {
  const events = await openEventLog(ear, approvals.stream);
  const read: Uint8Array[] = [];
  for await (const { payload } of events.read(approvals.subject, 0)) read.push(payload);
  events.close();
  const files = (): Buffer[] =>
    contentsUnder(join(broker.dir, 'jetstream')).filter((bytes) => bytes.includes('sluice.approvals.'));
  for (const place of [() => read, files])
    assert.deepEqual(planting.found('secret', await planting.arrived(heldSurfaces, place)), []);
});

test('what goes over the broker, and all of its files, have the markers and no canary', async () => {
  for (const place of [() => wire, () => contentsUnder(broker.dir)])
    assert.deepEqual(planting.found('secret', await planting.arrived(heldSurfaces, place)), []);
});

test('the queues have the markers and no canary: the keys of Redis, and its files', async () => {
  // An outbox fills them, and Redis writes its file each second.
  const files = await planting.arrived(named, () => contentsUnder(join(sluice.home, 'queue')));
  assert.deepEqual(planting.found('secret', files), []);
  const keys = (await ask('KEYS *')).match(/sluice:\S+/g) ?? [];
  const kinds = ['GET', 'HGETALL', 'SMEMBERS'].flatMap((command) => keys.map((key) => `${command} ${key}`));
  const ranges = keys.flatMap((key) => [`LRANGE ${key} 0 -1`, `ZRANGE ${key} 0 -1`, `XRANGE ${key} - +`]);
  // Of each key one of these is the right one, and the others are errors.
  const values = await ask(...kinds, ...ranges);
  assert.deepEqual(planting.missed(named, [values]), []);
  assert.deepEqual(planting.found('secret', [values]), []);
});

/** All that Redis answers, one command after the other, as it comes over the wire. */
async function ask(...commands: readonly string[]): Promise<string> {
  const config =
    contentsUnder(join(sluice.home, 'queue'))
      .map(String)
      .find((text) => text.includes('requirepass')) ?? '';
  const [, port = ''] = /^port (\d+)$/m.exec(config) ?? [];
  const [, password = ''] = /^requirepass (\S+)$/m.exec(config) ?? [];
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const socket = connect(Number(port), '127.0.0.1');
  let heard = '';
  socket.on('error', reject);
  socket.on('data', (data) => {
    heard += data.toString('latin1');
    if (heard.endsWith('$3\r\nend\r\n')) resolve(heard);
  });
  socket.write([`AUTH ${password}`, ...commands, 'ECHO end', ''].join('\r\n'));
  return promise.finally(() => socket.destroy());
}

test('the log of the approval service has the markers and no canary', () => {
  const log = readFileSync(join(sluice.home, 'log', 'approval.log'));
  assert.deepEqual(planting.missed(named, [log]), []);
  assert.deepEqual(planting.found('secret', [log]), []);
});

test('the list of approvals, for people and as JSON, has the markers and no canary', async () => {
  for (const form of [[], ['--json']]) {
    const { stdout } = await sluice.cli('approvals', 'list', ...form);
    assert.deepEqual(planting.missed(named, [stdout]), []);
    assert.deepEqual(planting.found('secret', [stdout]), []);
  }
});

test('the cards have the markers and no canary, and a mask where the secret was', async () => {
  for (const surface of asked) {
    const approval = approvalOf.get(surface.name) ?? '';
    const card = JSON.stringify(await review('show', { kind: 'show', approval }));
    assert.deepEqual(planting.missed([surface], [card]), []);
    assert.deepEqual(planting.found('secret', [card]), []);
    if (surface.sent === undefined || surface.name === opaqueBody) continue;
    assert.match(card, /sluice-mask:v1:|c2x1aWNlLW1hc2s6/, surface.name);
  }
});

test('a card as the CLI shows it, for people and as JSON, has the marker and no canary', async () => {
  for (const surface of heldSurfaces.filter(({ name }) => printed.includes(name))) {
    for (const form of [[], ['--json']]) {
      const { stdout } = await sluice.cli('approvals', 'show', approvalOf.get(surface.name) ?? '', ...form);
      assert.deepEqual(planting.missed([surface], [stdout]), []);
      assert.deepEqual(planting.found('secret', [stdout]), []);
    }
  }
});

test('nothing in the home of Sluice has a canary, and no output of its parts: no log, no key, no state', () => {
  assert.deepEqual(planting.found('secret', [...contentsUnder(sluice.home), sluice.output]), []);
});

test('the record, by its views and its replays, has the markers and no canary', async () => {
  await sluice.stop();
  sluice = await start();
  const rows = await until('the recorder to be done', async () => {
    const { stdout } = await sluice.cli('sql', '--json', 'SELECT * FROM approvals');
    const found = stdout === '' ? [] : (JSON.parse(stdout) as { id: string; state: string; call: string }[]);
    const isDone = found.every(({ state }) => state === 'used' || state === 'denied');
    return found.length === asked.length && isDone && found;
  });
  const view = JSON.stringify(rows);
  assert.deepEqual(planting.missed(asked, [view]), []);
  const told = [view, JSON.stringify(await sluice.calls())];
  for (const from of ['calls', 'decisions', 'sessions', 'frames'])
    told.push((await sluice.cli('sql', `SELECT * FROM ${from}`, '--format', 'json')).stdout);
  for (const { call: id } of rows.filter((row) => printed.some((name) => approvalOf.get(name) === row.id)))
    told.push((await sluice.cli('replay', id, '--full')).stdout);
  assert.deepEqual(planting.missed(heldSurfaces, told), []);
  assert.deepEqual(planting.found('secret', told), []);
  assert.deepEqual(planting.found('secret', [...contentsUnder(sluice.home), sluice.output]), []);
});
