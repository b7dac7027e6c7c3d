// Keys as an operator meets them: who may read them, what they let in, and how they are made anew.
import assert from 'node:assert/strict';
import { chmodSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { DemoCluster } from '@sluice/demo-cluster';
import { certificateHolds, type SealKey } from '@sluice/model';
import { ConfigError, createLogger, openBroker } from '@sluice/runtime';
import {
  openDemo,
  reasonCode,
  removeScratch,
  Sluice,
  type SluiceOptions,
  scratch,
  TestBroker,
  type Upstream,
  until,
} from '@sluice/testing';

const dir = scratch();
const log = createLogger('test', '/dev/null');
const secretPath = '/api/v1/namespaces/shop/secrets/web-db';
let upstream: Upstream & { readonly cluster: DemoCluster };
let options: SluiceOptions;
let sluice: Sluice;

before(async () => {
  upstream = await openDemo(dir);
  options = { home: join(dir, 'home'), flags: ['--kubeconfig', upstream.kubeconfig] };
  sluice = await Sluice.start(options);
});
after(async () => {
  await sluice?.stop();
  await upstream?.close();
  removeScratch(dir);
});

interface KeyRow {
  readonly name: string;
  readonly kind: string;
  readonly madeAt: string;
  readonly usedBy: readonly string[];
}

async function keys(): Promise<KeyRow[]> {
  return JSON.parse((await sluice.cli('keys', 'list', '--json')).stdout) as KeyRow[];
}

const keyFile = (name: string): string => join(sluice.home, 'keys', name);
const read = (name: string): string => readFileSync(keyFile(name), 'utf8');

test('keys, and the configuration of the broker, are their owner\u2019s alone', () => {
  const isPublic = (name: string): boolean => name === 'issuer.jwks';
  for (const entry of readdirSync(join(sluice.home, 'keys'), { recursive: true, withFileTypes: true })) {
    const mode = statSync(join(entry.parentPath, entry.name)).mode & 0o777;
    if (entry.isDirectory()) assert.equal(mode, 0o700, entry.name);
    else if (!isPublic(entry.name)) assert.equal(mode, 0o600, entry.name);
  }
  assert.equal(statSync(join(sluice.home, 'broker', 'nats.conf')).mode & 0o777, 0o600);
  assert.doesNotMatch(readFileSync(join(sluice.home, 'broker', 'nats.conf'), 'utf8'), /password|\bSU[A-Z2-7]{56}/);
});

test('the broker of a running Sluice lets in who has an nkey of this home, over TLS, and nobody else', async () => {
  const env = sluice.brokerEnv();
  await (await openBroker(env, 'control test', log)).drain();
  const other = await TestBroker.start();
  const strangers = {
    'an nkey of another home': { ...env, SLUICE_NATS_CREDS_DIR: other.env.SLUICE_NATS_CREDS_DIR },
    'no nkey': { ...env, SLUICE_NATS_CREDS_DIR: '' },
    'another CA': { ...env, SLUICE_NATS_CA: other.env.SLUICE_NATS_CA },
    'no CA': { ...env, SLUICE_NATS_CA: '' },
  };
  for (const [what, stranger] of Object.entries(strangers))
    await assert.rejects(openBroker(stranger, 'control test', log), ConfigError, what);
  await other.close();
});

test('no part is refused anything by the broker while calls are made', async () => {
  assert.equal((await sluice.call('GET', secretPath)).status, 200);
  await until('the call in the record', async () => (await sluice.calls()).length > 0);
  for (const part of ['ingress', 'policy', 'masking', 'approval', 'recorder', 'up'])
    assert.doesNotMatch(readFileSync(join(sluice.home, 'log', `${part}.log`), 'utf8'), /the broker refuses/, part);
});

test('keys are listed: what each is for, and when it was made', async () => {
  const rows = await keys();
  assert.deepEqual(
    rows.map(({ name }) => name),
    [
      'decisions',
      'grants',
      'raw',
      'masks',
      'digests',
      'root',
      'ingress.seal',
      'approval.seal',
      'recorder.seal',
      'issuer',
      'ca',
    ].concat(
      ['ingress', 'policy', 'masking', 'approval', 'recorder', 'control', 'operator'].map((role) => `nats/${role}`),
    ),
  );
  for (const { madeAt, kind, usedBy } of rows) {
    assert.match(madeAt, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
    assert.ok(kind !== '' && usedBy.length > 0);
  }
  assert.match((await sluice.cli('keys', 'list')).stdout, /^NAME +KIND +MADE AT +USED BY\ndecisions +HMAC-SHA256 /);
});

test('while Sluice runs no key is made anew', async () => {
  const before = read('masks.key');
  const { code, stderr } = await sluice.cli('keys', 'rotate', 'masks');
  assert.equal(code, 1);
  assert.match(stderr, /^sluice: Sluice runs already in .*; stop it, .*\n$/);
  assert.equal(read('masks.key'), before);
});

test('a name that no key has, or none at all, is a line', async () => {
  assert.match((await sluice.cli('keys', 'rotate', 'mask')).stderr, /^sluice: there is no key "mask"; .*keys list/);
  assert.match((await sluice.cli('keys', 'rotate')).stderr, /^sluice: name the keys to make anew, or say --all\n$/);
});

test('after all keys are new, the past can be read, and calls go on', async () => {
  const [certified, root, token] = [read('recorder.seal.json'), read('root.pub').trim(), sluice.token()];
  const masked = JSON.parse((await sluice.call('GET', secretPath)).body) as object;
  const past = await until('all calls to have ended in the record', async () => {
    const rows = await sluice.calls();
    return rows.length > 0 && rows.every(({ outcome }) => outcome !== null) && rows.map(({ id }) => id);
  });
  const frames = await sluice.frames(past[0] ?? '');
  await sluice.stop();
  const before = await keys();
  const { code, stdout, stderr } = await sluice.cli('keys', 'rotate', '--all');
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^New: decisions, grants, raw, /);
  assert.match(stdout, /Kubeconfigs of agents made so far work no more/);
  const made = await keys();
  assert.deepEqual(
    made.map(({ name }) => name),
    before.map(({ name }) => name),
  );
  for (const [index, { name, madeAt }] of made.entries()) assert.ok(madeAt > (before[index]?.madeAt ?? ''), name);

  const roots = read('root.pub').trim().split('\n');
  assert.equal(roots.length, 2);
  assert.equal(roots[0], root);
  const holds = (json: string): boolean[] => roots.map((one) => certificateHolds(one, JSON.parse(json) as SealKey));
  assert.deepEqual(holds(certified), [true, false]);
  assert.deepEqual(holds(read('recorder.seal.json')), [false, true]);
  assert.equal(readdirSync(join(sluice.home, 'keys')).filter((name) => name.startsWith('digests.until-')).length, 1);

  sluice = await Sluice.start(options);
  assert.equal((await sluice.call('GET', secretPath)).status, 200);
  assert.equal((await sluice.call('GET', secretPath, '', { authorization: `Bearer ${token}` })).status, 401);
  const writtenBack = await sluice.call('PUT', secretPath, JSON.stringify(masked));
  assert.deepEqual([writtenBack.status, reasonCode(writtenBack)], [422, 'MaskedValueWritten']);
  assert.deepEqual(await sluice.frames(past[0] ?? ''), frames);
  await until('the past beside what is new', async () => {
    const now = new Set((await sluice.calls()).map(({ id }) => id));
    return now.size > past.length && past.every((id) => now.has(id));
  });
});

test('a broker of somebody else learns users and permissions from a block of configuration', async () => {
  const { stdout } = await sluice.cli('keys', 'broker');
  assert.match(stdout, /^authorization \{\n {2}users: \[\n {4}# ingress\n {4}\{ nkey: U[A-Z2-7]{55}, permissions: \{/);
  assert.ok(readFileSync(join(sluice.home, 'broker', 'nats.conf'), 'utf8').endsWith(stdout));
});

test('Sluice does not start with a key that others may read', async () => {
  await sluice.stop();
  for (const name of ['decisions.key', 'nats/masking.creds']) {
    chmodSync(keyFile(name), 0o644);
    const started = new Sluice(options);
    await new Promise((resolve) => started.process.once('close', resolve));
    chmodSync(keyFile(name), 0o600);
    assert.equal(started.process.exitCode, 1);
    assert.match(started.output, new RegExp(`^sluice: .*may read .*${name}; run: chmod 600 .*${name}`, 'm'));
  }
});
