// What a call is judged as, and what may come back, over both protocols. A scripted cluster keeps what arrived.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect, type IncomingHttpHeaders } from 'node:http2';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { after, before, beforeEach, test } from 'node:test';
import {
  type Answered,
  openScripted,
  reasonCode,
  removeScratch,
  type ScriptedCluster,
  Sluice,
  scratch,
  until,
} from '@sluice/testing';

const dir = scratch();
const secret = 'a-value-nobody-may-see';
const base64 = Buffer.from(secret).toString('base64');
let cluster: ScriptedCluster;
let sluice: Sluice;

/** Agents and what they may do, one rule each. */
const agents: Readonly<Record<string, string>> = {
  all: 'verbs: ["*"], resources: ["*", "*/*"]',
  lists: 'verbs: [get, list], resources: [pods, secrets]',
  one: 'verbs: [get, list], resources: [secrets], names: [mine]',
  deletes: 'verbs: [delete], resources: [secrets, pods]',
  patches: 'verbs: [get, patch], resources: [configmaps]',
  audited: 'verbs: [get], resources: [configmaps]',
  creates: 'verbs: [create], resources: [configmaps, pods], names: ["mine-*"]',
  parents:
    'verbs: ["*"], resources: [pods, deployments.apps, serviceaccounts, namespaces, certificatesigningrequests.certificates.k8s.io]',
  tenant: 'verbs: ["*"], resources: ["*"], namespaces: [x]',
  evicts: 'verbs: [create], resources: [pods/eviction]',
  proxies: 'verbs: [get, create, update, patch, delete], resources: ["*", "*/*"]',
  careful:
    'verbs: [create, update, patch], resources: [pods, deployments.apps], when: "!object.spec.?hostPID.orValue(false)"',
};
/** Agents whose reads are recorded whole. */
const recordedInFull: ReadonlySet<string> = new Set(['audited']);
const tokens = new Map<string, string>();

before(async () => {
  cluster = await openScripted(dir);
  const policies = join(dir, 'policies');
  mkdirSync(policies);
  for (const [agent, rule] of Object.entries(agents)) {
    writeFileSync(
      join(policies, `${agent}.yaml`),
      `apiVersion: sluice.internal/v1alpha1
kind: AccessPolicy
metadata: { name: ${agent} }
spec:
  subjects: [{ agent: ${agent} }]
  obligations: { impersonate: { user: "sluice:tier:test", groups: ["sluice:test"] }${recordedInFull.has(agent) ? ', record: full' : ''} }
  rules:
    - { effect: allow, ${rule} }
`,
    );
  }
  const flags = ['--kubeconfig', cluster.kubeconfig, '--policies', policies];
  sluice = await Sluice.start({ home: join(dir, 'home'), flags });
  for (const agent of Object.keys(agents)) {
    const { stdout } = await sluice.cli('kubeconfig', '--agent', agent);
    tokens.set(agent, /token: (\S+)/.exec(stdout)?.[1] ?? '');
  }
});

after(async () => {
  await sluice?.stop();
  await cluster?.close();
  removeScratch(dir);
});

beforeEach(() => {
  cluster.requests.length = 0;
  cluster.answer = () => ({ body: '{"kind":"Status","apiVersion":"v1","status":"Success"}' });
});

type Protocol = 'h1' | 'h2';
interface Asked {
  readonly agent: string;
  readonly method?: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

function ask(protocol: Protocol, { agent, method = 'GET', path, headers = {}, body = '' }: Asked): Promise<Answered> {
  const sent = { authorization: `Bearer ${tokens.get(agent) ?? ''}`, ...headers };
  return protocol === 'h1' ? sluice.call(method, path, body, sent) : askOverH2(method, path, body, sent);
}

async function askOverH2(
  method: string,
  path: string,
  body: string,
  headers: Readonly<Record<string, string>>,
): Promise<Answered> {
  const ca = readFileSync(join(sluice.home, 'tls', 'ca.crt'));
  const session = connect(`https://127.0.0.1:${sluice.state().port}`, { ca });
  try {
    const type = body === '' ? {} : { 'content-type': 'application/json' };
    const stream = session.request(
      { ':method': method, ':path': path, ...type, ...headers },
      { endStream: body === '' },
    );
    if (body !== '') stream.end(body);
    const [answered] = (await once(stream, 'response')) as [IncomingHttpHeaders & { ':status'?: number }];
    return { status: answered[':status'] ?? 0, headers: answered, body: (await buffer(stream)).toString() };
  } finally {
    session.close();
  }
}

/** A test over each protocol. */
function onBoth(name: string, body: (protocol: Protocol) => Promise<void>): void {
  for (const protocol of ['h1', 'h2'] as const) test(`${name}, ${protocol}`, () => body(protocol));
}

async function refused(protocol: Protocol, asked: Asked, reason = 'NoRuleMatched'): Promise<void> {
  const before = cluster.requests.length;
  const answered = await ask(protocol, asked);
  const what = `${asked.method ?? 'GET'} ${asked.path} by ${asked.agent}`;
  assert.equal(reasonCode(answered), reason, what);
  // Before a debug container is decided about, Sluice looks at its pod, as itself.
  const looked = asked.path.endsWith('/ephemeralcontainers') ? `GET ${asked.path.replace(/\/[^/]*$/, '')}` : '';
  const came = cluster.requests.slice(before).filter((one) => {
    return `${one.method} ${one.target}` !== looked || one.headers['impersonate-user'] !== undefined;
  });
  assert.deepEqual(came, [], `${what} went to the cluster`);
}

async function passes(protocol: Protocol, asked: Asked): Promise<Answered> {
  const before = cluster.requests.length;
  const answered = await ask(protocol, asked);
  assert.equal(cluster.requests.length, before + 1, `${asked.path} by ${asked.agent}: ${answered.body}`);
  return answered;
}

function assertMasked(text: string): void {
  assert.ok(!text.includes(secret) && !text.includes(base64), text);
  assert.match(text, /sluice-mask|c2x1aWNlLW1hc2s6/);
}

const secretObject = { kind: 'Secret', apiVersion: 'v1', metadata: { name: 's' }, data: { password: base64 } };
const ns = '/api/v1/namespaces/x';

onBoth(
  'case 4: whether it is a watch is read as the API server reads it, and a repeat is refused',
  async (protocol) => {
    for (const query of ['watch', 'watch=', 'watch=1', 'watch=true', 'watch=x'])
      await refused(protocol, { agent: 'lists', path: `${ns}/pods?${query}` });
    for (const query of ['watch=0', 'watch=false', 'watch=FALSE'])
      await passes(protocol, { agent: 'lists', path: `${ns}/pods?${query}` });
    cluster.requests.length = 0;
    for (const query of ['watch=false&watch=true', 'watch=true&watch=false'])
      await refused(protocol, { agent: 'all', path: `${ns}/pods?${query}` }, 'TargetNotCanonical');
  },
);

onBoth('case 4: a watch is answered event by event, masked', async (protocol) => {
  const event = `${JSON.stringify({ type: 'ADDED', object: secretObject })}\n`;
  cluster.answer = () => ({ body: event + event });
  const { body } = await passes(protocol, { agent: 'all', path: `${ns}/secrets?watch` });
  assertMasked(body);
  assert.equal(body.trim().split('\n').length, 2);
});

onBoth('case 6: the legacy prefixes are judged as watch and proxy', async (protocol) => {
  for (const path of [
    '/api/v1/watch/secrets',
    '/api/v1/watch/namespaces/x/secrets/s',
    '/api/v1/proxy/namespaces/x/pods/p',
  ])
    await refused(protocol, { agent: 'lists', path });
  await refused(protocol, { agent: 'proxies', path: '/api/v1/proxy/namespaces/x/pods/p/metrics' });
  cluster.answer = () => ({ body: `${JSON.stringify({ type: 'ADDED', object: secretObject })}\n` });
  assertMasked((await passes(protocol, { agent: 'all', path: '/api/v1/watch/secrets' })).body);
});

onBoth('case 7: a named get with watch=true is one masked object', async (protocol) => {
  cluster.answer = () => ({ body: JSON.stringify(secretObject) });
  const { body } = await passes(protocol, { agent: 'lists', path: `${ns}/secrets/s?watch=true` });
  assertMasked(body);
  assert.equal((JSON.parse(body) as { kind: string }).kind, 'Secret');
  // A cluster that takes it for a watch all the same is not believed: what is judged is a get.
  const event = `${JSON.stringify({ type: 'ADDED', object: secretObject })}\n`;
  cluster.answer = () => ({ body: event + event });
  const answered = await ask(protocol, { agent: 'lists', path: `${ns}/secrets/s?watch=true` });
  assert.deepEqual([answered.status, reasonCode(answered)], [502, 'ResponseWithheld']);
});

onBoth(
  'case 8: a field selector for a name obeys rules about names, and masked fields are not asked about',
  async (protocol) => {
    await refused(protocol, { agent: 'one', path: `${ns}/secrets` });
    await refused(protocol, { agent: 'one', path: `${ns}/secrets?fieldSelector=metadata.name%3Dother` });
    for (const selector of ['data.password%3Dx', 'stringData.a!%3Dx', 'type%3DOpaque,data.password%3D%3Dx'])
      await refused(protocol, { agent: 'all', path: `${ns}/secrets?fieldSelector=${selector}` }, 'SelectorReadsMasked');
    cluster.answer = () => ({ body: JSON.stringify({ kind: 'SecretList', apiVersion: 'v1', items: [secretObject] }) });
    assertMasked(
      (await passes(protocol, { agent: 'one', path: `${ns}/secrets?fieldSelector=metadata.name%3Dmine` })).body,
    );
    await passes(protocol, { agent: 'all', path: `${ns}/secrets?fieldSelector=type%3DOpaque` });
  },
);

onBoth('case 9: deleting a collection needs its own right, and what it returns is masked', async (protocol) => {
  await refused(protocol, { agent: 'deletes', method: 'DELETE', path: `${ns}/secrets?dryRun=All` });
  cluster.answer = () => ({ body: JSON.stringify({ kind: 'SecretList', apiVersion: 'v1', items: [secretObject] }) });
  assertMasked((await passes(protocol, { agent: 'all', method: 'DELETE', path: `${ns}/secrets?dryRun=All` })).body);
  cluster.answer = () => ({ body: JSON.stringify(secretObject) });
  assertMasked((await passes(protocol, { agent: 'deletes', method: 'DELETE', path: `${ns}/secrets/s` })).body);
});

const apply = { 'content-type': 'application/apply-patch+yaml' };
const mergePatch = { 'content-type': 'application/merge-patch+json' };

onBoth('case 10: a server-side apply may create, so it needs that right, too', async (protocol) => {
  const path = `${ns}/configmaps/c?fieldManager=t`;
  const body = '{"kind":"ConfigMap","apiVersion":"v1"}';
  await refused(protocol, { agent: 'patches', method: 'PATCH', path, headers: apply, body });
  await passes(protocol, { agent: 'patches', method: 'PATCH', path, headers: mergePatch, body: '{"data":{}}' });
  await passes(protocol, { agent: 'all', method: 'PATCH', path, headers: apply, body });
});

onBoth('case 10: a rule about names reads the name a create gives, or leaves to the server', async (protocol) => {
  const path = `${ns}/configmaps`;
  const create = (metadata: object): Asked => ({
    agent: 'creates',
    method: 'POST',
    path,
    body: JSON.stringify({ kind: 'ConfigMap', metadata }),
  });
  for (const metadata of [{ name: 'other' }, { generateName: 'other-' }, { generateName: 'mine' }, {}])
    await refused(protocol, create(metadata));
  for (const metadata of [{ name: 'mine-1' }, { generateName: 'mine-' }, { name: 'mine-2', generateName: 'other-' }])
    await passes(protocol, create(metadata));
});

onBoth('case 11: no rule for a resource grants its subresources', async (protocol) => {
  const subresources = [
    ['POST', `${ns}/pods/p/eviction`],
    ['POST', `${ns}/pods/p/binding`],
    ['PATCH', `${ns}/pods/p/ephemeralcontainers`],
    ['GET', `${ns}/pods/p/log`],
    ['GET', `${ns}/pods/p/exec?command=id`],
    ['PUT', `${ns}/pods/p/status`],
    ['GET', `${ns}/pods/p/proxy/`],
    ['PATCH', '/apis/apps/v1/namespaces/x/deployments/d/scale'],
    ['POST', `${ns}/serviceaccounts/s/token`],
    ['PUT', `${ns}/finalize`],
    ['PUT', '/apis/certificates.k8s.io/v1/certificatesigningrequests/c/approval'],
  ] as const;
  for (const [method, path] of subresources) {
    const sent = method === 'PATCH' ? { headers: mergePatch } : {};
    await refused(protocol, { agent: 'parents', method, path, ...sent, body: method === 'GET' ? '' : '{}' });
  }
});

onBoth('case 11: what a subresource amounts to is judged as well', async (protocol) => {
  await refused(protocol, { agent: 'evicts', method: 'POST', path: `${ns}/pods/p/eviction`, body: '{}' });
  for (const method of ['GET', 'POST', 'PUT', 'DELETE']) {
    const body = method === 'GET' || method === 'DELETE' ? '' : '{}';
    await refused(protocol, { agent: 'proxies', method, path: `${ns}/pods/p/proxy/x`, body });
  }
});

onBoth('case 12: a grant inside a namespace is none on the namespace itself', async (protocol) => {
  for (const method of ['GET', 'DELETE']) await refused(protocol, { agent: 'tenant', method, path: ns });
  await refused(protocol, { agent: 'tenant', method: 'PUT', path: `${ns}/finalize`, body: '{}' });
  await passes(protocol, { agent: 'tenant', path: `${ns}/pods` });
});

onBoth('case 31: whatever encoding an agent asks for, it gets masked JSON or 406', async (protocol) => {
  cluster.answer = () => ({ body: JSON.stringify(secretObject) });
  const accepts = [
    'application/vnd.kubernetes.protobuf',
    'application/cbor',
    'application/yaml',
    '*/*;q=0.1',
    'application/vnd.kubernetes.protobuf;q=0.9,application/json;q=0.1',
    'application/json;q=0, application/vnd.kubernetes.protobuf',
  ];
  for (const accept of accepts) {
    const { body } = await passes(protocol, { agent: 'all', path: `${ns}/secrets/s`, headers: { accept } });
    assertMasked(body);
    const upstream = cluster.requests.at(-1)?.headers.accept ?? '';
    assert.ok(!/protobuf|cbor|yaml/.test(upstream), upstream);
  }
  for (const accept of ['text/html', 'application/json;q=0', 'image/png, text/plain']) {
    const answered = await ask(protocol, { agent: 'all', path: `${ns}/secrets/s`, headers: { accept } });
    assert.deepEqual([answered.status, reasonCode(answered)], [406, 'NotAcceptable']);
  }
});

onBoth('case 32: an answer in another encoding than was asked for is withheld', async (protocol) => {
  for (const type of [
    'application/vnd.kubernetes.protobuf',
    'text/plain',
    'application/yaml',
    'application/cbor',
    '',
  ]) {
    cluster.answer = () => ({ headers: { 'content-type': type }, body: `k8s\0${secret}` });
    for (const path of [`${ns}/secrets/s`, `${ns}/secrets`, `${ns}/secrets?watch=true`]) {
      const answered = await passes(protocol, { agent: 'all', path });
      assert.deepEqual([answered.status, reasonCode(answered)], [502, 'ResponseWithheld'], `${path} as ${type}`);
      assert.ok(!answered.body.includes(secret));
    }
  }
  cluster.answer = () => ({ body: `k8s\0${secret}` });
  const answered = await ask(protocol, { agent: 'all', path: `${ns}/secrets/s` });
  assert.deepEqual([answered.status, answered.body.includes(secret)], [502, false]);
});

onBoth('case 33: objects in tables, in partial metadata and in a failed transform are masked', async (protocol) => {
  const applied = 'kubectl.kubernetes.io/last-applied-configuration';
  const partial = {
    kind: 'PartialObjectMetadata',
    apiVersion: 'meta.k8s.io/v1',
    metadata: { name: 's', annotations: { [applied]: JSON.stringify(secretObject) } },
  };
  const table = { kind: 'Table', apiVersion: 'meta.k8s.io/v1', rows: [{ cells: ['s'], object: secretObject }] };
  const accept = 'application/json;as=Table;v=v1;g=meta.k8s.io';
  for (const object of [table, partial, secretObject]) {
    cluster.answer = () => ({ body: JSON.stringify(object) });
    const asked = { agent: 'all', path: `${ns}/secrets?includeObject=Object`, headers: { accept } };
    assertMasked((await passes(protocol, asked)).body);
  }
  for (const object of [table, partial, secretObject]) {
    cluster.answer = () => ({ body: `${JSON.stringify({ type: 'ADDED', object })}\n` });
    assertMasked(
      (await passes(protocol, { agent: 'all', path: `${ns}/secrets?watch=true`, headers: { accept } })).body,
    );
  }
});

/** Bodies that say hostPID in a way that one reader sees and another may not. */
const hostPid = [
  ['application/json', '{"spec":{"hostPID":true}}', 'NoRuleMatched'],
  ['application/json', '{"spec":{"host\\u0050ID":true}}', 'BodyNotReadable'],
  ['application/json', '{"spec":{"hostPID":true,"hostPID":false}}', 'BodyNotReadable'],
  ['application/json', '{"spec":{"hostPID":false},"spec":{"hostPID":true}}', 'BodyNotReadable'],
  ['application/json', '\ufeff{"spec":{"hostPID":true}}', 'BodyNotReadable'],
  ['application/json', '{"spec":{}} {"spec":{"hostPID":true}}', 'BodyNotReadable'],
  ['application/yaml', 'spec:\n  hostPID: yes', 'NoRuleMatched'],
  ['application/yaml', 'x: &x { hostPID: on }\nspec: *x', 'NoRuleMatched'],
  ['application/yaml', 'x: &x { hostPID: true }\nspec:\n  <<: *x', 'NoRuleMatched'],
  ['application/yaml', 'spec: {}\n---\nspec: { hostPID: true }', 'BodyNotReadable'],
  ['application/yaml', 'spec: { hostPID: false, hostPID: true }', 'BodyNotReadable'],
  ['application/cbor', '\u00d9\u00d9', 'MediaTypeNotSupported'],
] as const;

onBoth('case 34: policy sees what the cluster would see, in every encoding', async (protocol) => {
  for (const [type, body, reason] of hostPid) {
    const asked = { agent: 'careful', method: 'POST', path: `${ns}/pods`, headers: { 'content-type': type }, body };
    await refused(protocol, asked, reason);
  }
  const yaml = { 'content-type': 'application/yaml' };
  const body = 'spec:\n  hostPID: no\n  mode: 0644\n';
  await passes(protocol, { agent: 'careful', method: 'POST', path: `${ns}/pods`, headers: yaml, body });
  const arrived = cluster.requests.at(-1);
  assert.equal(arrived?.headers['content-type'], 'application/json');
  assert.deepEqual(JSON.parse(arrived?.body.toString() ?? ''), { spec: { hostPID: false, mode: 420 } });
});

test('of a read the first 64 KiB are recorded, of a watch all, and of a read where the policy says so', async () => {
  const object = { kind: 'ConfigMap', apiVersion: 'v1', data: { text: 'x'.repeat(200_000) } };
  const answer = JSON.stringify(object);
  const event = JSON.stringify({ type: 'ADDED', object });
  for (const [agent, path, answered, expected] of [
    ['patches', `${ns}/configmaps/c`, answer, 64 * 1024],
    ['audited', `${ns}/configmaps/c`, answer, answer.length],
    ['all', `${ns}/configmaps?watch=true`, event, event.length],
  ] as const) {
    cluster.answer = () => ({ body: answered });
    const { body } = await passes('h1', { agent, path });
    assert.equal(body, answered);
    const call = await until('the call', async () => {
      const calls = await sluice.calls('--agent', agent);
      return calls.find(({ id }) => id === cluster.requests.at(-1)?.headers['audit-id']);
    });
    const bytes = await until('its outcome', async () => {
      const frames = await sluice.frames(call.id);
      if (!frames.some(({ kind }) => kind === 'outcome')) return undefined;
      const responses = frames.filter(({ kind }) => kind === 'response');
      return responses.reduce((sum, { bytesBase64 }) => sum + Buffer.from(bytesBase64, 'base64').length, 0);
    });
    assert.equal(bytes, expected, agent);
  }
});
