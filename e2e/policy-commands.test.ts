// `sluice policy check`, `apply` and `explain` as people and scripts use them.
import assert from 'node:assert/strict';
import { createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type Decision, type DecisionRequest, encodeDecisionRequest, type Grant, type Reviewer } from '@sluice/model';
import { loadKey, openDecision, signGrant } from '@sluice/runtime';
import { localIssuer } from '@sluice/runtime/identity';
import {
  type Ended,
  openDemo,
  removeScratch,
  repository,
  run,
  Sluice,
  scratch,
  type Upstream,
  until,
} from '@sluice/testing';
import { homePaths } from '../cli/src/home.ts';
import { askRunning } from '../cli/src/running.ts';

const dir = scratch();
const examples = join(repository, 'deploy', 'examples', 'policies');
const own = join(dir, 'own');
const broken = join(dir, 'broken.yaml');
const body = join(dir, 'deployment.json');
let upstream: Upstream;
let sluice: Sluice;

/** How a policy of the demo agent begins. */
function head(name: string): string {
  const spec = 'spec:\n  subjects: [{ agent: demo }]\n';
  return `apiVersion: sluice.internal/v1alpha1\nkind: AccessPolicy\nmetadata: { name: ${name} }\n${spec}`;
}

before(async () => {
  mkdirSync(own);
  writeFileSync(
    join(own, 'own.yaml'),
    `${head('own')}  otherwise: ask
  obligations: { record: full, impersonate: { user: "sluice:tier:demo", groups: ["sluice:demo"] } }
  rules:
    - { effect: allow, verbs: [get], nonResourceURLs: ["*"] }
    - { name: look, effect: allow, verbs: [get, list], resources: [pods] }
    - { name: few, effect: allow, verbs: [create], resources: [deployments.apps], when: object.spec.replicas < 3 }
    - name: careful
      effect: ask
      verbs: [delete]
      resources: [services]
      approval: { reviewers: ["group:sre", "local:alice"], hold: 90s, expires: 2h }
    - { name: never, effect: deny, verbs: ["*"], resources: [secrets], reason: "Not here." }
`,
  );
  writeFileSync(broken, `${head('own')}  rules:\n    - { effect: perhaps, verbs: [gte], resources: [pods] }\n`);
  writeFileSync(body, '{"spec":{"replicas":2}}');
  upstream = await openDemo(dir);
  sluice = await Sluice.start({ home: join(dir, 'home'), flags: ['--kubeconfig', upstream.kubeconfig] });
});

after(async () => {
  await sluice?.stop();
  await upstream?.close();
  removeScratch(dir);
});

/** The CLI where no Sluice runs. */
function offline(...args: readonly string[]): Promise<Ended> {
  const env = { ...process.env, SLUICE_HOME: join(dir, 'nowhere') };
  return run(join(repository, 'cli', 'bin', 'sluice'), ['policy', ...args], env);
}

const explain = (...args: readonly string[]): Promise<Ended> => sluice.cli('policy', 'explain', '--json', ...args);

test('check says what compiles, without a running Sluice', async () => {
  const { code, stdout } = await offline('check', examples, join(own, 'own.yaml'));
  assert.equal(code, 0);
  assert.match(stdout, /^\d+ policies, \d+ rules: no faults\n$/);
});

test('check says of every fault where it is and what would be right, one line each, and exits 1', async () => {
  const { code, stdout, stderr } = await offline('check', broken);
  assert.deepEqual([code, stdout], [1, '']);
  const lines = stderr.trim().split('\n');
  assert.ok(
    lines.some((line) => line.startsWith(`${broken}:7:17: effect is deny or allow or ask`)),
    stderr,
  );
  assert.ok(
    lines.some((line) => line.startsWith(`${broken}:7:34: no such verb; known here: get`)),
    stderr,
  );
});

test('a file that is not there is one line, and exit 1', async () => {
  const { code, stderr } = await offline('check', join(dir, 'no-such.yaml'));
  assert.equal(code, 1);
  assert.match(stderr, /^sluice: there are no policies at .*no-such\.yaml; .*\n$/);
});

test('explain by a file needs no running Sluice, and has the keys that scripts rely on', async () => {
  const { code, stdout } = await offline(
    'explain',
    '--json',
    '--as',
    'demo',
    '--verb',
    'get',
    '--resource',
    'pods',
    '--policies',
    own,
  );
  assert.equal(code, 0);
  assert.deepEqual(JSON.parse(stdout), {
    effect: 'allow',
    policy: 'own',
    rule: 'look',
    reasonCode: 'AllowedByRule',
    reason: '',
    obligations: { impersonate: { user: 'sluice:tier:demo', groups: ['sluice:demo'] }, record: 'full' },
    terms: null,
  });
});

const deleteService = ['--as', 'demo', '--verb', 'delete', '--resource', 'services', '-n', 'shop', '--name', 'web'];

test('explain says who may approve what asks, how long the call waits, and how long that is open', async () => {
  const { stdout } = await offline('explain', '--json', ...deleteService, '--policies', own);
  const { effect, rule, terms } = JSON.parse(stdout) as { effect: string; rule: string; terms: unknown };
  assert.deepEqual([effect, rule], ['ask', 'careful']);
  const reviewers = [['group:sre', 'local:alice']];
  assert.deepEqual(terms, { reviewers, quorum: 1, holdMs: 90_000, expiresMs: 7_200_000 });
  const told = await offline('explain', ...deleteService, '--policies', own);
  assert.match(told.stdout, /^reviewers +group:sre or local:alice$.*^hold +90s$.*^expires +2h$/ms);
  const unknown = ['--as', 'demo', '--verb', 'delete', '--resource', 'pods', '-n', 'shop', '--name', 'web'];
  const otherwise = await offline('explain', ...unknown, '--policies', own);
  assert.match(otherwise.stdout, /^reviewers +anyone$.*^hold +1m$.*^expires +30m$/ms);
});

test('explain of a command says what it would be, and its grade', async () => {
  const about = ['explain', '--as', 'demo', '--verb', 'create', '-n', 'shop', '--name', 'web', '--policies', examples];
  const onExec = [...about, '--resource', 'pods/exec', '--json'];
  for (const [rest, effect, grade] of [
    [['--', 'ls', '-la', '/'], 'allow', 'plain'],
    [['--', 'sh', '-c', 'r\\m -r""f /data'], 'deny', 'plain'],
    [['--tty', '--stdin', '--', 'sh'], 'ask', 'interactive'],
  ] as const) {
    const { stdout } = await offline(...onExec, ...rest);
    const decision = JSON.parse(stdout) as { effect: string; grade: string };
    assert.deepEqual([decision.effect, decision.grade], [effect, grade]);
  }
  const pod = join(dir, 'pod.json');
  writeFileSync(pod, '{"spec":{"containers":[],"imagePullSecrets":[{"name":"registry"}]}}');
  const near = await offline(...onExec, '--pod', pod, '--', 'ls');
  assert.equal((JSON.parse(near.stdout) as { rule: string }).rule, 'secrets-are-near');
  const forward = await offline(...about, '--resource', 'pods/portforward', '--port', '22');
  assert.match(forward.stdout, /^effect +deny$.*at port 22: no rule allows it/ms);
  const other = await offline(...about, '--resource', 'pods', '--tty');
  assert.deepEqual([other.code, /^sluice: a command, --tty, .* are for pods\/exec/.test(other.stderr)], [1, true]);
});

test('explain of a debug container looks at what is added and at the pod', async () => {
  const policies = join(dir, 'debugging.yaml');
  const identity = '  obligations: { impersonate: { user: "sluice:tier:demo", groups: ["sluice:demo"] } }\n';
  const rules = [
    '{ effect: allow, verbs: [patch], resources: [pods/ephemeralcontainers] }',
    '{ effect: allow, verbs: [create], resources: [pods/exec], exec: { commands: [[ls]] } }',
    '{ effect: ask, verbs: [create], resources: [pods/exec], when: pod.secrets.size() > 0 }',
  ];
  writeFileSync(policies, `${head('debugging')}${identity}  rules:\n    - ${rules.join('\n    - ')}\n`);
  const added = join(dir, 'added.json');
  writeFileSync(added, '{"spec":{"ephemeralContainers":[{"name":"a","command":["ls"]}]}}');
  const pod = join(dir, 'near.json');
  writeFileSync(pod, '{"spec":{"containers":[{"envFrom":[{"secretRef":{"name":"db"}}]}]}}');
  const about = ['explain', '--as', 'demo', '--verb', 'patch', '--resource', 'pods/ephemeralcontainers', '-n', 'shop'];
  for (const [rest, effect] of [
    [['--object', added], 'allow'],
    [['--object', added, '--pod', pod], 'ask'],
  ] as const) {
    const { stdout, stderr } = await offline(...about, '--name', 'web', '--json', '--policies', policies, ...rest);
    assert.equal((JSON.parse(stdout || '{}') as { effect?: string }).effect, effect, stderr);
  }
  const unfit = await offline('explain', '--as', 'demo', '--verb', 'get', '--resource', 'pods', '--pod', pod);
  assert.match(unfit.stderr, /^sluice: --pod is for pods\/exec, .* pods\/ephemeralcontainers\n$/);
});

test('explain of a condition looks at the object it is given', async () => {
  const create = [
    'explain',
    '--as',
    'demo',
    '--verb',
    'create',
    '--resource',
    'deployments.apps',
    '-n',
    'a',
    '--policies',
    own,
  ];
  assert.match((await offline(...create, '--object', body)).stdout, /^effect +allow$.*^rule +few$/ms);
  assert.match((await offline(...create)).stdout, /^effect +ask$/m);
});

test('explain without policies and without a running Sluice says which way is out', async () => {
  const { code, stderr } = await offline('explain', '--as', 'demo', '--verb', 'get', '--resource', 'pods');
  assert.equal(code, 1);
  assert.match(stderr, /no Sluice runs here; name the policies: --policies/);
});

test('explain asks the running Sluice what is in force, before and after an apply', async () => {
  const pods = ['--as', 'demo', '--verb', 'delete', '--resource', 'pods', '-n', 'shop', '--name', 'web'];
  const { effect, policy } = JSON.parse((await explain(...pods)).stdout) as { effect: string; policy: string };
  assert.deepEqual([effect, policy], ['allow', 'demo-agent']);
  const applied = await sluice.cli('policy', 'apply', own);
  assert.match(
    applied.stdout,
    /^1 policies, 5 rules in force \(version [0-9a-f]{16}, authority \d+\) on 1 ingress and 1 policy processes\n$/,
  );
  const after = JSON.parse((await explain(...pods)).stdout) as { effect: string; reasonCode: string };
  assert.deepEqual([after.effect, after.reasonCode], ['ask', 'ApprovalRequired']);
  const secrets = await explain('--as', 'demo', '--verb', 'get', '--resource', 'secrets');
  assert.deepEqual((JSON.parse(secrets.stdout) as { reason: string }).reason, 'Not here.');
});

/** What the running policy worker decides about the delete of a service, given what may be a grant for it. */
async function decideAgain(key: KeyObject, reviewers: readonly Reviewer[]): Promise<Decision> {
  const shape = 'ab'.repeat(32);
  const agent = { name: 'demo', issuer: localIssuer, groups: [] };
  const grant: Grant = { approval: 'a', agent, connection: 'c', shape, reviewers };
  const request: DecisionRequest = {
    call: '0190a000-0000-7000-8000-000000000000',
    digest: 'd',
    agent,
    connection: 'c',
    attributes: {
      kind: 'resource',
      verb: 'delete',
      apiGroup: '',
      version: 'v1',
      resource: 'services',
      subresource: '',
      namespace: 'shop',
      name: 'web',
    },
    generateName: '',
    body: 'none',
    granted: { shape, grant: signGrant(key, grant) },
  };
  const home = homePaths(sluice.home);
  const reply = await askRunning(home, '/v1/decide', encodeDecisionRequest(request, Buffer.alloc(0)));
  assert.ok(reply !== null);
  const decision = openDecision(loadKey({ SLUICE_KEYS_DIR: home.keys }, 'decisions'), reply, 'd', Date.now());
  assert.ok(decision !== null);
  return decision;
}

test('a grant signed with the key of this deployment lets through what asks; any other does not', async () => {
  const grants = loadKey({ SLUICE_KEYS_DIR: homePaths(sluice.home).keys }, 'grants');
  const alice = { name: 'local:alice', groups: [] };
  const effects = await Promise.all([
    decideAgain(grants, [alice]),
    decideAgain(grants, [{ ...alice, name: 'local:bob' }]),
    decideAgain(createSecretKey(randomBytes(32)), [alice]),
  ]);
  assert.deepEqual(
    effects.map(({ reasonCode, rule }) => [reasonCode, rule]),
    [
      ['AllowedByApproval', 'careful'],
      ['ApprovalRequired', 'careful'],
      ['ApprovalRequired', 'careful'],
    ],
  );
});

test('what no rule matches waits for a reviewer, where a policy asks about all else', async () => {
  const deleting = sluice.kubectl('delete', 'pod', 'web', '-n', 'shop');
  const { id, summary } = await until('the ask', async () => {
    const { stdout } = await sluice.cli('approvals', 'list', '--state', 'pending', '--json');
    return (JSON.parse(stdout) as { readonly id: string; readonly summary: string }[])[0];
  });
  assert.equal(summary, 'agent "demo" wants to delete pods "web" in namespace "shop"');
  assert.equal((await sluice.cli('approvals', 'deny', id, '--reason', 'no')).code, 0);
  assert.match((await deleting).stderr, /Forbidden\): local:\S+ has denied approval \w+: no$/m);
  const call = await until('its outcome', async () =>
    (await sluice.calls('--effect', 'ask')).find(({ outcome }) => outcome !== null),
  );
  assert.deepEqual([call.effect, call.reasonCode, call.outcome], ['ask', 'ApprovalDenied', 'refused']);
});

test('a body that was not masked does not travel: --object and --pod need --policies', async () => {
  const { code, stderr } = await explain('--as', 'demo', '--verb', 'create', '--resource', 'pods', '--object', body);
  assert.equal(code, 1);
  assert.match(stderr, /--object and --pod need --policies/);
});
