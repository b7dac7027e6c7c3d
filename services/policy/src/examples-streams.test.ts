// Streams under the shipped policies: what the demo agent runs in pods, asks for, and is refused.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import type { Decision, Effect, StreamRequest } from '@sluice/model';
import { compile } from './compile.ts';
import { Conditions } from './conditions.ts';
import { evaluate } from './evaluate.ts';
import { agent, issuer, request } from './fixtures.ts';
import type { PolicySet } from './policy.ts';

const deploy = new URL('../../../deploy/examples/policies/', import.meta.url);
const tests = new URL('../../../e2e/policies/', import.meta.url);

function setIn(directory: URL, names: readonly string[]): PolicySet {
  const files = names.map((name) => ({ name, text: readFileSync(new URL(name, directory), 'utf8') }));
  const result = compile(files, [issuer]);
  if (result.kind === 'errors') assert.fail(JSON.stringify(result.errors));
  return result.set;
}

const conditions = new Conditions();
after(() => conditions.stop());
const shipped = setIn(deploy, readdirSync(deploy));
const open = setIn(tests, ['streams.yaml']);

const plainPod = { spec: { containers: [{ name: 'main' }], volumes: [{ name: 'token', projected: { sources: [] } }] } };
const secretPod = { spec: { containers: [{ name: 'main' }], volumes: [{ name: 's', secret: { secretName: 'db' } }] } };
const nodePod = { spec: { containers: [{ name: 'main' }], hostPID: true } };
const privilegedPod = { spec: { containers: [{ name: 'main', securityContext: { privileged: true } }] } };

interface Asked {
  readonly kind?: StreamRequest['kind'];
  readonly command?: readonly string[];
  readonly stdin?: boolean;
  readonly tty?: boolean;
  readonly port?: number;
  readonly pod?: unknown;
  readonly namespace?: string;
}

async function decide(set: PolicySet, verb: string, asked: Asked): Promise<Decision> {
  const {
    kind = 'exec',
    command = [],
    stdin = false,
    tty = false,
    port,
    pod = plainPod,
    namespace = 'default',
  } = asked;
  const stream = { kind, command, container: 'main', stdin, stdout: true, stderr: true, tty, ports: [] };
  const more = port === undefined ? {} : { port };
  const asking = request(`${verb} pods/${kind} ${namespace}/web`, { agent: agent(), stream, pod: 'read', ...more });
  const grounds = { set, authority: 0, nowMs: 0, conditions: conditions.evaluate };
  return evaluate(grounds, asking, Buffer.from(JSON.stringify(pod)));
}

const script = (text: string): Asked => ({ command: ['sh', '-c', text] });
const shell: Asked = { command: ['sh'], stdin: true, tty: true };

/** What is asked, effect, rule. */
const rows: readonly (readonly [Asked, Effect, string])[] = [
  // All that the cluster rig's test of streams does.
  [{ command: ['true'] }, 'allow', 'look-inside'],
  [{ command: ['echo', 'hi'] }, 'allow', 'look-inside'],
  [script('echo err >&2; exit 7'), 'allow', 'look-inside'],
  [{ command: ['cat'], stdin: true }, 'allow', 'look-inside'],
  [{ command: ['sha256sum'], stdin: true }, 'allow', 'look-inside'],
  [{ kind: 'attach', stdin: true }, 'allow', 'read-and-feed-the-main-process'],
  [{ kind: 'portforward' }, 'allow', 'reach-what-serves'],
  [{ kind: 'portforward', port: 8080 }, 'allow', 'reach-what-serves'],
  [{ command: ['test', '-d', '/tmp/big'] }, 'allow', 'look-inside'],
  [{ command: ['tar', '-xmf', '-', '-C', '/tmp'], stdin: true }, 'allow', 'look-inside'],
  [{ command: ['tar', 'cf', '-', '/tmp/big'] }, 'allow', 'look-inside'],
  [shell, 'ask', 'look-inside'],
  // And beside it.
  [{ command: ['ls', '/'] }, 'allow', 'look-inside'],
  [script('ls -la /var/log && cat /var/log/app.log | head -5'), 'allow', 'look-inside'],
  [{ command: ['rm', '-rf', '/data'] }, 'deny', 'nothing-is-destroyed-inside'],
  [script('r\\m -r""f /data'), 'deny', 'nothing-is-destroyed-inside'],
  [{ command: ['find', '/', '-delete'] }, 'deny', 'nothing-is-destroyed-inside'],
  [{ command: ['mkfs.ext4', '/dev/sda'] }, 'deny', 'nothing-is-destroyed-inside'],
  [script('$(echo cm0gLXJmIC8K | base64 -d)'), 'ask', 'look-inside'],
  [script('echo cm0gLXJmIC8K | base64 -d | sh'), 'ask', 'look-inside'],
  [{ command: ['python3', '-c', 'print(1)'] }, 'ask', 'look-inside'],
  [{ command: ['curl', 'http://example'] }, 'deny', ''],
  [{ command: ['tar', 'xf', '-'] }, 'deny', ''],
  [{ command: ['ls', '/'], pod: secretPod }, 'ask', 'secrets-are-near'],
  [{ kind: 'attach', pod: secretPod }, 'ask', 'secrets-are-near'],
  [{ command: ['rm', '/'], pod: secretPod }, 'deny', 'nothing-is-destroyed-inside'],
  [{ command: ['ls', '/'], pod: nodePod }, 'ask', 'the-node-is-near'],
  [{ command: ['ls', '/'], pod: privilegedPod }, 'ask', 'the-node-is-near'],
  [{ kind: 'attach', stdin: true, tty: true }, 'ask', 'terminals-are-asked-for'],
  [{ kind: 'portforward', port: 22 }, 'deny', ''],
  [{ command: ['ls', '/'], namespace: 'kube-system' }, 'deny', 'system-is-read-only'],
];

for (const [asked, effect, rule] of rows) {
  for (const verb of ['get', 'create']) {
    test(`the demo agent: ${verb} ${JSON.stringify(asked)}: ${effect}`, async () => {
      const decision = await decide(shipped, verb, asked);
      assert.deepEqual([decision.effect, decision.rule], [effect, rule]);
    });
  }
}

for (const asked of [shell, { kind: 'attach', stdin: true } as const, { kind: 'portforward', port: 22 } as const]) {
  test(`the policy for tests of streams lets through ${JSON.stringify(asked)}`, async () => {
    assert.equal((await decide(open, 'get', asked)).effect, 'allow');
  });
}

for (const call of ['get pods/proxy default/web', 'get nodes/proxy /n1', 'create services/proxy default/web']) {
  test(`the policy for tests of streams lets through ${call}`, async () => {
    const grounds = { set: open, authority: 0, nowMs: 0, conditions: conditions.evaluate };
    assert.equal((await evaluate(grounds, request(call), null)).effect, 'allow');
  });

  test(`no shipped policy lets through ${call}`, async () => {
    const grounds = { set: shipped, authority: 0, nowMs: 0, conditions: conditions.evaluate };
    for (const group of ['', 'agents/ci', 'agents/incident', 'agents/platform', 'agents/read-only']) {
      const asked = request(call, { agent: agent({ name: group === '' ? 'demo' : 'x', groups: [group] }) });
      const decision = await evaluate(grounds, asked, null);
      assert.deepEqual([decision.effect, decision.reasonCode], ['deny', 'DeniedByRule']);
    }
  });
}
