// The thin line as an agent, a reviewer and an auditor live it: one story, on the demo cluster and on a real one, told
// with the kubectl on PATH or with each that SLUICE_E2E_KUBECTLS names.
import assert from 'node:assert/strict';
import { type ChildProcess, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type ApprovalCard, type ApprovalRow, type CallRow, commandMs } from '@sluice/model';
import {
  type Ended,
  type Kubectl,
  onRealCluster,
  openUpstream,
  removeScratch,
  repository,
  Sluice,
  scratch,
  type Upstream,
  until,
} from '@sluice/testing';
import { askedObjects, askFirst, settings, web } from './thin-line.ts';
import { type Command, Transcript } from './transcript.ts';

const dir = scratch();
const plainPassword = 'a-password-only-the-cluster-may-know';
/** A cluster may be shared: nothing here meets what another run has there. */
const runId = randomBytes(3).toString('hex');
/** Those that Sluice ships, and what a story adds. */
const policies = join(dir, 'policies');
let upstream: Upstream;
let sluice: Sluice;
/** When a reviewer last denied something, by this machine's clock. */
let deniedAtMs = 0;

before(async () => {
  upstream = await openUpstream(dir);
  cpSync(join(repository, 'deploy', 'examples', 'policies'), policies, { recursive: true });
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

for (const program of (process.env['SLUICE_E2E_KUBECTLS'] || 'kubectl').split(delimiter)) {
  const version = versionOf(program);
  void describe(`kubectl ${version}`, () =>
    tellStory(program, `thin-line-${version.replace(/[-+].*/, '').replaceAll('.', '-')}-${runId}`));
}

function versionOf(kubectl: string): string {
  const { stdout, error } = spawnSync(kubectl, ['version', '--client', '-o', 'json'], { encoding: 'utf8' });
  if (error !== undefined) throw error;
  const { clientVersion } = JSON.parse(stdout) as { clientVersion: { gitVersion: string } };
  return clientVersion.gitVersion.replace(/^v/, '');
}

/** What an agent does with a kubectl; `name` is that of each object it makes, or begins it. */
function tellStory(program: string, name: string): void {
  const manifests = join(dir, name);
  const asked = `${name}-asked`;
  const askedManifest = join(dir, `${asked}.yaml`);
  const policy = join(policies, 'thin-line.yaml');
  const transcript = new Transcript([`${dir}/`, ''], [dir, '.']);
  let kubectl: Kubectl;
  let began: string;
  /** Of the approval that was given, and of the call that asked for it. */
  let approved: { readonly id: string; readonly call: string };

  before(async () => {
    began = new Date().toISOString();
    kubectl = sluice.withKubectl(program);
    writeFileSync(policy, askFirst(asked));
    await tells('policy', 'apply', policies);
    writeFileSync(askedManifest, askedObjects(asked, upstream.image));
    mkdirSync(manifests);
    writeFileSync(join(manifests, 'config.yaml'), settings(name, plainPassword));
    writeFileSync(join(manifests, 'web.yaml'), web(name, upstream.image));
  });

  after(async () => {
    transcript.save(`${upstream.kind}-kubectl-${versionOf(program)}`);
    rmSync(policy, { force: true });
    await sluice?.cli('policy', 'apply', policies);
    for (const path of [manifests, askedManifest])
      await kubectl?.run('delete', '-f', path, '--ignore-not-found', '--wait=false');
  });

  async function runs(...args: readonly string[]): Promise<Ended> {
    const ended = await kubectl.run(...args);
    transcript.ran('agent', ['kubectl', ...args], ended);
    return ended;
  }

  async function works(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await runs(...args);
    assert.equal(code, 0, `kubectl ${args.join(' ')}: ${stderr}`);
    return stdout;
  }

  /** A command of Sluice's own. */
  async function tells(...args: readonly string[]): Promise<string> {
    const ended = await sluice.cli(...args);
    transcript.ran('you', ['sluice', ...args], ended);
    assert.equal(ended.code, 0, `sluice ${args.join(' ')}: ${ended.stdout}${ended.stderr}`);
    return ended.stdout;
  }

  /** A deletion that a reviewer is asked about: what is done while it waits, and how it ends. */
  async function asks(decide: (approval: string) => Promise<void>, ...args: readonly string[]): Promise<Ended> {
    const command: Command = ['kubectl', ...args];
    const waiting = kubectl.run(...args);
    transcript.waits('agent', command);
    const { id } = await until('an approval to be asked for', async () => {
      const { stdout } = await sluice.cli('approvals', 'list', '--state', 'pending', '--json');
      return (JSON.parse(stdout) as ApprovalRow[]).find(({ summary }) => summary.includes(`"${asked}"`));
    });
    await decide(id);
    const ended = await waiting;
    transcript.cameBack('agent', command, ended);
    return ended;
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
    const ended = await kubectl.runWith(masked, 'replace', '-f', '-');
    transcript.ran('agent', ['kubectl', 'replace', '-f', '-'], ended, 'secret.json');
    assert.notEqual(ended.code, 0);
    assert.match(ended.stderr, /the body holds a mask in place of a secret/);
  });

  test('a watch shows what happens', async () => {
    const watch = ['get', 'configmaps', '-w', '--output-watch-events', '-n', 'default'] as const;
    const watching = kubectl.start(...watch);
    transcript.goesOn('agent', ['kubectl', ...watch]);
    const seen = seenOf(watching);
    await until('the watch to stand', () => new RegExp(`ADDED\\s+${name}`).test(seen()));
    await works('patch', 'configmap', name, '--type=merge', '-p', '{"data":{"color":"blue"}}');
    await until('the change in the watch', () => new RegExp(`MODIFIED\\s+${name}`).test(seen()));
    watching.kill('SIGINT');
    transcript.stopped('agent', ['kubectl', ...watch], seen());
  });

  test('logs are followed', async () => {
    const following = kubectl.start('logs', '-f', `deployment/${name}`);
    const seen = seenOf(following);
    await until('three lines of the log', () => (seen().match(/tick/g) ?? []).length >= 3);
    following.kill('SIGINT');
    transcript.stopped('agent', ['kubectl', 'logs', '-f', `deployment/${name}`], seen());
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
    const { code, stderr } = await runs('delete', 'namespace', 'default');
    assert.equal(code, 1);
    assert.match(
      stderr,
      /^Error from server \(Forbidden\): Namespaces are deleted by their owners, through the platform's pipeline\.$/m,
    );
  });

  test('a command that does nothing is run, and one that destroys is refused in one line', async () => {
    await works('exec', `deployment/${name}`, '--', 'true');
    const { code, stderr } = await runs('exec', `deployment/${name}`, '--', 'rm', '-rf', '/data');
    assert.equal(code, 126);
    assert.match(stderr, /^Error from Sluice \(DeniedByRule\): Nothing is deleted or stopped from inside of a pod\./m);
  });

  test('a deletion that has to be asked about waits, and happens once a reviewer has approved it', async () => {
    await works('apply', '-f', askedManifest);
    await settled();
    // Within these seconds it would belong to the command of the story before, which was denied.
    await until('the command before to be over', () => Date.now() - deniedAtMs > commandMs + 1_000);
    const approve = async (id: string): Promise<void> => {
      await tells('approvals', 'list', '--state', 'pending');
      const { request } = JSON.parse((await sluice.cli('approvals', 'show', id, '--json')).stdout) as ApprovalCard;
      approved = { id, call: request.call };
      assert.equal(request.object.kind, 'known');
      const shown = await tells('approvals', 'show', id);
      assert.match(shown, /Deleted only when a reviewer agrees\./);
      assert.match(shown, new RegExp(`approvals approve ${id}`));
      assert.match(await works('get', 'deployment', asked), new RegExp(`^${asked}`, 'm'));
      await tells('approvals', 'approve', id, '--reason', 'nobody uses it any more');
    };
    const { code, stdout, stderr } = await asks(approve, 'delete', 'deployment', asked);
    assert.equal(code, 0, stderr);
    assert.match(stdout, new RegExp(`deployment.apps "${asked}" deleted`));
    const { code: gone } = await runs('get', 'deployment', asked);
    assert.equal(gone, 1);
  });

  test('the same command a second time asks anew, and a denial reads well in kubectl', async () => {
    await works('apply', '-f', askedManifest);
    const deny = async (id: string): Promise<void> => {
      assert.notEqual(id, approved.id);
      await tells('approvals', 'deny', id, '--reason', 'it is in use again');
      deniedAtMs = Date.now();
    };
    const { code, stderr } = await asks(deny, 'delete', 'deployment', asked);
    assert.equal(code, 1);
    assert.match(
      stderr,
      /^Error from server \(Forbidden\): local:\S+ has denied approval [0-9a-z]{10}: it is in use again$/m,
    );
    await works('get', 'deployment', asked);
  });

  test('what has changed since it was asked about is not deleted, though a reviewer approved it', async () => {
    const approve = async (id: string): Promise<void> => {
      await works('label', 'configmap', asked, 'color=blue');
      await tells('approvals', 'approve', id);
    };
    const { code, stderr } = await asks(approve, 'delete', 'configmap', asked);
    assert.equal(code, 1);
    assert.match(stderr, /^Error from server \(Conflict\): .*might have been modified/m);
    assert.match(await works('get', 'configmap', asked, '--show-labels'), /color=blue/);
  });

  /** The controllers write into a deployment for a while after it is there, and each write makes another version of it. */
  async function settled(): Promise<void> {
    await works('rollout', 'status', `deployment/${asked}`, '--timeout=50s');
    await until('the last word of the controllers', async () => {
      const { stdout } = await kubectl.run('get', 'deployment', asked, '-o', 'json');
      const { status } = JSON.parse(stdout) as { status: { conditions?: { type: string; reason: string }[] } };
      const reasons = status.conditions?.map(({ reason }) => reason) ?? [];
      return reasons.includes('NewReplicaSetAvailable') && reasons.includes('MinimumReplicasAvailable');
    });
  }

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
    const execs = rows.filter((row) => row.resource === 'pods/exec').map((row) => `${row.reasonCode} ${row.outcome}`);
    assert.deepEqual(execs.toSorted(), ['AllowedByRule completed', 'DeniedByRule refused']);
    const deletions = rows.filter((row) => row.verb === 'delete' && row.name === asked);
    const ends = deletions.map((row) => `${row.resource} ${row.reasonCode} ${row.status} ${row.outcome}`);
    assert.deepEqual(ends.toSorted(), [
      'configmaps AllowedByApproval 409 completed',
      'deployments.apps AllowedByApproval 200 completed',
      'deployments.apps ApprovalDenied 403 refused',
    ]);
  });

  test('replay shows the ask, the vote and the decision by it', async () => {
    // What became of an approval comes to the record by a way of its own.
    await until('the use in the record', async () =>
      /\bused\b/.test((await sluice.cli('replay', approved.call)).stdout),
    );
    const shown = await tells('replay', approved.call);
    for (const line of [/asks: delete deployments\.apps/, /nobody uses it any more/, /AllowedByApproval/])
      assert.match(shown, line);
  });

  test('the auditor asks who approved, and who read the secret', async () => {
    const votes = await tells('sql', '--query', 'who-approved');
    const words = ['local:\\S+"', 'nobody uses it any more', 'demo', 'what-has-users-stays', 'used', approved.call];
    assert.match(votes, new RegExp(`${words.join('.*')}.*${approved.id}`));
    const object = ['resource=secrets', 'namespace=default', `name=${name}`].flatMap((given) => ['--param', given]);
    assert.match(await tells('sql', '--query', 'who-read', ...object), /demo\s+get\s+object\s+allow/);
  });

  test('the record proves itself', async () => {
    await tells('verify');
  });
}

/** What a program has printed so far. */
function seenOf({ stdout }: ChildProcess): () => string {
  let seen = '';
  stdout?.on('data', (data: Buffer) => {
    seen += data.toString();
  });
  return () => seen;
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
