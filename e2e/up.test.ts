// `sluice up` as a person meets it: what it says, what it refuses, and how it ends.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { credentialsFile } from '@sluice/runtime';
import {
  isAlive,
  openDemo,
  removeScratch,
  repository,
  Sluice,
  scratch,
  TestBroker,
  TestRedis,
  until,
} from '@sluice/testing';

const dir = scratch();
after(() => removeScratch(dir));

let homes = 0;
const newHome = (): string => join(dir, `h${++homes}`);
/** A HOME without a kubeconfig, as on a machine that has no cluster. */
const noCluster = { HOME: dir, KUBECONFIG: '' };

/** Starts, expects it to fail, and returns the one line it says. */
async function refusal(flags: readonly string[], env: Readonly<Record<string, string>> = noCluster): Promise<string> {
  const sluice = new Sluice({ home: newHome(), flags, env });
  const [code] = (await once(sluice.process, 'close')) as [number];
  assert.equal(code, 1, sluice.output);
  const said = sluice.output.split('\n').filter((line) => line.startsWith('sluice: '));
  assert.equal(said.length, 1, sluice.output);
  assert.ok(sluice.output.endsWith(`${said[0]}\n`), sluice.output);
  return said[0] ?? '';
}

test('without a cluster it starts its demo cluster, says so, and drains on SIGTERM', async () => {
  const sluice = await Sluice.start({ home: newHome(), flags: [], env: noCluster });
  assert.match(
    sluice.output,
    /cluster\s+a demo cluster that ships with Sluice: simulated, in memory \(there is no kubeconfig\)/,
  );
  assert.match(sluice.output, /agent\.kubeconfig/);
  assert.match((await sluice.kubectl('get', 'pods', '-A')).stdout, /^shop\s+web-/m);
  assert.equal(await sluice.stop(), 0);
  assert.match(sluice.output, /Stopping \(terminated\)/);
});

test('told to stop while it starts, it leaves nothing running', async () => {
  const sluice = new Sluice({ home: newHome(), flags: [], env: noCluster });
  await until('the recorder', () => /^ {2}recorder/m.test(sluice.output));
  assert.equal(await sluice.stop(), 0);
  assert.doesNotMatch(sluice.output, /Sluice is ready/);
  for (const pid of Object.values(sluice.state().parts)) assert.ok(!isAlive(pid));
});

test('a terminal that was closed does not keep it from stopping its parts', async () => {
  const sluice = await Sluice.start({ home: newHome(), flags: [], env: noCluster });
  const pids = Object.values(sluice.state().parts);
  sluice.process.stdout?.destroy();
  sluice.process.stderr?.destroy();
  assert.equal(await sluice.stop(), 0);
  for (const pid of pids) assert.ok(!isAlive(pid));
});

test('it drains when npm is gone, which passes no signal on when it is killed', async () => {
  const home = newHome();
  const npm = spawn('npm', ['start', '--', '--port', '0'], {
    cwd: repository,
    env: { ...process.env, ...noCluster, SLUICE_HOME: home },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  npm.stdout.on('data', (data: Buffer) => {
    said += data.toString();
  });
  await until('Sluice is ready', () => /^Sluice is ready$/m.test(said));
  const { pid } = JSON.parse(readFileSync(join(home, 'state.json'), 'utf8')) as { pid: number };
  npm.kill('SIGKILL');
  await until('the drain', () => said.includes('Stopping'));
  await until('the end of Sluice', () => !isAlive(pid));
});

test('a second Sluice in the same home is refused, and the first goes on', async () => {
  const home = newHome();
  const first = await Sluice.start({ home, flags: [], env: noCluster });
  const second = new Sluice({ home, flags: [], env: noCluster });
  await once(second.process, 'close');
  assert.equal(second.process.exitCode, 1);
  assert.match(second.output, /^sluice: Sluice runs already in .* \(pid \d+\); stop it, or set SLUICE_HOME/);
  assert.equal((await first.call('GET', '/version')).status, 200);
  assert.equal(await first.stop(), 0);
});

test('what a killed Sluice left behind does not stand in the way of the next one', async () => {
  const home = newHome();
  const first = await Sluice.start({ home, flags: [], env: noCluster });
  const made = await first.call('GET', '/version');
  assert.equal(made.status, 200);
  await until('its record', async () => (await first.calls()).some(({ outcome }) => outcome !== null));
  const { broker = 0, queue = 0 } = first.state().parts;
  assert.ok(isAlive(broker) && isAlive(queue));
  first.process.kill('SIGKILL');
  await once(first.process, 'close');
  const second = await Sluice.start({ home, flags: [], env: noCluster });
  assert.ok(!isAlive(broker) && !isAlive(queue));
  assert.ok((await second.calls()).length > 0, 'the record is still there');
  assert.equal(await second.stop(), 0);
});

test('kubeconfigs are made for other agents, and end', async () => {
  const sluice = await Sluice.start({ home: newHome(), flags: [], env: noCluster });
  const { stdout, code } = await sluice.cli('kubeconfig', '--agent', 'somebody', '--group', 'a/b', '--ttl', '5m');
  assert.equal(code, 0);
  const token = /token: (\S+)/.exec(stdout)?.[1] ?? '';
  const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as Record<string, unknown>;
  assert.equal(claims['sub'], 'somebody');
  assert.deepEqual(claims['groups'], ['a/b']);
  assert.equal(Number(claims['exp']) - Number(claims['iat']), 300);
  const answered = await sluice.call('GET', '/api/v1/pods', '', { authorization: `Bearer ${token}` });
  assert.equal(answered.status, 403, 'known, and allowed nothing');
  await sluice.stop();
});

test('a port that is taken is one line', async () => {
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const { port } = taken.address() as { port: number };
  assert.match(
    await refusal(['--port', String(port)]),
    new RegExp(`port ${port} .*is in use; choose another with --port`),
  );
  taken.close();
});

test('a cluster that was asked for and does not answer is one line', async () => {
  const upstream = await openDemo(dir);
  await upstream.close();
  assert.match(
    await refusal(['--kubeconfig', upstream.kubeconfig]),
    /the cluster "demo" at .* does not answer \(ECONNREFUSED\)/,
  );
});

test('a kubeconfig of an agent is no cluster: Sluice would stand before itself', async () => {
  const upstream = await openDemo(dir);
  const port = String(upstream.cluster.port);
  assert.match(
    await refusal(['--kubeconfig', upstream.kubeconfig, '--port', port]),
    /is an agent's: it points at Sluice itself/,
  );
  await upstream.close();
});

test('a kubeconfig that is not there is one line', async () => {
  assert.match(await refusal(['--kubeconfig', join(dir, 'nowhere')]), /cannot read the kubeconfig .*nowhere/);
});

test('a broken policy is one line, with file, line, column and a way out', async () => {
  const policies = join(dir, 'policies');
  mkdirSync(policies);
  writeFileSync(
    join(policies, 'broken.yaml'),
    'apiVersion: sluice.internal/v1alpha1\nkind: AccessPolicy\nmetadata: { nam: x }\nspec: {}\n',
  );
  assert.match(
    await refusal(['--policies', policies]),
    /broken\.yaml:3:13: unknown field "nam" in metadata; known here: name/,
  );
});

test('a broker that is missing is one line', async () => {
  assert.match(await refusal([], { ...noCluster, SLUICE_NATS_SERVER: join(dir, 'no-nats-server') }), /no-nats-server/);
});

test('only the approval service knows the way to Redis, and no command line tells its password', async () => {
  const sluice = await Sluice.start({ home: newHome(), flags: [], env: noCluster });
  assert.match(sluice.output, /queue\s+redis-server \d+\.\d+\.\d+, in /);
  const password =
    /^requirepass (\S+)$/m.exec(readFileSync(join(sluice.home, 'queue', 'redis.conf'), 'utf8'))?.[1] ?? '';
  assert.ok(password.length >= 32);
  const parts = Object.entries(sluice.state().parts);
  const read = (pid: number, file: string): string => readFileSync(`/proc/${pid}/${file}`, 'latin1');
  assert.deepEqual(
    parts.filter(([, pid]) => read(pid, 'environ').includes(password)).map(([part]) => part),
    ['approval'],
  );
  for (const [, pid] of parts) assert.ok(!read(pid, 'cmdline').includes(password));
  assert.equal(await sluice.stop(), 0);
});

test('a Redis of somebody else is used, and no other part is told of it', async () => {
  const redis = await TestRedis.start();
  const sluice = await Sluice.start({ home: newHome(), flags: [], env: { ...noCluster, ...redis.env } });
  const { queue, ...parts } = sluice.state().parts;
  assert.equal(queue, undefined);
  const knows = Object.entries(parts).filter(([, pid]) =>
    readFileSync(`/proc/${pid}/environ`, 'latin1').includes(redis.password),
  );
  assert.deepEqual(
    knows.map(([part]) => part),
    ['approval'],
  );
  assert.ok(!sluice.output.includes(redis.password));
  assert.equal(await sluice.stop(), 0);
  await redis.close();
});

test('a Redis that is missing, or named by what is no URL, is one line', async () => {
  const missing = { ...noCluster, SLUICE_REDIS_SERVER: join(dir, 'no-redis-server') };
  assert.match(await refusal([], missing), /no-redis-server does not run \(ENOENT\)/);
  const said = await refusal([], { ...noCluster, SLUICE_REDIS_URL: '//:word@host' });
  assert.match(said, /SLUICE_REDIS_URL is no URL/);
  assert.doesNotMatch(said, /word/);
});

test('a broker by URL that does not answer is one line', async () => {
  assert.match(
    await refusal([], { ...noCluster, SLUICE_NATS_URL: 'nats://127.0.0.1:1' }),
    /no broker answers at 127\.0\.0\.1:1/,
  );
});

test('a broker of somebody else gets its streams where the operator\u2019s credentials are, and only there', async () => {
  const server = await TestBroker.start();
  const operator = credentialsFile(server.env.SLUICE_NATS_CREDS_DIR, 'operator');
  const seed = readFileSync(operator);
  rmSync(operator);
  assert.match(
    await refusal([], { ...noCluster, ...server.env }),
    /the broker has no stream CALLS; `sluice up` makes it, with the operator's credentials/,
  );
  writeFileSync(operator, seed, { mode: 0o600 });
  const first = await Sluice.start({ home: newHome(), flags: [], env: { ...noCluster, ...server.env } });
  assert.equal(await first.stop(), 0);
  rmSync(operator);
  const second = await Sluice.start({ home: newHome(), flags: [], env: { ...noCluster, ...server.env } });
  assert.equal((await second.call('GET', '/version')).status, 200);
  assert.equal(await second.stop(), 0);
  await server.close();
});

test('a flag that does not exist is one line', async () => {
  assert.match(await refusal(['--prot', '1']), /unknown option '--prot'/);
});
