// Texts of a cluster, through a whole Sluice: what is a secret in them reaches neither the agent nor the record.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import type { FrameMeta } from '@sluice/model';
import { openScripted, reasonCode, removeScratch, type ScriptedCluster, Sluice, scratch, until } from '@sluice/testing';

const dir = scratch();
const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
/** A token as the cluster makes them, signed by nobody. */
const token = [
  part({ alg: 'RS256', kid: randomBytes(20).toString('base64url') }),
  part({ iss: 'https://kubernetes.default.svc', sub: 'system:serviceaccount:shop:web', exp: 1_900_000_000 }),
  randomBytes(256).toString('base64url'),
].join('.');
const log = '/api/v1/namespaces/shop/pods/web/log';
const mask = /sluice-mask:v1:[\w-]+:[\w-]+/;
let cluster: ScriptedCluster;
let sluice: Sluice;

before(async () => {
  cluster = await openScripted(dir);
  const policies = join(dir, 'policies');
  mkdirSync(policies);
  writeFileSync(
    join(policies, 'texts.yaml'),
    `apiVersion: sluice.internal/v1alpha1
kind: AccessPolicy
metadata: { name: texts }
spec:
  subjects: [{ agent: demo }]
  obligations: { record: full, impersonate: { user: "sluice:tier:demo", groups: ["sluice:demo"] } }
  rules:
    - { effect: allow, verbs: [get], nonResourceURLs: ["*"] }
    - { effect: allow, verbs: [get, list, watch], resources: ["*", pods/log] }
`,
  );
  const flags = ['--kubeconfig', cluster.kubeconfig, '--policies', policies];
  sluice = await Sluice.start({ home: join(dir, 'home'), flags });
});

after(async () => {
  await sluice?.stop();
  await cluster?.close();
  removeScratch(dir);
});

beforeEach(() => {
  cluster.requests.length = 0;
});

/** What the record has of the answer to the call that came to the cluster last. */
async function recorded(): Promise<{ readonly text: string; readonly body: FrameMeta['outcome']['body'] }> {
  const call = String(cluster.requests.at(-1)?.headers['audit-id']);
  const frames = await until('the record', async () => {
    const found = await sluice.frames(call).catch(() => []);
    return found.some(({ kind }) => kind === 'outcome') ? found : null;
  });
  const parts = frames.filter(({ kind }) => kind === 'response').sort((a, b) => a.offset - b.offset);
  const end = frames.find(({ kind }) => kind === 'outcome')?.meta as FrameMeta['outcome'];
  const text = Buffer.concat(parts.map(({ bytesBase64 }) => Buffer.from(bytesBase64, 'base64'))).toString();
  return { text, body: end.body };
}

test('a token in a log is masked, all around it stays, and the record has what the agent got', async () => {
  const target = `${log}?container=web&previous=true&timestamps=true&tailLines=9&limitBytes=4000000`;
  // Wherever the pieces are cut, some token is over an edge.
  const lines = Array.from({ length: 400 }, (_, n) => `line ${n}: authorization: Bearer ${token} \u{1f511} ok\n`);
  cluster.answer = () => ({ headers: { 'content-type': 'text/plain' }, body: lines.join('') });
  const { status, body } = await sluice.call('GET', target);
  assert.equal(status, 200);
  assert.equal(cluster.requests.at(-1)?.target, target);
  for (const half of token.split('.').slice(1)) assert.ok(!body.includes(half.slice(0, 24)));
  const [found = ''] = mask.exec(body) ?? [];
  assert.equal(body, lines.join('').replaceAll(token, found), 'one value, one mask, and nothing else is touched');
  const { text, body: note } = await recorded();
  assert.equal(text, body);
  assert.deepEqual(note, { bytes: Buffer.byteLength(body), contentType: 'text/plain', recorded: 'masked' });
});

test('texts on no resource are masked, and what nobody can mask is withheld', async () => {
  const metrics = (value: string): string => `# HELP requests Seen.\nrequests{authorization="${value}"} 1\n`;
  for (const type of ['text/plain; version=0.0.4', 'application/openmetrics-text; version=1.0.0']) {
    cluster.answer = () => ({ headers: { 'content-type': type }, body: metrics(token) });
    const { status, headers, body } = await sluice.call('GET', '/metrics');
    assert.deepEqual([status, headers['content-type']], [200, type]);
    assert.equal(body, metrics(mask.exec(body)?.[0] ?? ''));
    assert.equal((await recorded()).text, body);
  }
  for (const type of ['application/octet-stream', 'text/plain; charset=utf-16le', 'application/x-tar']) {
    cluster.answer = () => ({ headers: { 'content-type': type }, body: token });
    const answered = await sluice.call('GET', '/logs/audit.log');
    assert.deepEqual([answered.status, reasonCode(answered)], [502, 'ResponseWithheld'], type);
    assert.ok(!answered.body.includes(token));
  }
});

test('a warning is masked, and an error in words gives way to a Status', async () => {
  cluster.answer = () => ({ headers: { warning: `299 - "Invalid value: ${token}"` }, body: '{}' });
  const warned = await sluice.call('GET', '/api/v1/namespaces/shop/pods/web');
  const warning = String(warned.headers['warning']);
  assert.equal(warning, `299 - "Invalid value: ${mask.exec(warning)?.[0]}"`);
  // Of the pod the cluster answers: it is the log that fails.
  cluster.answer = ({ target }) =>
    target.includes('/log')
      ? { status: 500, headers: { 'content-type': 'text/plain' }, body: `cannot use ${token}` }
      : { body: '{}' };
  const failed = await sluice.call('GET', log);
  assert.equal(failed.status, 500);
  assert.equal((JSON.parse(failed.body) as { kind: string }).kind, 'Status');
  assert.ok(!failed.body.includes(token));
});
