// Policies change under load, on several ingress and policy processes, and their writer dies. The upstream's own log
// is the judge.
import assert from 'node:assert/strict';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { DemoCluster } from '@sluice/demo-cluster';
import { authority } from '@sluice/model';
import { createLogger, openAuthorityStore, openBroker } from '@sluice/runtime';
import {
  type Ended,
  type ExtraService,
  openDemo,
  reasonCode,
  removeScratch,
  type ServiceName,
  Sluice,
  scratch,
  startService,
  TestBroker,
  type Upstream,
  until,
} from '@sluice/testing';

const dir = scratch();
const policies = join(dir, 'policies');
let server: TestBroker;
let upstream: Upstream & { readonly cluster: DemoCluster };
let sluice: Sluice;
const extras: ExtraService[] = [];
/** Where the two ingress processes listen. */
const ports: number[] = [];

before(async () => {
  server = await TestBroker.start();
  upstream = await openDemo(dir);
  mkdirSync(policies);
  write('base', base);
  sluice = await Sluice.start({
    home: join(dir, 'home'),
    flags: ['--kubeconfig', upstream.kubeconfig, '--policies', policies],
    env: server.env,
  });
  ports.push(sluice.state().port);
  const env = { PATH: process.env['PATH'], ...server.env, SLUICE_KEYS_DIR: join(sluice.home, 'keys') };
  const tls = join(sluice.home, 'tls');
  const facts = await extra('ingress', {
    ...env,
    SLUICE_PORT: '0',
    SLUICE_TLS_CERT: join(tls, 'ingress.crt'),
    SLUICE_TLS_KEY: join(sluice.home, 'keys', 'ingress.key'),
    SLUICE_KUBECONFIG: upstream.kubeconfig,
  });
  ports.push(Number(facts['port']));
  for (const _ of [2, 3]) await extra('policy', { ...env, SLUICE_ISSUERS: 'sluice' });
});

after(async () => {
  for (const service of extras) await service.stop();
  await sluice?.stop();
  await upstream?.close();
  await server?.close();
  removeScratch(dir);
});

async function extra(name: ServiceName, env: NodeJS.ProcessEnv): Promise<ExtraService['facts']> {
  const service = await startService(name, env, join(dir, `extra-${name}.log`));
  extras.push(service);
  return service.facts;
}

const base = `
  obligations: { impersonate: { user: "sluice:tier:demo", groups: ["sluice:demo"] } }
  rules:
    - { effect: allow, verbs: ["*"], resources: [configmaps, namespaces] }
    - { effect: allow, verbs: [get], nonResourceURLs: ["*"] }`;
const frozen = `
  rules:
    - { name: frozen, effect: deny, verbs: [create, list], resources: [configmaps], reason: "Frozen." }`;

function write(name: string, spec: string): void {
  const text = `apiVersion: sluice.internal/v1alpha1
kind: AccessPolicy
metadata: { name: ${name} }
spec:
  subjects: ["*"]${spec}
`;
  writeFileSync(join(policies, `${name}.yaml`), text);
}

const apply = (): Promise<Ended> => sluice.cli('policy', 'apply', policies);

let counter = 0;

/** A create that is made once; its name finds it in the upstream's log. */
async function create(
  port: number,
): Promise<{ readonly name: string; readonly status: number; readonly reason: string }> {
  const name = `authority-${++counter}`;
  const body = JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name } });
  const answered = await sluice.call('POST', '/api/v1/namespaces/default/configmaps', body, {}, { port });
  return { name, status: answered.status, reason: answered.status === 201 ? '' : reasonCode(answered) };
}

function reachedUpstream(name: string): boolean {
  return upstream.cluster.log.some((entry) => entry.kind === 'request' && entry.body.includes(`"${name}"`));
}

test('a policy that forbids is in force everywhere when apply returns, under load, again and again', async () => {
  const over = new AbortController();
  const statuses = new Set<number>();
  const load = ports.flatMap((port) =>
    [1, 2].map(async () => {
      while (!over.signal.aborted) statuses.add((await create(port)).status);
    }),
  );
  for (let round = 1; round <= 5; round++) {
    write('freeze', frozen);
    const forbidden = await apply();
    assert.equal(forbidden.code, 0, forbidden.stderr);
    assert.match(forbidden.stdout, /on 2 ingress and 3 policy processes/);
    for (const port of [...ports, ...ports, ...ports]) {
      const { name, status, reason } = await create(port);
      assert.deepEqual([status, reason, reachedUpstream(name)], [403, 'DeniedByRule', false], `round ${round}`);
    }
    rmSync(join(policies, 'freeze.yaml'));
    assert.equal((await apply()).code, 0);
    for (const port of ports) {
      const { name, status } = await create(port);
      assert.deepEqual([status, reachedUpstream(name)], [201, true], `round ${round}`);
    }
  }
  over.abort();
  await Promise.all(load);
  assert.ok(statuses.has(201) && statuses.has(403), [...statuses].join());
});

test('a call that was decided before a change, and has not been sent yet, is not made', async () => {
  const point = sluice.arm('after-ack');
  const [port = 0] = ports;
  const creating = create(port);
  await point.reached();
  write('freeze', frozen);
  assert.equal((await apply()).code, 0);
  point.release();
  const { name, status, reason } = await creating;
  assert.deepEqual([status, reason, reachedUpstream(name)], [503, 'AuthorityChanged', false]);
  rmSync(join(policies, 'freeze.yaml'));
  assert.equal((await apply()).code, 0);
});

test('a set that does not compile changes nothing, and says where', async () => {
  write('broken', '\n  rules:\n    - { effect: deny, verbs: [create], resources: [configmaps], when: "objct.x" }');
  const { code, stderr } = await apply();
  rmSync(join(policies, 'broken.yaml'));
  assert.equal(code, 1);
  assert.match(stderr, /broken\.yaml:7:72: not a condition in CEL: Unknown variable: objct/);
  assert.match(stderr, /Nothing has changed/);
  for (const port of ports) assert.equal((await create(port)).status, 201);
});

/** What is there already comes from a list that goes before the watch. */
async function isWatched(): Promise<boolean> {
  return (await sluice.calls()).some(({ verb, outcome }) => verb === 'watch' && outcome === null);
}

test('a watch that is no longer allowed ends with an event that says why, and the record says it was cut', async () => {
  const watching = sluice.kubectlLive('get', 'configmaps', '-w', '--output-watch-events');
  let seen = '';
  for (const stream of [watching.stdout, watching.stderr])
    stream?.on('data', (data: Buffer) => (seen += data.toString()));
  await until('the watch to stand', async () => /ADDED/.test(seen) && (await isWatched()));
  write('freeze', frozen);
  assert.equal((await apply()).code, 0);
  await until('the event', () => /ERROR.*Frozen\./s.test(seen));
  rmSync(join(policies, 'freeze.yaml'));
  assert.equal((await apply()).code, 0);
  await until('the outcome of the watch', async () => {
    const [watch] = (await sluice.calls()).filter(({ verb, outcome }) => verb === 'watch' && outcome === 'cut');
    return watch?.reasonCode === 'DeniedByRule';
  });
});

test('a call runs no longer than its policy lets it, and says so', async () => {
  write('base', base.replace('obligations: {', 'obligations: { deadline: 2s,'));
  assert.equal((await apply()).code, 0);
  const { stdout, stderr } = await sluice.kubectl('get', 'configmaps', '-w', '--output-watch-events');
  write('base', base);
  assert.equal((await apply()).code, 0);
  assert.match(stdout + stderr, /ERROR.*as long as the policy lets it run/s);
  await until('its outcome', async () =>
    (await sluice.calls()).some((row) => row.reasonCode === 'DeadlineReached' && row.outcome === 'cut'),
  );
});

test('a writer that does not answer stops new calls and cuts watches; when it answers again, calls go through', async () => {
  const watching = sluice.kubectlLive('get', 'configmaps', '-w', '--output-watch-events');
  let seen = '';
  for (const stream of [watching.stdout, watching.stderr])
    stream?.on('data', (data: Buffer) => (seen += data.toString()));
  await until('the watch to stand', async () => /ADDED/.test(seen) && (await isWatched()));
  const pid = sluice.state().parts['approval'] ?? 0;
  process.kill(pid, 'SIGSTOP');
  try {
    for (const port of ports) {
      await until('new calls to stop', async () => (await create(port)).reason === 'AuthorityLost');
      const { name, status, reason } = await create(port);
      assert.deepEqual([status, reason, reachedUpstream(name)], [503, 'AuthorityLost', false]);
    }
    await until('the watch to be cut', () => /ERROR/.test(seen));
  } finally {
    process.kill(pid, 'SIGCONT');
  }
  for (const port of ports) await until('calls to go through', async () => (await create(port)).status === 201);
});

test('a writer that is killed is started again, and knows what is in force', async () => {
  await sluice.kill('approval');
  for (const port of ports) await until('calls to go through', async () => (await create(port)).status === 201);
  write('freeze', frozen);
  await until('an apply to go through', async () => (await apply()).code === 0);
  for (const port of ports) assert.equal((await create(port)).reason, 'DeniedByRule');
  rmSync(join(policies, 'freeze.yaml'));
  assert.equal((await apply()).code, 0);
});

test('workers that cannot compile what is in force leave, so nothing is decided; the next good set heals it', async () => {
  const broker = await openBroker(server.env, 'test', createLogger('test', '/dev/null'));
  const store = await openAuthorityStore(broker);
  const good = await store.last(authority.policies);
  const bad = JSON.stringify({ files: [{ name: 'future.yaml', text: 'apiVersion: sluice.internal/v9\n' }] });
  await store.append(authority.policies, Buffer.from(bad), await store.head());
  // Its writer has been passed by, and finds that out as it writes.
  write('freeze', frozen);
  assert.notEqual((await apply()).code, 0);
  for (const port of ports)
    await until('asks without an answer', async () => (await create(port)).reason === 'PolicyUnavailable');
  await store.append(authority.policies, good?.payload ?? Buffer.alloc(0), await store.head());
  rmSync(join(policies, 'freeze.yaml'));
  await sluice.kill('approval');
  for (const port of ports) await until('calls to go through', async () => (await create(port)).status === 201);
  await broker.drain();
});
