// A secret and a harmless marker go the same way. The marker must be found everywhere the secret could be, the
// secret nowhere: client output, cards of approvals, the broker's files, the queues, logs, and the database.
import assert from 'node:assert/strict';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { after, before, test } from 'node:test';
import type { ApprovalRow } from '@sluice/model';
import {
  type Ended,
  filesUnder,
  formsOf,
  openUpstream,
  removeScratch,
  repository,
  Sluice,
  scratch,
  type Upstream,
  until,
} from '@sluice/testing';
import { Hand } from './hand.ts';

const dir = scratch();
const canary = 'canary-8f3b1c5e7a9d2046-of-the-test';
const marker = 'marker-8f3b1c5e7a9d2046-of-the-test';
/** Besides the policies that Sluice ships. */
const askFirst = `apiVersion: sluice.internal/v1alpha1
kind: AccessPolicy
metadata: { name: ask-first }
spec:
  subjects: [{ agent: demo }]
  obligations:
    impersonate: { user: "sluice:tier:demo", groups: ["sluice:demo"] }
  rules:
    - { effect: ask, verbs: [patch], resources: [secrets], namespaces: [default], names: [${marker}] }
`;
const shown: Ended[] = [];
let upstream: Upstream;
let sluice: Sluice;

before(async () => {
  upstream = await openUpstream(dir);
  const policies = join(dir, 'policies');
  cpSync(join(repository, 'deploy', 'examples', 'policies'), policies, { recursive: true });
  writeFileSync(join(policies, 'ask-first.yaml'), askFirst);
  sluice = await Sluice.start({
    home: join(dir, 'home'),
    flags: ['--kubeconfig', upstream.kubeconfig, '--policies', policies],
    // The recorder is killed, so that frames stay in the broker's files long enough to be looked at.
    env: { SLUICE_RESTART_DELAY_MS: '10000', SLUICE_APPROVAL_QUEUES: 'outside' },
  });
});

after(async () => {
  await sluice?.kubectl('delete', 'secret,configmap', 'canary', marker, '--ignore-not-found');
  await sluice?.stop();
  await upstream?.close();
  removeScratch(dir);
});

function filesWith(folder: string, value: string): string[] {
  return filesUnder(folder)
    .filter(({ bytes }) => formsOf(value).some((form) => bytes.includes(form)))
    .map(({ file }) => relative(folder, file))
    .toArray();
}

async function kubectl(...args: readonly string[]): Promise<void> {
  shown.push(await sluice.kubectl(...args));
}

test('secret and marker go through every verb while the recorder is away', async () => {
  await sluice.kill('recorder');
  const manifest = join(dir, 'canary.yaml');
  const object = (kind: string, field: string, value: string): string =>
    `apiVersion: v1\nkind: ${kind}\nmetadata: { name: canary, namespace: default }\n${field}: { value: ${value} }\n`;
  writeFileSync(manifest, `${object('Secret', 'stringData', canary)}---\n${object('ConfigMap', 'data', marker)}`);

  const watching = sluice.kubectlLive('get', 'secrets', '-w', '-o', 'yaml', '-n', 'default');
  let watched = '';
  watching.stdout?.on('data', (data: Buffer) => {
    watched += data.toString();
  });
  await kubectl('apply', '-f', manifest);
  await kubectl('apply', '-f', manifest, '--server-side', '--force-conflicts');
  for (const resource of ['secret', 'configmap']) {
    const value = Buffer.from(resource === 'secret' ? canary : marker).toString();
    const field = resource === 'secret' ? 'stringData' : 'data';
    await kubectl('get', resource, 'canary', '-o', 'yaml');
    await kubectl('get', `${resource}s`, '-o', 'json');
    await kubectl('describe', resource, 'canary');
    await kubectl(
      'patch',
      resource,
      'canary',
      '--type=merge',
      '-o',
      'yaml',
      '-p',
      JSON.stringify({ [field]: { again: value } }),
    );
    const operation = {
      op: 'add',
      path: `/data/more`,
      value: resource === 'secret' ? Buffer.from(value).toString('base64') : value,
    };
    await kubectl('patch', resource, 'canary', '--type=json', '-o', 'json', '-p', JSON.stringify([operation]));
    await kubectl('get', '--raw', `/api/v1/namespaces/default/${resource}s/canary`);
    await kubectl('delete', resource, 'canary', '--dry-run=server', '-o', 'yaml');
    // Newer kubectls send these as protobuf.
    const kind = resource === 'secret' ? ['secret', 'generic'] : ['configmap'];
    await kubectl('create', ...kind, 'canary-2', `--from-literal=value=${value}`, '--dry-run=server', '-o', 'yaml');
    const collection = `/api/v1/namespaces/default/${resource}s`;
    const yaml = object(resource === 'secret' ? 'Secret' : 'ConfigMap', field, value);
    const apply = `${collection}/canary?dryRun=All&fieldManager=canary`;
    for (const [method, path, type, body] of [
      ['POST', `${collection}?dryRun=All`, 'application/yaml', yaml.replace('name: canary', 'name: canary-3')],
      ['PATCH', apply, 'application/apply-patch+yaml', yaml],
      // What cannot be read is not quoted either.
      ['POST', collection, 'application/yaml', `${yaml}broken: [${value}`],
      ['POST', collection, 'application/json', JSON.stringify({ [field]: { value } }).slice(0, -1)],
      ['POST', collection, 'application/json', `{"${field}":{"value":"${value}","value":"${value}"}}`],
      ['POST', collection, 'application/vnd.kubernetes.protobuf', `k8s\0${value}`],
    ] as const) {
      const answered = await sluice.call(method, path, body, { 'content-type': type });
      shown.push({ code: 0, stdout: answered.body, stderr: '' });
    }
  }
  // Tables with whole objects, and a deletecollection that only pretends: both answer with everything.
  const table = { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' };
  for (const resource of ['secrets', 'configmaps']) {
    const { body } = await sluice.call('GET', `/api/v1/namespaces/default/${resource}?includeObject=Object`, '', table);
    shown.push({ code: 0, stdout: body, stderr: '' });
  }
  await until('the watch to show the secret', () => watched.includes('name: canary'));
  watching.kill('SIGINT');
  shown.push({ code: 0, stdout: watched, stderr: '' });
});

test('a secret goes by a reviewer, and the marker with it', async () => {
  await kubectl('create', 'secret', 'generic', marker);
  const patch = JSON.stringify({ stringData: { held: canary } });
  const patching = kubectl('patch', 'secret', marker, '--type=merge', '-o', 'yaml', '-p', patch);
  const { id } = await until('the ask', async () => {
    const { stdout } = await sluice.cli('approvals', 'list', '--json');
    return (JSON.parse(stdout) as ApprovalRow[])[0];
  });
  const cards = [await sluice.cli('approvals', 'show', id, '--json'), await sluice.cli('approvals', 'show', id)];
  for (const { stdout } of cards) {
    assert.ok(stdout.includes(marker), 'the marker would be seen');
    assert.match(stdout, /sluice-mask:v1:/);
  }
  shown.push(...cards, await sluice.cli('approvals', 'approve', id));
  await patching;
  assert.equal(shown.at(-1)?.code, 0, shown.at(-1)?.stderr);
});

test('the client output has the marker and not the secret', () => {
  const all = shown.map(({ stdout, stderr }) => stdout + stderr).join('\n');
  assert.ok(
    formsOf(marker).some((form) => all.includes(form)),
    'the marker would be seen',
  );
  for (const form of formsOf(canary)) assert.ok(!all.includes(form), form);
});

test('the broker\u2019s files have the marker and not the secret', () => {
  const folder = join(sluice.home, 'broker');
  assert.ok(filesWith(folder, marker).length > 0, 'the marker would be seen');
  assert.deepEqual(filesWith(folder, canary), []);
});

test('the queues\u2019 files and the log of approvals have the marker and not the secret', async () => {
  const queue = join(sluice.home, 'queue');
  await until('Redis to write what it has', () => filesWith(queue, marker).length > 0);
  assert.deepEqual(filesWith(queue, canary), []);
  const log = readFileSync(join(sluice.home, 'log', 'approval.log'), 'utf8');
  assert.ok(log.includes(marker), 'the marker would be seen');
});

test('nothing in the home of Sluice has the secret: no log, no key, no state', () => {
  assert.deepEqual(filesWith(sluice.home, canary), []);
});

test('the database has the marker and not the secret', async () => {
  await until('the recorder to be back and done', async () => {
    const rows = await sluice.calls().catch(() => []);
    return (
      rows.some(({ verb, resource }) => verb === 'patch' && resource === 'configmaps') &&
      rows.every(({ outcome }) => outcome !== null)
    );
  });
  await sluice.stop();
  const hand = new Hand(sluice.home);
  assert.ok((await hand.rowsWith(marker)) > 0, 'the marker would be seen');
  assert.equal(await hand.rowsWith(canary), 0);
});
