// kubectl on objects whose values it sees masked: what it does to them is what it would do without Sluice, and what it
// would write back masked is refused. After each step the cluster itself is asked what it holds.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { type Ended, openUpstream, removeScratch, run, Sluice, scratch, type Upstream } from '@sluice/testing';

const dir = scratch();
const values = { password: 'a-password-of-the-test-1', username: 'somebody-of-the-test' } as const;
const base64 = (text: string | Buffer): string => Buffer.from(text).toString('base64');
const maskIn64 = base64('sluice-mask:v1:');
let upstream: Upstream;
let sluice: Sluice;

before(async () => {
  upstream = await openUpstream(dir);
  sluice = await Sluice.start({ home: join(dir, 'home'), flags: ['--kubeconfig', upstream.kubeconfig] });
  await cleaned();
});

after(async () => {
  await cleaned();
  await sluice?.stop();
  await upstream?.close();
  removeScratch(dir);
});

async function cleaned(): Promise<void> {
  await sluice?.kubectl('delete', 'secret,configmap', '-l', 'test=write-back', '--ignore-not-found');
}

/** Past Sluice, with the identity that its calls have there. */
function asTier(...args: readonly string[]): Promise<Ended> {
  const identity = ['--kubeconfig', upstream.kubeconfig, '--as', 'sluice:tier:demo', '--as-group', 'sluice:demo'];
  return run('kubectl', [...identity, '-n', 'default', ...args], process.env);
}

interface Stored {
  readonly metadata: { readonly labels?: Record<string, string>; readonly annotations?: Record<string, string> };
  readonly data: Record<string, string>;
}

async function stored(name = 'written'): Promise<Stored> {
  const { stdout, stderr } = await asTier('get', 'secret', name, '-o', 'json');
  assert.notEqual(stdout, '', stderr);
  return JSON.parse(stdout) as Stored;
}

/** The Secret in the cluster has these values, and no mask anywhere. */
async function assertHolds(expected: Readonly<Record<string, string>>, name = 'written'): Promise<Stored> {
  const object = await stored(name);
  assert.deepEqual(
    Object.fromEntries(
      Object.entries(object.data).map(([key, value]) => [key, Buffer.from(value, 'base64').toString()]),
    ),
    expected,
  );
  const text = JSON.stringify(object);
  assert.ok(!text.includes('sluice-mask:') && !text.includes(maskIn64), 'the cluster holds a mask');
  return object;
}

/** Through Sluice, as the agent; every output is looked through for the values. */
async function kubectl(...args: readonly string[]): Promise<Ended> {
  const ended = await sluice.kubectl('-n', 'default', ...args);
  assertMasked(ended);
  return ended;
}

function assertMasked({ stdout, stderr }: Ended): void {
  for (const value of Object.values(values)) {
    assert.ok(!stdout.includes(value) && !stderr.includes(value), 'a value came out');
    assert.ok(!stdout.includes(base64(value)) && !stderr.includes(base64(value)), 'a value came out in base64');
  }
}

async function succeeds(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await kubectl(...args);
  assert.equal(code, 0, stderr);
  return stdout;
}

function manifest(more: object = {}, stringData: Readonly<Record<string, string>> = values, name = 'written'): string {
  const file = join(dir, `${name}.json`);
  const metadata = { name, namespace: 'default', labels: { test: 'write-back' }, ...more };
  writeFileSync(file, JSON.stringify({ apiVersion: 'v1', kind: 'Secret', metadata, stringData, type: 'Opaque' }));
  return file;
}

/** An object as Sluice shows it, in a file. */
async function shownIn(file: string, ...args: readonly string[]): Promise<string> {
  const path = join(dir, file);
  writeFileSync(path, await succeeds('get', ...args));
  return path;
}

function refusedAsMask({ code, stderr }: Ended): void {
  assert.notEqual(code, 0);
  assert.match(stderr, /holds a mask in place of a secret, and writing it would destroy the secret/);
}

test('apply creates, and applies again, without a trace of a mask', async () => {
  await succeeds('apply', '-f', manifest());
  await assertHolds(values);
  await succeeds('apply', '-f', manifest());
  await assertHolds(values);
  await succeeds('apply', '-f', manifest({ labels: { test: 'write-back', again: 'yes' } }));
  assert.equal((await assertHolds(values)).metadata.labels?.['again'], 'yes');
});

test('get and describe show masks that clients can read', async () => {
  const yaml = await succeeds('get', 'secret', 'written', '-o', 'yaml');
  assert.ok(yaml.includes(maskIn64));
  assert.match(await succeeds('describe', 'secret', 'written'), /password:\s+\d+ bytes/);
  const decoded = Buffer.from(await succeeds('get', 'secret', 'written', '-o', 'jsonpath={.data.password}'), 'base64');
  assert.match(decoded.toString(), /^sluice-mask:v1:/);
});

test('diff shows what changes, and no value', async () => {
  const { code, stdout } = await kubectl('diff', '-f', manifest({ labels: { test: 'write-back', fresh: 'label' } }));
  assert.equal(code, 1);
  assert.match(stdout, /fresh: label/);
});

test('labels, annotations and other fields change beside masked values', async () => {
  await succeeds('label', 'secret', 'written', 'more=one');
  await succeeds('annotate', 'secret', 'written', 'note=two');
  await succeeds('patch', 'secret', 'written', '--type=merge', '-p', '{"metadata":{"labels":{"merged":"yes"}}}');
  await succeeds(
    'patch',
    'secret',
    'written',
    '--type=json',
    '-p',
    '[{"op":"add","path":"/metadata/labels/json","value":"yes"}]',
  );
  const { metadata } = await assertHolds(values);
  assert.deepEqual(
    [metadata.labels?.['more'], metadata.annotations?.['note'], metadata.labels?.['merged'], metadata.labels?.['json']],
    ['one', 'two', 'yes', 'yes'],
  );
});

test('edit sends only what was edited', async () => {
  const editor = join(dir, 'editor.sh');
  writeFileSync(editor, '#!/bin/sh\nsed -i "s/more: one/more: edited/" "$1"\n', { mode: 0o755 });
  process.env['KUBE_EDITOR'] = editor;
  try {
    await succeeds('edit', 'secret', 'written');
  } finally {
    delete process.env['KUBE_EDITOR'];
  }
  assert.equal((await assertHolds(values)).metadata.labels?.['more'], 'edited');
});

test('one value changes, the others stay', async () => {
  const change = JSON.stringify({ stringData: { username: 'another-of-the-test' } });
  await succeeds('patch', 'secret', 'written', '--type=merge', '-p', change);
  await assertHolds({ ...values, username: 'another-of-the-test' });
  await succeeds('apply', '-f', manifest());
  await assertHolds(values);
});

test('what is shown cannot be replaced, applied or created with, and nothing is damaged', async () => {
  const file = await shownIn('shown.yaml', 'secret', 'written', '-o', 'yaml');
  refusedAsMask(await kubectl('replace', '-f', file));
  refusedAsMask(await kubectl('apply', '--server-side', '--force-conflicts', '-f', file));
  const copy = await shownIn('copy.json', 'secret', 'written', '-o', 'json');
  const object = JSON.parse(await succeeds('get', 'secret', 'written', '-o', 'json')) as Stored;
  writeFileSync(copy, JSON.stringify({ ...object, metadata: { name: 'copied', labels: { test: 'write-back' } } }));
  refusedAsMask(await kubectl('create', '-f', copy));
  refusedAsMask(await kubectl('create', '--dry-run=server', '-f', copy));
  const patch = JSON.stringify({ data: { password: object.data['password'] } });
  refusedAsMask(await kubectl('patch', 'secret', 'written', '--type=merge', '-p', patch));
  await assertHolds(values);
});

test('dry runs on the server answer with masks', async () => {
  const created = ['create', 'secret', 'generic', 'dry', `--from-literal=password=${values.password}`];
  assert.ok((await succeeds(...created, '--dry-run=server', '-o', 'yaml')).includes(maskIn64));
  assert.match(await succeeds('delete', 'secret', 'written', '--dry-run=server'), /server dry run/);
  await assertHolds(values);
});

test('server-side apply writes values, and shows masks', async () => {
  await succeeds('apply', '--server-side', '--force-conflicts', '-f', manifest());
  await assertHolds(values);
});

/** As Helm keeps a release: a Secret of its own type, with gzip in base64 in base64. */
function release(password: string): string {
  const chart = { name: 'web', config: { password }, manifest: `kind: Secret\nstringData:\n  password: ${password}\n` };
  return base64(gzipSync(JSON.stringify(chart)));
}

test('a release is written, listed and updated as Helm does, and comes back masked', async () => {
  const name = 'sh.helm.release.v1.web.v1';
  const file = manifest({ labels: { test: 'write-back', owner: 'helm' } }, { release: release(values.password) }, name);
  await succeeds('create', '-f', file);
  await succeeds('get', 'secrets', '-l', 'owner=helm', '-o', 'yaml');
  const shown = await shownIn('release.yaml', 'secret', name, '-o', 'yaml');
  refusedAsMask(await kubectl('replace', '-f', shown));
  await assertHolds({ release: release(values.password) }, name);
  await succeeds(
    'replace',
    '-f',
    manifest({ labels: { test: 'write-back', owner: 'helm' } }, { release: release('b') }, name),
  );
  await assertHolds({ release: release('b') }, name);
});

test('delete answers with masks, and deletes', async () => {
  const { body, status } = await sluice.call('DELETE', '/api/v1/namespaces/default/secrets/written');
  assert.equal(status, 200);
  assertMasked({ code: 0, stdout: body, stderr: '' });
  assert.match((await asTier('get', 'secret', 'written')).stderr, /NotFound/);
});
