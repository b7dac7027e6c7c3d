// Conditions on bodies, in every encoding that clients send: JSON, YAML, apply, and the protobuf of newer kubectls.
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { FrameMeta } from '@sluice/model';
import { openUpstream, reasonCode, removeScratch, Sluice, scratch, type Upstream, until } from '@sluice/testing';

const dir = scratch();
let upstream: Upstream;
let sluice: Sluice;

before(async () => {
  upstream = await openUpstream(dir);
  const policies = join(dir, 'policies');
  mkdirSync(policies);
  const registry = upstream.image.replace(/\/.*$/, '/');
  writeFileSync(
    join(policies, 'bodies.yaml'),
    `apiVersion: sluice.internal/v1alpha1
kind: AccessPolicy
metadata: { name: bodies }
spec:
  subjects: [{ agent: demo }]
  obligations: { impersonate: { user: "sluice:tier:demo", groups: ["sluice:demo"] } }
  rules:
    - { effect: allow, verbs: [get], nonResourceURLs: ["*"] }
    - { effect: allow, verbs: [get, list, watch], resources: ["*"] }
    - effect: allow
      verbs: [create, update, patch, delete]
      resources: [pods, secrets, deployments.apps, serviceaccounts/token]
    - name: no-host
      effect: deny
      verbs: [create, update, patch]
      resources: [pods]
      when: object.?spec.?hostPID.orValue(false)
      reason: Pods stay off the host.
    - name: few-replicas
      effect: deny
      verbs: [create, update, patch]
      resources: [deployments.apps]
      when: object.?spec.?replicas.orValue(1) > 5
      reason: At most five replicas.
    - name: own-registry
      effect: deny
      verbs: [create, update, patch]
      resources: [deployments.apps]
      when: object.?spec.?template.?spec.?containers.orValue([]).exists(c, !c.image.startsWith("${registry}"))
      reason: Images come from our registry.
---
apiVersion: sluice.internal/v1alpha1
kind: AccessPolicy
metadata: { name: on-the-host }
spec:
  subjects: [{ agent: on-the-host }]
  obligations: { impersonate: { user: "sluice:tier:demo", groups: ["sluice:demo"] } }
  rules:
    - { effect: allow, verbs: [get], nonResourceURLs: ["*"] }
    - { effect: allow, verbs: [get, list, watch], resources: [nodes, pods] }
    - { effect: allow, verbs: [create, delete], resources: [pods], when: "object.?spec.?hostPID.orValue(true)" }
---
apiVersion: sluice.internal/v1alpha1
kind: AccessPolicy
metadata: { name: beside-others }
spec:
  subjects: [{ agent: beside-others }]
  obligations: { impersonate: { user: "sluice:tier:demo", groups: ["sluice:demo"] } }
  rules:
    - { effect: allow, verbs: [get], nonResourceURLs: ["*"] }
    - { effect: allow, verbs: [get, list, watch, create, delete], resources: [pods] }
    - { effect: allow, verbs: [patch], resources: [pods/ephemeralcontainers] }
    - { effect: allow, verbs: [create], resources: [pods/exec], exec: { commands: [["true"]] } }
    - name: secrets-are-near
      effect: ask
      verbs: [create]
      resources: [pods/exec]
      when: pod.secrets.size() > 0
      approval: { hold: 0s }
`,
  );
  const flags = ['--kubeconfig', upstream.kubeconfig, '--policies', policies];
  sluice = await Sluice.start({ home: join(dir, 'home'), flags });
  const { stdout } = await sluice.kubectl('version', '--client', '-o', 'json');
  const { clientVersion } = JSON.parse(stdout) as { readonly clientVersion: { readonly minor: string } };
  const isNew = Number.parseInt(clientVersion.minor) >= 32;
  sent = isNew ? 'application/vnd.kubernetes.protobuf' : 'application/json';
});

after(async () => {
  await sluice?.kubectl('delete', 'deployment,secret', 'bodies', '--ignore-not-found', '--wait=false');
  await sluice?.stop();
  await upstream?.close();
  removeScratch(dir);
});

/** The newest call on a resource, with what was recorded of its request. */
async function newest(
  verb: string,
  resource: string,
  name?: string,
): Promise<FrameMeta['call'] & { readonly body: FrameMeta['call']['body'] }> {
  const call = await until(`a call ${verb} ${resource}`, async () => {
    const ended = (await sluice.calls()).filter(({ outcome }) => outcome !== null);
    return ended.find((row) => row.verb === verb && row.resource === resource && (name ?? row.name) === row.name);
  });
  const frame = await until('its frame', async () =>
    (await sluice.frames(call.id)).find(({ kind }) => kind === 'call'),
  );
  return frame.meta as FrameMeta['call'];
}

/** What kubectl sends where it makes an object itself: protobuf from 1.32 on. */
let sent = '';

test('kubectl create deployment is judged by image and by replicas', async () => {
  const create = (image: string, replicas: number): ReturnType<Sluice['kubectl']> =>
    sluice.kubectl('create', 'deployment', 'bodies', `--image=${image}`, `--replicas=${replicas}`);
  const elsewhere = await create('elsewhere.example/web:1', 1);
  assert.match(elsewhere.stderr, /Images come from our registry/);
  const many = await create(upstream.image, 6);
  assert.match(many.stderr, /At most five replicas/);
  const { body } = await newest('create', 'deployments.apps');
  assert.deepEqual([body?.contentType, body?.recorded], [sent, 'masked']);
  const few = await create(upstream.image, 0);
  assert.equal(few.code, 0, few.stderr);
});

test('kubectl create secret leaves masks in the record, and no value', async () => {
  const value = 'a-value-of-the-bodies-test';
  const { code, stderr } = await sluice.kubectl('create', 'secret', 'generic', 'bodies', `--from-literal=key=${value}`);
  assert.equal(code, 0, stderr);
  const call = await until('the call in the record', async () =>
    (await sluice.calls()).find((row) => row.verb === 'create' && row.resource === 'secrets'),
  );
  assert.equal(call.name, 'bodies');
  const frames = await sluice.frames(call.id);
  const recorded = frames.map(({ bytesBase64 }) => Buffer.from(bytesBase64, 'base64').toString()).join('\n');
  const mask = Buffer.from('sluice-mask:v1:').toString('base64').slice(0, 20);
  assert.ok(recorded.includes(mask), recorded);
  assert.ok(!recorded.includes(value) && !recorded.includes(Buffer.from(value).toString('base64')));
  const { stdout } = await sluice.kubectl('get', 'secret', 'bodies', '-o', 'jsonpath={.data.key}');
  assert.match(Buffer.from(stdout, 'base64').toString(), /^sluice-mask:v1:/);
});

test('kubectl create token goes through', async () => {
  await sluice.kubectl('create', 'token', 'default', '--duration=10m');
  const { body, decision } = await newest('create', 'serviceaccounts/token');
  assert.deepEqual([decision.effect, body?.contentType, body?.recorded], ['allow', sent, 'masked']);
});

test('kubectl debug of a node is a pod on the host, and is refused where pods must stay off it', async () => {
  const nodes = await sluice.kubectl('get', 'nodes', '-o', 'name');
  const [node = ''] = nodes.stdout.split('\n');
  const { stderr } = await sluice.kubectl('debug', node, `--image=${upstream.image}`, '--', 'true');
  assert.match(stderr, /Pods stay off the host/);
  const { body } = await newest('create', 'pods');
  assert.deepEqual([body?.contentType, body?.recorded], [sent, 'masked']);
});

/** kubectl with a kubeconfig of its own. */
async function as(agent: string): Promise<Sluice['kubectl']> {
  const { stdout: kubeconfig } = await sluice.cli('kubeconfig', '--agent', agent);
  const file = join(dir, `${agent}.kubeconfig`);
  writeFileSync(file, kubeconfig, { mode: 0o600 });
  return (...args) => sluice.kubectl('--kubeconfig', file, ...args);
}

test('where a pod on the host is allowed, kubectl debug of a node makes one', async () => {
  const kubectl = await as('on-the-host');
  const [node = ''] = (await kubectl('get', 'nodes', '-o', 'name')).stdout.split('\n');
  const made = await kubectl('debug', node, `--image=${upstream.image}`, '--attach=false', '--', 'true');
  const [pod = ''] = /node-debugger-\S+/.exec(made.stdout + made.stderr) ?? [];
  assert.notEqual(pod, '', made.stderr);
  const shown = await kubectl('get', 'pod', pod, '-o', 'jsonpath={.spec.hostPID} {.spec.volumes[0].hostPath.path}');
  assert.match(shown.stdout, /^true \/$/);
  assert.equal((await kubectl('delete', 'pod', pod, '--wait=false')).code, 0);
});

test('kubectl debug of a pod is a command in it: asked about where there are Secrets, and let through where there are none', async () => {
  const kubectl = await as('beside-others');
  const names = ['bodies-secret', 'bodies-plain'] as const;
  for (const name of names) {
    const reference = { secretKeyRef: { name: 'bodies', key: 'key', optional: true } };
    const env = name === 'bodies-secret' ? [{ name: 'KEY', valueFrom: reference }] : [];
    const command = ['sleep', '3600'];
    const spec = { containers: [{ name: 'main', image: upstream.image, command, env }] };
    const file = join(dir, `${name}.json`);
    writeFileSync(file, JSON.stringify({ apiVersion: 'v1', kind: 'Pod', metadata: { name }, spec }));
    const made = await kubectl('create', '-f', file);
    assert.equal(made.code, 0, made.stderr);
  }
  const debug = (name: string): ReturnType<typeof kubectl> =>
    kubectl('debug', `pod/${name}`, `--image=${upstream.image}`, '--attach=false', '--', 'true');
  const near = await debug('bodies-secret');
  assert.equal(near.code, 1);
  assert.match(near.stderr, /needs the approval of a reviewer to create pods\/exec "bodies-secret"/);
  const { pod } = await newest('patch', 'pods/ephemeralcontainers', 'bodies-secret');
  assert.deepEqual(pod?.secrets, ['bodies']);
  const far = await debug('bodies-plain');
  const { decision, pod: empty } = await newest('patch', 'pods/ephemeralcontainers', 'bodies-plain');
  assert.deepEqual([decision.effect, empty?.secrets], ['allow', []]);
  // Clusters before 1.25 may not have them.
  if (!/ephemeral containers are disabled for this cluster/.test(far.stderr)) {
    assert.equal(far.code, 0, far.stderr);
    const path = 'jsonpath={.items[*].spec.ephemeralContainers[*].command}';
    assert.equal((await kubectl('get', 'pods', ...names, '-o', path)).stdout, '["true"]');
  }
  await kubectl('delete', 'pod', ...names, '--wait=false');
});

/** Requests that are refused by one rule each, in every encoding that takes them. */
const json = (value: object): string => JSON.stringify(value);
const deployments = '/apis/apps/v1/namespaces/default/deployments';
const pods = '/api/v1/namespaces/default/pods';
const containers = (image: string): string => `[{ name: a, image: "${image}" }]`;
const refused = [
  ['POST', pods, 'application/json', json({ spec: { hostPID: true } }), 'Pods stay off the host.'],
  ['POST', pods, 'application/yaml', 'spec: { hostPID: yes }', 'Pods stay off the host.'],
  ['PATCH', `${pods}/p`, 'application/merge-patch+json', json({ spec: { hostPID: true } }), 'Pods stay off the host.'],
  [
    'PATCH',
    `${pods}/p`,
    'application/strategic-merge-patch+json',
    json({ spec: { hostPID: true } }),
    'Pods stay off the host.',
  ],
  [
    'PATCH',
    `${pods}/p?fieldManager=t`,
    'application/apply-patch+yaml',
    'spec:\n  hostPID: on\n',
    'Pods stay off the host.',
  ],
  // A condition cannot be evaluated on a list of operations, and a deny with an error denies.
  [
    'PATCH',
    `${pods}/p`,
    'application/json-patch+json',
    '[{"op":"add","path":"/spec/hostPID","value":true}]',
    'Pods stay off the host.',
  ],
  ['POST', deployments, 'application/json', json({ spec: { replicas: 6 } }), 'At most five replicas.'],
  ['POST', deployments, 'application/yaml', 'spec: { replicas: 0x6 }', 'At most five replicas.'],
  ['PUT', `${deployments}/d`, 'application/json', json({ spec: { replicas: 6 } }), 'At most five replicas.'],
  [
    'PATCH',
    `${deployments}/d?fieldManager=t`,
    'application/apply-patch+yaml',
    json({ spec: { replicas: 6 } }),
    'At most five replicas.',
  ],
  [
    'POST',
    deployments,
    'application/yaml',
    `spec: { template: { spec: { containers: ${containers('x.example/a')} } } }`,
    'Images come from our registry.',
  ],
  [
    'PATCH',
    `${deployments}/d`,
    'application/strategic-merge-patch+json',
    '{"spec":{"template":{"spec":{"containers":[{"name":"a","image":"x.example/a"}]}}}}',
    'Images come from our registry.',
  ],
] as const;

for (const [method, path, type, body, reason] of refused) {
  test(`${method} of ${type}: ${reason}`, async () => {
    const answered = await sluice.call(method, path, body, { 'content-type': type });
    assert.equal(reasonCode(answered), 'DeniedByRule', answered.body);
    assert.equal((JSON.parse(answered.body) as { message: string }).message, reason);
  });
}
