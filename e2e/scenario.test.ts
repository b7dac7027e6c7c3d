// The thin line as an agent and an auditor live it: one story, on the demo cluster and on a real one, told with the
// kubectl on PATH or with each that SLUICE_E2E_KUBECTLS names.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { CallRow } from '@sluice/model';
import {
  type Kubectl,
  onRealCluster,
  openUpstream,
  removeScratch,
  Sluice,
  scratch,
  type Upstream,
  until,
} from '@sluice/testing';

const dir = scratch();
const plainPassword = 'a-password-only-the-cluster-may-know';
/** A cluster may be shared: nothing here meets what another run has there. */
const runId = randomBytes(3).toString('hex');
let upstream: Upstream;
let sluice: Sluice;

before(async () => {
  upstream = await openUpstream(dir);
  sluice = await Sluice.start({ home: join(dir, 'home'), flags: ['--kubeconfig', upstream.kubeconfig] });
});

after(async () => {
  await sluice?.stop();
  await upstream?.close();
  removeScratch(dir);
});

for (const program of (process.env['SLUICE_E2E_KUBECTLS'] || 'kubectl').split(delimiter)) {
  const version = versionOf(program);
  void describe(`kubectl ${version}`, () => tellStory(program, `thin-line-${version.replaceAll('.', '-')}-${runId}`));
}

function versionOf(kubectl: string): string {
  const { stdout, error } = spawnSync(kubectl, ['version', '--client', '-o', 'json'], { encoding: 'utf8' });
  if (error !== undefined) throw error;
  const { clientVersion } = JSON.parse(stdout) as { clientVersion: { gitVersion: string } };
  return clientVersion.gitVersion.replace(/^v/, '');
}

/** What an agent does with a kubectl; `name` is that of each object it makes. */
function tellStory(program: string, name: string): void {
  const manifests = join(dir, name);
  let kubectl: Kubectl;
  let began: string;

  before(() => {
    began = new Date().toISOString();
    kubectl = sluice.withKubectl(program);
    mkdirSync(manifests);
    writeFileSync(
      join(manifests, 'config.yaml'),
      `apiVersion: v1
kind: ConfigMap
metadata: { name: ${name}, namespace: default }
data: { color: green }
---
apiVersion: v1
kind: Secret
metadata: { name: ${name}, namespace: default }
stringData: { password: ${plainPassword} }
`,
    );
    writeFileSync(
      join(manifests, 'web.yaml'),
      `apiVersion: apps/v1
kind: Deployment
metadata: { name: ${name}, namespace: default }
spec:
  replicas: 1
  selector: { matchLabels: { app: ${name} } }
  template:
    metadata: { labels: { app: ${name} } }
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: main
          image: ${upstream.image}
          imagePullPolicy: Never
          command: [sh, -c, 'i=0; while :; do echo "tick $i"; i=$((i+1)); sleep 1; done']
`,
    );
  });

  after(async () => {
    await kubectl?.run('delete', '-f', manifests, '--ignore-not-found', '--wait=false');
  });

  async function works(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await kubectl.run(...args);
    assert.equal(code, 0, `kubectl ${args.join(' ')}: ${stderr}`);
    return stdout;
  }

  test('an agent looks around', async () => {
    await works('get', 'pods', '-A');
    assert.match(await works('get', 'namespaces'), /^default\s+Active/m);
  });

  test('an agent applies a directory, and applying it again changes nothing but the secret it cannot compare', async () => {
    assert.match(await works('apply', '-f', manifests), new RegExp(`secret/${name} created`));
    const again = await works('apply', '-f', manifests);
    assert.match(again, new RegExp(`configmap/${name} unchanged`));
    assert.match(again, new RegExp(`deployment.apps/${name} unchanged`));
  });

  test('rollout status follows the deployment to its end', async () => {
    assert.match(await works('rollout', 'status', `deployment/${name}`, '--timeout=50s'), /successfully rolled out/);
  });

  test('a Secret comes out masked, in every form kubectl has', async () => {
    const base64 = Buffer.from(plainPassword).toString('base64');
    for (const form of [['-o', 'yaml'], ['-o', 'json'], ['-o', 'jsonpath={.data.password}'], ['--output=wide']]) {
      const shown = await works('get', 'secret', name, ...form);
      assert.ok(!shown.includes(plainPassword) && !shown.includes(base64), shown);
    }
    const encoded = await works('get', 'secret', name, '-o', 'jsonpath={.data.password}');
    assert.match(Buffer.from(encoded, 'base64').toString(), /^sluice-mask:v1:/);
    assert.match(await works('describe', 'secret', name), /password:\s+\d+ bytes/);
    assert.match(await works('get', 'secrets'), new RegExp(`^${name}\\s+Opaque\\s+1`, 'm'));
  });

  test('a mask that is written back is refused, and the secret is still there', async () => {
    const masked = await works('get', 'secret', name, '-o', 'json');
    const { code, stderr } = await kubectl.runWith(masked, 'replace', '-f', '-');
    assert.notEqual(code, 0);
    assert.match(stderr, /the body holds a mask in place of a secret/);
  });

  test('a watch shows what happens', async () => {
    const watching = kubectl.start('get', 'configmaps', '-w', '--output-watch-events', '-n', 'default');
    let seen = '';
    watching.stdout?.on('data', (data: Buffer) => {
      seen += data.toString();
    });
    await until('the watch to stand', () => new RegExp(`ADDED\\s+${name}`).test(seen));
    await works('patch', 'configmap', name, '--type=merge', '-p', '{"data":{"color":"blue"}}');
    await until('the change in the watch', () => new RegExp(`MODIFIED\\s+${name}`).test(seen));
    watching.kill('SIGINT');
  });

  test('logs are followed', async () => {
    const following = kubectl.start('logs', '-f', `deployment/${name}`);
    let seen = '';
    following.stdout?.on('data', (data: Buffer) => {
      seen += data.toString();
    });
    await until('three lines of the log', () => (seen.match(/tick/g) ?? []).length >= 3);
    following.kill('SIGINT');
  });

  test('kubectl asks what it always asks: diff, auth can-i, api-resources', async () => {
    await works('diff', '-f', join(manifests, 'web.yaml'));
    assert.match(await works('auth', 'can-i', 'get', 'pods'), /^yes/);
    assert.match(await works('api-resources'), /deployments\s+deploy\s+apps\/v1/);
  });

  // The demo cluster publishes no schemas.
  if (onRealCluster) {
    test('explain knows the fields', async () => {
      assert.match(await works('explain', 'deployment.spec'), /replicas/);
    });
  }

  test('deleting a namespace is refused with the rule\u2019s reason, in kubectl\u2019s own words', async () => {
    const { code, stderr } = await kubectl.run('delete', 'namespace', 'default');
    assert.equal(code, 1);
    assert.match(
      stderr,
      /^Error from server \(Forbidden\): Namespaces are deleted by their owners, through the platform's pipeline\.$/m,
    );
  });

  test('exec is refused with a sentence', async () => {
    const { code, stderr } = await kubectl.run('exec', `deployment/${name}`, '--', 'true');
    assert.notEqual(code, 0);
    assert.match(stderr, /Sluice carries no upgraded connections/);
  });

  test('an agent deletes what it made', async () => {
    assert.match(await works('delete', '-f', manifests), new RegExp(`deployment.apps "${name}" deleted`));
  });

  test('the record has all of it, refusals too', async () => {
    const ofStory = async (...flags: readonly string[]): Promise<CallRow[]> =>
      (await sluice.calls(...flags)).filter(({ at }) => at >= began);
    const rows = await until('every call to have its outcome', async () => {
      const found = await ofStory('--agent', 'demo');
      return found.length > 0 && found.every(({ outcome }) => outcome !== null) && found;
    });
    const seen = (verb: string, resource: string, status: number): boolean =>
      rows.some((row) => row.verb === verb && row.resource === resource && row.status === status);
    assert.ok(seen('list', 'pods', 200));
    assert.ok(seen('create', 'secrets', 201));
    assert.ok(seen('get', 'secrets', 200));
    assert.ok(seen('delete', 'namespaces', 403));
    const watched = rows.find((row) => row.verb === 'watch' && row.resource === 'configmaps');
    assert.equal(watched?.outcome, 'aborted', 'the agent ended the watch');
    assert.ok(
      rows.some((row) => row.verb === 'update' && row.reasonCode === 'MaskedValueWritten' && row.effect === 'deny'),
    );
    assert.ok(rows.some((row) => row.resource === 'pods/exec' && row.reasonCode === 'UpgradeRefused'));
  });
}

test('what no rule allows is refused with what would be allowed', async () => {
  const { status, body } = await sluice.call('PATCH', '/api/v1/namespaces/default', '{}', {
    'content-type': 'application/merge-patch+json',
  });
  assert.equal(status, 403);
  const { details, message } = JSON.parse(body) as {
    message: string;
    details: { causes: { reason: string; message: string }[] };
  };
  assert.equal(message, 'agent "demo" may not patch namespaces "default": no rule allows it');
  const causes = Object.fromEntries(details.causes.map(({ reason, message: text }) => [reason, text]));
  assert.equal(causes['SluiceReasonCode'], 'NoRuleMatched');
  assert.equal(causes['SluiceAskable'], 'no');
  assert.match(causes['SluiceHint'] ?? '', /get, list, watch on \*/);
  assert.match(causes['SluiceCall'] ?? '', /^[0-9a-f-]{36}$/);
});

test('somebody without a token of Sluice is not known', async () => {
  assert.equal((await sluice.call('GET', '/api/v1/pods', '', { authorization: 'Bearer x.y.z' })).status, 401);
});

test('the record is read by agent, by age and by effect', async () => {
  const rows = await sluice.calls('--agent', 'demo');
  assert.ok(rows.length > 0);
  assert.equal((await sluice.calls('--agent', 'demo', '--since', '1h')).length, rows.length);
  assert.deepEqual(await sluice.calls('--agent', 'nobody'), []);
  const denied = await sluice.calls('--effect', 'deny');
  assert.ok(denied.length > 0 && denied.every(({ effect }) => effect === 'deny'));
});

test('replay shows a call from its request to its outcome, masked, while Sluice runs and while it is stopped', async () => {
  const created = (await sluice.calls()).find((row) => row.verb === 'create' && row.resource === 'secrets');
  assert.ok(created !== undefined);
  const expected = [/demo \(.*\) asks: create secrets/, /allow: AllowedByRule/, /sluice-mask:v1:/, /completed 201/];
  const running = await sluice.cli('replay', created.id);
  for (const line of expected) assert.match(running.stdout, line);
  assert.ok(!running.stdout.includes(plainPassword));

  assert.equal(await sluice.stop(), 0, 'it drains and exits 0');
  const stopped = await sluice.cli('replay', created.id);
  assert.equal(stopped.stdout, running.stdout);
  assert.match((await sluice.cli('calls', 'list', '--effect', 'deny')).stdout, /MaskedValueWritten/);
});

test('an unknown call is one line with a way out', async () => {
  const { code, stdout, stderr } = await sluice.cli('replay', 'no-such-call');
  assert.equal(code, 1);
  assert.equal(stdout, '');
  assert.match(stderr, /^sluice: no call no-such-call in the record; `sluice calls list` shows ids\n$/);
});
