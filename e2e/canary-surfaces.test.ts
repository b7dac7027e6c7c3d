// Every surface on which a secret can come by, against every place where it could stay. Each row of `surfaces.ts` plants
// a canary where a secret stands and a marker where none does: each place must have the markers, so that the search is
// known to see, and no canary.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { createLogger, openBroker } from '@sluice/runtime';
import {
  openScripted,
  removeScratch,
  type ScriptedAnswer,
  type ScriptedCluster,
  Sluice,
  scratch,
  TestBroker,
  until,
} from '@sluice/testing';
import { Hand } from './hand.ts';
import { contentsUnder, Planting } from './planting.ts';
import { type Surface, surfaces } from './surfaces.ts';

const dir = scratch();
const planting = new Planting(surfaces);
/** What went over the broker, sealed or not. */
const wire: Buffer[] = [];
/** What the agent got of the rows that keep secrets from it. */
const shown: string[] = [];
const shownRaw: string[] = [];
let cluster: ScriptedCluster;
let broker: TestBroker;
let ear: Awaited<ReturnType<typeof openBroker>>;
let sluice: Sluice;

function start(env: Readonly<Record<string, string>> = {}): Promise<Sluice> {
  const policies = join(import.meta.dirname, 'policies', 'everything-masked.yaml');
  return Sluice.start({
    home: join(dir, 'home'),
    flags: ['--kubeconfig', cluster.kubeconfig, '--policies', policies],
    env: { ...broker.env, ...env },
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

/** The rows that the agent's own requests or answers mark; each place below has to have these. */
const marked = surfaces.filter((surface) => {
  const of = planting.of(surface);
  const path = typeof surface.path === 'string' ? surface.path : surface.path(of);
  return `${path}${surface.sent?.(of) ?? ''}${JSON.stringify(surface.answer?.(of) ?? '')}`.includes(of.marker);
});

function isAnswer(given: object): given is ScriptedAnswer {
  return 'body' in given;
}

async function play(surface: Surface): Promise<string> {
  const of = planting.of(surface);
  const { method = 'GET', path, headers = {}, sent, answer, status = 200 } = surface;
  cluster.answer = () => {
    const given = answer?.(of) ?? { kind: 'Status', apiVersion: 'v1', metadata: { name: of.marker } };
    return isAnswer(given) ? given : { body: JSON.stringify(given) };
  };
  const target = typeof path === 'string' ? path : path(of);
  const answered = target.includes('/exec?')
    ? await sluice.exec(target)
    : await sluice.call(method, target, sent?.(of) ?? '', typeof headers === 'function' ? headers(of) : headers);
  assert.equal(answered.status, status, `${surface.name}: ${answered.status}`);
  return `${answered.body}\n${JSON.stringify(answered.headers)}`;
}

test('every surface goes by while the recorder is away', async () => {
  await sluice.kill('recorder');
  for (const surface of surfaces) (surface.delivered === 'raw' ? shownRaw : shown).push(await play(surface));
});

test('the agent gets the markers and no canary', () => {
  const answered = marked.filter(
    ({ answer, delivered, status = 200 }) => answer !== undefined && status === 200 && delivered === undefined,
  );
  assert.deepEqual(planting.missed(answered, shown), [], 'markers not seen');
  assert.deepEqual(planting.found('secret', shown), []);
});

test('where a rule lets the values through, the agent gets them', () => {
  const raw = surfaces.filter(({ delivered }) => delivered === 'raw').map(({ name }) => name);
  assert.deepEqual(planting.found('secret', shownRaw), raw);
});

test('what goes over the broker has the markers and no canary', async () => {
  assert.deepEqual(planting.found('secret', await planting.arrived(marked, () => wire)), []);
});

test('the files of the broker have the markers and no canary', async () => {
  assert.deepEqual(planting.found('secret', await planting.arrived(marked, () => contentsUnder(broker.dir))), []);
});

test('nothing in the home of Sluice has a canary, and no output of its parts: no log, no key, no state', () => {
  assert.deepEqual(planting.found('secret', [...contentsUnder(sluice.home), sluice.output]), []);
});

test('the database, and what the CLI tells of it, have the markers and no canary', async () => {
  await sluice.stop();
  sluice = await start();
  const ids = await until('the recorder to be done', async () => {
    const rows = await sluice.calls().catch(() => []);
    const isDone = rows.length >= surfaces.length && rows.every(({ outcome }) => outcome !== null);
    return isDone && rows.map(({ id }) => id);
  });
  const told = [JSON.stringify(await sluice.calls())];
  for (const query of [
    'SELECT * FROM calls',
    'SELECT * FROM decisions',
    'SELECT * FROM sessions',
    'SELECT * FROM frames',
  ])
    told.push((await sluice.cli('sql', query, '--format', 'json')).stdout);
  for (const id of ids.slice(0, 5)) told.push((await sluice.cli('replay', id)).stdout);
  assert.ok(planting.found('marker', told).length > 0, 'the markers would be seen');
  assert.deepEqual(planting.found('secret', told), []);

  await sluice.stop();
  assert.deepEqual(planting.found('secret', [...contentsUnder(sluice.home), sluice.output]), []);
  // Its files are compressed: what is in it is asked for.
  const query = 'SELECT base64Encode(concat(bytes, meta, header)) AS row FROM record';
  const found = await new Hand(sluice.home).select<{ row: string }>(query);
  const rows = found.map(({ row }) => Buffer.from(row, 'base64'));
  assert.deepEqual(planting.missed(marked, rows), [], 'markers not seen');
  assert.deepEqual(planting.found('secret', rows), []);
});
