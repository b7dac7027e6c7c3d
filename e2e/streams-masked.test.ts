// What a pod prints of a Secret: one that the agent was shown masked, and one that only the pod has. Each arrives masked,
// however it is printed, and is in nothing that Sluice keeps. A marker beside it arrives as it is, and is found.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { DemoCluster } from '@sluice/demo-cluster';
import {
  filesUnder,
  formsOf,
  Kubectl,
  openDemo,
  removeScratch,
  Sluice,
  scratch,
  type Upstream,
  until,
} from '@sluice/testing';
import { Hand } from './hand.ts';
import { everyStream, overSpdy, RunningKubectl } from './streams.ts';

const dir = scratch();
/** No detector would know one of these: they are known by having been seen. */
const word = (): string => `Vx${randomBytes(9).toString('base64url').replace(/[-_]/g, 'q')}-of-the-test`;
const [shownValue, mountedValue, variableValue] = [word(), word(), word()];
const secrets = [shownValue, mountedValue, variableValue];
const marker = 'marker-8f3b1c5e7a9d2046-of-the-test';
/** All that the agent got. */
const seen: string[] = [];
let upstream: Upstream & { readonly cluster: DemoCluster };
let sluice: Sluice;

const secret = (name: string, value: string): string =>
  `apiVersion: v1\nkind: Secret\nmetadata: { name: ${name}, namespace: shop }\nstringData: { key: "${value}" }\n`;
/** The pod mounts a Secret and has another in its environment. */
const objects = `${secret('shown', shownValue)}---
${secret('mounted', mountedValue)}---
${secret('variable', variableValue)}---
apiVersion: v1
kind: Pod
metadata: { name: has, namespace: shop }
spec:
  containers:
    - name: main
      image: demo/web:1
      env: [{ name: OWN_KEY, valueFrom: { secretKeyRef: { name: variable, key: key } } }]
      volumeMounts: [{ name: own, mountPath: /etc/own, readOnly: true }]
  volumes: [{ name: own, secret: { secretName: mounted } }]
`;

before(async () => {
  upstream = await openDemo(dir);
  const manifest = join(dir, 'objects.yaml');
  writeFileSync(manifest, objects);
  const admin = new Kubectl('kubectl', { ...process.env, KUBECONFIG: upstream.kubeconfig, HOME: dir });
  const made = await admin.run('apply', '-f', manifest);
  assert.equal(made.code, 0, made.stderr);
  for (const [pod, value] of [
    ['toolbox', shownValue],
    ['has', ''],
  ] as const) {
    const wrote = await admin.runWith(
      `${marker} ${value} end\n`,
      '-n',
      'shop',
      'exec',
      '-i',
      pod,
      '--',
      'sh',
      '-c',
      'cat > /tmp/file',
    );
    assert.equal(wrote.code, 0, wrote.stderr);
  }
  // The recorder is killed, so that frames stay in the broker's files until they have been looked at.
  sluice = await start({ SLUICE_RESTART_DELAY_MS: '600000' });
  await sluice.kill('recorder');
});

function start(env: Readonly<Record<string, string>> = {}): Promise<Sluice> {
  const flags = ['--kubeconfig', upstream.kubeconfig, '--policies', everyStream];
  return Sluice.start({ home: join(dir, 'home'), flags, env });
}

after(async () => {
  await sluice?.stop();
  await upstream?.close();
  removeScratch(dir);
});

/** What a kubectl of the agent prints, to its end. */
async function prints(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<string> {
  const running = new RunningKubectl(sluice, ['-n', 'shop', ...args], { env });
  running.stdin.end();
  assert.equal(await running.ended(), 0, `${args.join(' ')}: ${running.stderr}`);
  seen.push(running.stdout, running.stderr);
  return running.stdout;
}

function assertMasked(text: string, what: string): void {
  for (const value of secrets) for (const form of formsOf(value)) assert.ok(!text.includes(form), `${what}: ${text}`);
  assert.match(text, /sluice-mask:v1:|c2x1aWNlLW1hc2s6d/, `${what}: ${text}`);
}

const shell = (script: string): string[] => ['sh', '-c', script];

test('a Secret that the agent was shown masked stays masked when a pod prints it', async () => {
  await prints(['get', 'secret', 'shown', '-o', 'yaml']);
  for (const env of [{}, overSpdy]) {
    const plain = await prints(['exec', 'toolbox', '--', 'cat', '/tmp/file'], env);
    assert.match(plain, new RegExp(`^${marker} sluice-mask:v1:\\S+ end\n$`));
    for (const command of [
      shell('cat /tmp/file | base64'),
      ['dd', 'if=/tmp/file', 'bs=1'],
      shell('cat /tmp/file >&2; cat /tmp/file'),
    ]) {
      assertMasked(await prints(['exec', 'toolbox', '--', ...command], env), command.join(' '));
    }
  }
});

test('a Secret that only the pod has is masked from its first byte on', async () => {
  for (const env of [{}, overSpdy]) {
    for (const command of [
      ['cat', '/etc/own/key', '/tmp/file'],
      shell('cat /etc/own/key | base64'),
      ['dd', 'if=/etc/own/key', 'bs=1'],
      ['printenv', 'OWN_KEY'],
      ['env'],
      shell('echo $OWN_KEY | base64'),
    ]) {
      assertMasked(await prints(['exec', 'has', '--', ...command], env), command.join(' '));
    }
  }
  assert.ok(
    seen.some((text) => text.includes(`${marker}  end`)),
    'the marker would be seen',
  );
});

test('a terminal shows it masked', async () => {
  const stdout = await prints(['exec', '-t', 'has', '--', 'cat', '/etc/own/key']);
  // What is typed and read along is not held back for long: up to three bytes may pass.
  assertMasked(stdout, 'a terminal');
});

test('a log that is followed shows all of them masked', async () => {
  const following = new RunningKubectl(sluice, ['-n', 'shop', 'logs', '-f', 'console', '-c', 'main']);
  const owner = new RunningKubectl(sluice, ['-n', 'shop', 'attach', '-i', 'console', '-c', 'main'], {
    env: { KUBECONFIG: upstream.kubeconfig },
  });
  owner.stdin.write(`${marker} ${secrets.join(' ')} end\n`);
  await until('the line', () => following.stdout.includes(' end\n'));
  owner.kill();
  following.kill();
  await following.ended();
  seen.push(following.stdout);
  assert.match(following.stdout, new RegExp(`^got: ${marker}( sluice-mask:v1:\\S+){3} end\n$`));
});

function filesWith(folder: string, value: string): string[] {
  return filesUnder(folder)
    .filter(({ bytes }) => formsOf(value).some((form) => bytes.includes(form)))
    .map(({ file }) => file)
    .toArray();
}

test('nothing that Sluice keeps has one of them: no file of the broker or the queues, no log, no state', () => {
  assert.ok(filesWith(join(sluice.home, 'broker'), marker).length > 0, 'the marker would be seen');
  for (const value of secrets) {
    assert.deepEqual(filesWith(sluice.home, value), []);
    assert.ok(!sluice.output.includes(value));
    for (const text of seen) for (const form of formsOf(value)) assert.ok(!text.includes(form), text);
  }
});

test('the database has the marker and none of them', async () => {
  await sluice.stop();
  sluice = await start();
  await until('the recorder to be done', async () => {
    const rows = await sluice.calls().catch(() => []);
    const isDone = rows.every(({ outcome }) => outcome !== null);
    return rows.some(({ resource }) => resource === 'pods/log') && isDone;
  });
  await sluice.stop();
  for (const value of secrets) assert.deepEqual(filesWith(sluice.home, value), []);
  const hand = new Hand(sluice.home);
  assert.ok((await hand.rowsWith(marker)) > 0, 'the marker would be seen');
  for (const value of secrets) assert.equal(await hand.rowsWith(value), 0);
});
