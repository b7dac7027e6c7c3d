// A risky call waits for a person: what the agent gets, what the cluster sees, what the record says.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { DemoCluster } from '@sluice/demo-cluster';
import type { ApprovalCard, ApprovalRow, CallRow } from '@sluice/model';
import {
  type Answered,
  type Arrived,
  openDemo,
  reasonCode,
  removeScratch,
  Sluice,
  scratch,
  type Upstream,
  until,
} from '@sluice/testing';

const dir = scratch();
const policies = join(dir, 'policies');
let upstream: Upstream & { readonly cluster: DemoCluster };
let sluice: Sluice;

const identity = 'impersonate: { user: "sluice:tier:demo", groups: ["sluice:demo"] }';
const rules = `
    - { name: look, effect: allow, verbs: [get, list, watch], resources: ["*"] }
    - { name: make, effect: allow, verbs: [create, update, patch], resources: [configmaps] }
    - { name: discovery, effect: allow, verbs: [get], nonResourceURLs: ["*"] }
    - name: ask-first
      effect: ask
      verbs: [delete, patch, update]
      resources: [deployments.apps, deployments.apps/scale, secrets]
      reason: "Changes of the shop are looked at by a person."
      approval: { hold: 60s, expires: 30m }
    - name: ask-and-do-not-wait
      effect: ask
      verbs: [delete]
      resources: [configmaps]
      approval: { hold: 0s }
    - name: ask-somebody-else
      effect: ask
      verbs: [delete]
      resources: [services]
      approval: { hold: 0s, reviewers: ["group:nobody-is-in-here"] }`;

function writePolicy(more = ''): void {
  writeFileSync(
    join(policies, 'demo.yaml'),
    `apiVersion: sluice.internal/v1alpha1
kind: AccessPolicy
metadata: { name: demo }
spec:
  subjects: [{ agent: demo }]
  obligations: { ${identity} }
  rules:${rules}${more}
`,
  );
}

before(async () => {
  upstream = await openDemo(dir);
  mkdirSync(policies);
  writePolicy();
  sluice = await Sluice.start({
    home: join(dir, 'home'),
    flags: ['--kubeconfig', upstream.kubeconfig, '--policies', policies],
  });
});

after(async () => {
  await sluice?.stop();
  await upstream?.close();
  removeScratch(dir);
});

/** Requests of Sluice that change something, of one name. */
function changesOf(name: string): Arrived[] {
  return upstream.cluster.log.filter(
    (entry): entry is Arrived =>
      entry.kind === 'request' && entry.method !== 'GET' && entry.auditId !== '' && entry.target.includes(name),
  );
}

async function list(...flags: readonly string[]): Promise<ApprovalRow[]> {
  const { stdout, stderr } = await sluice.cli('approvals', 'list', '--json', ...flags);
  assert.notEqual(stdout, '', stderr);
  return JSON.parse(stdout) as ApprovalRow[];
}

async function show(id: string): Promise<ApprovalCard> {
  return JSON.parse((await sluice.cli('approvals', 'show', id, '--json')).stdout) as ApprovalCard;
}

/**
 * The approval that is open for an object. No test asks for the verb and resource that the one before it was denied: for ten
 * seconds it would be told so again.
 */
function openFor(name: string): Promise<ApprovalRow> {
  return until(`an approval for ${name}`, async () =>
    (await list('--state', 'pending')).find(({ summary }) => summary.includes(`"${name}"`)),
  );
}

async function approve(id: string, ...flags: readonly string[]): Promise<void> {
  const { code, stderr } = await sluice.cli('approvals', 'approve', id, ...flags);
  assert.equal(code, 0, stderr);
}

let counter = 0;

/** Somebody else at the cluster, past Sluice. */
function directly(method: string, path: string, body: object): Promise<void> {
  const kubeconfig = readFileSync(upstream.kubeconfig, 'utf8');
  const [, ca = ''] = /certificate-authority-data: (\S+)/.exec(kubeconfig) ?? [];
  const [, token = ''] = /token: (\S+)/.exec(kubeconfig) ?? [];
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        host: '127.0.0.1',
        port: upstream.cluster.port,
        ca: Buffer.from(ca, 'base64'),
        method,
        path,
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      },
      (response) => {
        response.resume();
        assert.ok((response.statusCode ?? 0) < 300, `${method} ${path}: ${response.statusCode}`);
        response.on('end', resolve);
      },
    );
    outgoing.on('error', reject);
    outgoing.end(JSON.stringify(body));
  });
}

const deployments = '/apis/apps/v1/namespaces/shop/deployments';
const configMaps = '/api/v1/namespaces/shop/configmaps';

function deployment(name: string, replicas: number): object {
  const labels = { app: name };
  const template = { metadata: { labels }, spec: { containers: [{ name: 'main', image: 'demo/web:1' }] } };
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name },
    spec: { replicas, selector: { matchLabels: labels }, template },
  };
}

/** A deployment that no other test has; without pods, so that nothing about it changes by itself. */
async function newDeployment(): Promise<{ readonly name: string; readonly target: string }> {
  const name = `held-${++counter}`;
  await directly('POST', deployments, deployment(name, 0));
  return { name, target: `${deployments}/${name}` };
}

async function newConfigMap(): Promise<{ readonly name: string; readonly target: string }> {
  const name = `held-${++counter}`;
  await directly('POST', configMaps, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data: { a: 'b' } });
  return { name, target: `${configMaps}/${name}` };
}

function cause(answered: Answered, wanted: string): string {
  const { details } = JSON.parse(answered.body) as { details: { causes: { reason: string; message: string }[] } };
  return details.causes.find(({ reason }) => reason === wanted)?.message ?? '';
}

const merge = { 'content-type': 'application/merge-patch+json' };
const patchOf = (color: string): string => JSON.stringify({ metadata: { labels: { color } } });

test('kubectl waits, a reviewer sees exactly what would happen and approves, and it happens once', async () => {
  const { name, target } = await newDeployment();
  const deleting = sluice.kubectl('delete', 'deployment', name, '-n', 'shop', '--wait=false');
  const { id, state, agent, votes } = await openFor(name);
  assert.deepEqual([state, agent, votes], ['pending', 'demo', []]);
  assert.equal(changesOf(name).length, 0, 'nothing goes upstream before somebody has approved it');

  const card = await show(id);
  assert.equal(card.summary, `agent "demo" wants to delete deployments.apps "${name}" in namespace "shop"`);
  assert.equal(card.request.target, target);
  const { object } = card.request;
  assert.ok(object.kind === 'known');
  assert.match((await sluice.cli('approvals', 'show', id)).stdout, new RegExp(`approvals approve ${id}`));

  await approve(id, '--reason', 'it is old');
  const { code, stdout, stderr } = await deleting;
  assert.equal(code, 0, stderr);
  assert.match(stdout, new RegExp(`deployment.apps "${name}" deleted`));
  const [arrived, ...others] = changesOf(name);
  assert.deepEqual(others, []);
  const { preconditions } = JSON.parse(arrived?.body.toString() ?? '') as { preconditions: unknown };
  assert.deepEqual(preconditions, { uid: object.uid, resourceVersion: object.resourceVersion });
  const { state: after, uses } = await until('the end of its use to be known', async () => {
    const now = await show(id);
    return now.uses.some(({ end }) => end === 'known') && now;
  });
  assert.deepEqual([after, ...uses.map(({ call }) => call)], ['used', arrived?.auditId]);
});

test('the record says who asked, who approved, by what decision it went through, and how it was looked at', async () => {
  const { name, target } = await newDeployment();
  const patching = sluice.call('PATCH', target, patchOf('red'), merge);
  const { id } = await openFor(name);
  await approve(id, '--reason', 'red is fine');
  assert.equal((await patching).status, 200);
  const [arrived] = changesOf(name);
  const call = await until('the call in the record', async () =>
    (await sluice.calls('--effect', 'allow')).find((row) => row.id === arrived?.auditId && row.outcome === 'completed'),
  );
  assert.equal(call.reasonCode, 'AllowedByApproval');
  await until('all events in the record', async () => {
    const { stdout } = await sluice.cli('replay', call.id);
    return /approve/.test(stdout) && /used/.test(stdout);
  });
  const frames = await sluice.frames(call.id);
  const kinds = frames.map(({ kind }) => kind);
  for (const kind of ['call', 'decision', 'approval', 'response', 'outcome'] as const)
    assert.ok(kinds.includes(kind), kind);
  const looked = upstream.cluster.log.filter(
    (entry): entry is Arrived => entry.kind === 'request' && entry.method === 'GET' && entry.auditId === call.id,
  );
  assert.deepEqual(
    looked.map((entry) => entry.target),
    [target],
  );
  const frameOf = (kind: string) => frames.find((frame) => frame.kind === kind);
  assert.ok(Math.floor((frameOf('call')?.storedAtMicros ?? Infinity) / 1000) <= (looked[0]?.atMs ?? 0));
  assert.ok(Math.floor((frameOf('decision')?.storedAtMicros ?? Infinity) / 1000) <= (arrived?.atMs ?? 0));
  const sql = await sluice.cli(
    'sql',
    '--json',
    `SELECT id, state, reviewers, usedBy FROM approvals WHERE id = '${id}'`,
  );
  const [row] = JSON.parse(sql.stdout) as { state: string; reviewers: string[]; usedBy: string[] }[];
  assert.equal(row?.state, 'used');
  assert.deepEqual(row?.usedBy, [call.id]);
  assert.equal(row?.reviewers.length, 1);
  assert.match(row?.reviewers[0] ?? '', /^local:/);
});

test('a second time the same call asks again', async () => {
  const { name, target } = await newDeployment();
  const first = sluice.call('PATCH', target, patchOf('red'), merge);
  const { id } = await openFor(name);
  await approve(id);
  assert.equal((await first).status, 200);
  const second = sluice.call('PATCH', target, patchOf('red'), merge);
  const again = await openFor(name);
  assert.notEqual(again.id, id);
  assert.equal(changesOf(name).length, 1, 'nothing goes through on what has been used');
  await approve(again.id);
  assert.equal((await second).status, 200);
  assert.equal(changesOf(name).length, 2);
});

test('a denial reads well in kubectl, with what the reviewer said', async () => {
  const { name } = await newDeployment();
  const deleting = sluice.kubectl('delete', 'deployment', name, '-n', 'shop');
  const { id } = await openFor(name);
  assert.equal((await sluice.cli('approvals', 'deny', id, '--reason', 'not on a Friday')).code, 0);
  const { code, stderr } = await deleting;
  assert.equal(code, 1);
  assert.match(
    stderr,
    new RegExp(`^Error from server \\(Forbidden\\): local:\\S+ has denied approval ${id}: not on a Friday$`, 'm'),
  );
  assert.equal(changesOf(name).length, 0);
  assert.equal((await sluice.cli('approvals', 'wait', id)).code, 1);
});

test('a call that is not waited for is told how to come again, and passes when it does after the approval', async () => {
  const { name, target } = await newConfigMap();
  const { code, stderr } = await sluice.kubectl('delete', 'configmap', name, '-n', 'shop');
  assert.equal(code, 1);
  const { id } = await openFor(name);
  assert.match(
    stderr,
    new RegExp(`approval ${id} waits for a reviewer until \\d\\d:\\d\\d UTC: make the same call again`),
  );
  const refused = await sluice.call('DELETE', target);
  assert.equal(refused.status, 403);
  assert.equal(refused.headers['retry-after'], undefined);
  assert.equal(cause(refused, 'SluiceApproval'), (await list())[0]?.id);
  assert.equal(cause(refused, 'SluiceAskable'), 'yes');
  await approve(id);
  assert.equal((await sluice.cli('approvals', 'wait', id)).code, 0);
  const deleted = await sluice.kubectl('delete', 'configmap', name, '-n', 'shop', '--wait=false');
  assert.equal(deleted.code, 0, deleted.stderr);
  assert.equal(changesOf(name).length, 1);
});

test('what is approved is that call and no other: not another body, query, object or agent', async () => {
  const { name, target } = await newDeployment();
  const held = sluice.call('PATCH', target, patchOf('red'), merge);
  const { id } = await openFor(name);
  await approve(id);
  assert.equal((await held).status, 200);
  const { name: other, target: otherTarget } = await newConfigMap();
  const first = await sluice.call('DELETE', otherTarget);
  const open = cause(first, 'SluiceApproval');
  await approve(open);
  for (const [path, body] of [
    [otherTarget, '{"gracePeriodSeconds":0}'],
    [`${otherTarget}?propagationPolicy=Orphan`, ''],
    [otherTarget.replace(other, 'another'), ''],
  ] as const) {
    const edited = await sluice.call('DELETE', path, body);
    assert.equal(reasonCode(edited), 'ApprovalRequired', path);
  }
  assert.equal(changesOf(other).length, 0);
});

test('an object that has changed since it was reviewed stays as it is', async () => {
  const { name, target } = await newDeployment();
  const held = sluice.call('PATCH', target, patchOf('red'), merge);
  const { id } = await openFor(name);
  await directly('PUT', target, deployment(name, 1));
  await approve(id);
  const answered = await held;
  assert.equal(answered.status, 409, answered.body);
  assert.match(answered.body, /the object has been modified/);
});

test('an agent that goes away takes its ask with it', async () => {
  const { name, target } = await newDeployment();
  const socket = await sluice.socket();
  const patch = patchOf('red');
  const headers = [
    'Host: sluice',
    `Authorization: Bearer ${sluice.token()}`,
    `Content-Type: ${merge['content-type']}`,
    `Content-Length: ${Buffer.byteLength(patch)}`,
  ];
  socket.write(`PATCH ${target} HTTP/1.1\r\n${headers.join('\r\n')}\r\n\r\n${patch}`);
  const { id } = await openFor(name);
  socket.destroy();
  await until('it to be cancelled', async () => (await show(id)).state === 'cancelled');
  const { code, stderr } = await sluice.cli('approvals', 'approve', id);
  assert.equal(code, 1);
  assert.match(stderr, /stays as it is: it is cancelled/);
  assert.equal(changesOf(name).length, 0);
  const calls = await until('its outcome', async () => {
    const rows = (await sluice.calls('--effect', 'ask')).filter((row) => row.name === name && row.outcome !== null);
    return rows.length > 0 && rows;
  });
  assert.deepEqual(
    calls.map(({ outcome }) => outcome),
    ['aborted'],
  );
});

test('a policy that denies meanwhile wins over an approval', async () => {
  const { name, target } = await newDeployment();
  const held = sluice.call('PATCH', target, patchOf('red'), merge);
  const { id } = await openFor(name);
  writePolicy('\n    - { effect: deny, verbs: [patch], resources: [deployments.apps], reason: "Frozen." }');
  assert.equal((await sluice.cli('policy', 'apply', policies)).code, 0);
  await approve(id);
  const answered = await held;
  assert.equal(reasonCode(answered), 'DeniedByRule');
  assert.equal(changesOf(name).length, 0);
  writePolicy();
  assert.equal((await sluice.cli('policy', 'apply', policies)).code, 0);
});

test('who is not among the reviewers cannot decide', async () => {
  const answered = await sluice.call('DELETE', '/api/v1/namespaces/shop/services/web');
  const id = cause(answered, 'SluiceApproval');
  const { code, stderr } = await sluice.cli('approvals', 'approve', id);
  assert.equal(code, 1);
  assert.match(stderr, /is not among its reviewers: group:nobody-is-in-here/);
  assert.equal((await show(id)).state, 'pending');
});

test('the calls of one command share a card, and a reviewer may grant the rest', async () => {
  const names = [(await newDeployment()).name, (await newDeployment()).name, (await newDeployment()).name];
  const deleting = sluice.kubectl('delete', 'deployment', ...names, '-n', 'shop', '--wait=false');
  const { id } = await openFor(names[0] ?? '');
  await approve(id, '--more', '2');
  const { code, stderr } = await deleting;
  assert.equal(code, 0, stderr);
  for (const name of names) assert.equal(changesOf(name).length, 1, name);
  await until(
    'all uses to be known',
    async () => (await show(id)).uses.filter(({ end }) => end === 'known').length === 3,
  );
});

test('two of the same call at the same instant: one goes through, the other is told so', async () => {
  const { name, target } = await newDeployment();
  const both = [1, 2].map(() => sluice.call('PATCH', target, patchOf('green'), merge));
  const { id } = await openFor(name);
  await until(
    'both to wait',
    async () => (await sluice.calls('--effect', 'ask')).filter((row) => row.name === name).length === 2,
  );
  await approve(id);
  const answers = await Promise.all(both);
  assert.deepEqual(answers.map(({ status }) => String(status)).toSorted(), ['200', '403']);
  assert.equal(changesOf(name).length, 1);
});

test('of very many calls that wait some are answered at once, so that nobody fills the memory', async () => {
  const { name, target } = await newDeployment();
  const scale = JSON.stringify({ spec: { replicas: 1 } });
  const calls = Array.from({ length: 40 }, () => sluice.call('PATCH', `${target}/scale`, scale, merge));
  const early: Answered[] = [];
  for (const call of calls) void call.then((answered) => early.push(answered));
  await until('some to be answered', () => early.length === 8);
  assert.ok(early.every((answered) => reasonCode(answered) === 'ApprovalRequired'));
  await sluice.cli('approvals', 'deny', (await openFor(name)).id);
  const answers = await Promise.all(calls);
  assert.equal(answers.filter((answered) => reasonCode(answered) === 'ApprovalDenied').length, 32);
});

test('a Secret that is to be changed comes masked before the reviewer', async () => {
  const secret = 'held-secret-value-of-nobody';
  const body = JSON.stringify({ stringData: { password: secret } });
  const held = sluice.call('PATCH', '/api/v1/namespaces/shop/secrets/web-db', body, merge);
  const { id } = await openFor('web-db');
  const card = await show(id);
  assert.match(card.body, /sluice-mask:v1:/);
  assert.ok(!JSON.stringify(card).includes(secret));
  await sluice.cli('approvals', 'deny', id);
  await held;
});

test('approvals of a part that dies are there again with it, and a held call goes on waiting', async () => {
  const { name, target } = await newDeployment();
  const held = sluice.call('PATCH', target, patchOf('red'), merge);
  const { id } = await openFor(name);
  await sluice.kill('approval');
  await until('it to be there again', async () => (await list('--state', 'pending')).some((row) => row.id === id));
  await approve(id);
  assert.equal((await held).status, 200);
  assert.equal(changesOf(name).length, 1);
});

test('Sluice that stops tells those who wait, and the approval is still there when it is back', async () => {
  const { name, target } = await newConfigMap();
  const { target: waited } = await newDeployment();
  const asked = await sluice.call('DELETE', target);
  const id = cause(asked, 'SluiceApproval');
  const held = sluice.call('PATCH', waited, patchOf('red'), merge);
  await openFor(waited.split('/').at(-1) ?? '');
  assert.equal(await sluice.stop(), 0);
  const told = await held;
  assert.equal(reasonCode(told), 'Draining');
  assert.equal(told.headers['retry-after'], '1');
  sluice = await Sluice.start({
    home: join(dir, 'home'),
    flags: ['--kubeconfig', upstream.kubeconfig, '--policies', policies],
  });
  assert.equal((await show(id)).state, 'pending');
  await approve(id);
  assert.equal((await sluice.call('DELETE', target)).status, 200);
  assert.equal(changesOf(name).length, 1);
});

test('every call has one outcome, and the record is proven', async () => {
  const rows = await until('every outcome', async (): Promise<CallRow[] | false> => {
    const found = await sluice.calls();
    return found.length > 0 && found.every(({ outcome }) => outcome !== null) && found;
  });
  for (const { id } of rows.filter(({ effect }) => effect === 'ask').slice(0, 20)) {
    const frames = await sluice.frames(id);
    assert.equal(frames.filter(({ kind }) => kind === 'outcome').length, 1, id);
  }
  const { code, stdout } = await sluice.cli('verify');
  assert.equal(code, 0, stdout);
});
