// A program of a user, written with the Kubernetes client for JavaScript and changed in nothing, that works through Sluice.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { Attach, Cp, Exec, KubeConfig, Log, PortForward, type V1Status, Watch } from '@kubernetes/client-node';
import { openUpstream, removeScratch, Sluice, scratch, type Upstream, until, within } from '@sluice/testing';
import { everyStream, type Stage, stageOf } from './streams.ts';

const dir = scratch();
const runId = randomBytes(3).toString('hex');
const config = new KubeConfig();
let upstream: Upstream;
let sluice: Sluice;
let stage: Stage;

before(async () => {
  upstream = await openUpstream(dir);
  stage = stageOf(upstream);
  sluice = await Sluice.start({
    home: join(dir, 'home'),
    flags: ['--kubeconfig', upstream.kubeconfig, '--policies', everyStream],
  });
  config.loadFromFile(sluice.agentKubeconfig);
});

after(async () => {
  await sluice?.stop();
  await upstream?.close();
  removeScratch(dir);
});

/** A stream that remembers. */
function memory(): { readonly stream: PassThrough; readonly seen: () => string } {
  const stream = new PassThrough();
  let seen = '';
  stream.on('data', (data: Buffer) => {
    seen += data.toString();
  });
  return { stream, seen: () => seen };
}

interface Ran {
  readonly stdout: string;
  readonly stderr: string;
  readonly status: V1Status;
  readonly protocol: string;
}

/** Runs a command in the pod that serves, to its end. */
async function exec(command: readonly string[], stdin: Readable | null = null): Promise<Ran> {
  const { namespace, web } = stage;
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const texts = Promise.all([text(stdout), text(stderr)]);
  const ended = Promise.withResolvers<V1Status>();
  const socket = await new Exec(config).exec(
    namespace,
    web.pod,
    web.container,
    [...command],
    stdout,
    stderr,
    stdin,
    false,
    ended.resolve,
  );
  const status = await within('the end of the command', ended.promise);
  const [out, err] = await texts;
  return { stdout: out, stderr: err, status, protocol: socket.protocol };
}

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

test('Exec has stdout, stderr and the exit code', async () => {
  const { stdout, stderr, status, protocol } = await exec(['sh', '-c', 'echo out; echo err >&2; exit 7']);
  assert.deepEqual([stdout, stderr, protocol], ['out\n', 'err\n', 'v5.channel.k8s.io']);
  assert.equal(status.status, 'Failure');
  assert.deepEqual(status.details?.causes, [{ reason: 'ExitCode', message: '7' }]);
  assert.equal((await exec(['true'])).status.status, 'Success');
});

test('Exec sends stdin to its end', async () => {
  const given = randomBytes(3_000_000);
  const { stdout, status } = await exec(['sha256sum'], Readable.from([given.subarray(0, 1), given.subarray(1)]));
  assert.equal(status.status, 'Success');
  assert.equal(stdout.split(' ')[0], sha256(given));
});

test('Exec has a terminal of a size that changes', async () => {
  const { namespace, web } = stage;
  const { stream, seen } = memory();
  const terminal = Object.assign(stream, { rows: 33, columns: 101 });
  const stdin = new PassThrough();
  const ended = Promise.withResolvers<V1Status>();
  await new Exec(config).exec(namespace, web.pod, web.container, ['sh'], terminal, null, stdin, true, ended.resolve);
  const types = async (line: string, answer: RegExp): Promise<void> => {
    stdin.write(`${line}\n`);
    await until(`the terminal to show ${answer}`, () => answer.test(seen()));
  };
  await until('a prompt', () => seen() !== '');
  await types('stty size', /33 101\r\n/);
  Object.assign(terminal, { rows: 44, columns: 120 }).emit('resize');
  await until('the new size', async () => {
    stdin.write('stty size\n');
    await until('an answer to stty', () => /(33 101|44 120)\r\n[^\n]*$/.test(seen()));
    return /44 120\r\n/.test(seen());
  });
  stdin.write('exit 3\n');
  const status = await within('the end of the shell', ended.promise);
  assert.deepEqual(status.details?.causes, [{ reason: 'ExitCode', message: '3' }]);
});

test('Attach talks to the process that runs', async () => {
  const { namespace, echo } = stage;
  const { stream, seen } = memory();
  const stdin = new PassThrough();
  const socket = await new Attach(config).attach(namespace, echo.pod, echo.container, stream, null, stdin, false);
  stdin.write(`one-${runId}\n`);
  await until('an answer', () => seen().includes(`got: one-${runId}\n`));
  stdin.write(`two-${runId}\n`);
  await until('another answer', () => seen().includes(`got: two-${runId}\n`));
  socket.close();
});

test('Cp copies both ways', async () => {
  const { namespace, web } = stage;
  const [given, back] = [join(dir, 'given'), join(dir, 'back')];
  for (const folder of [given, back]) mkdirSync(folder);
  const file = `big-${runId}`;
  const bytes = randomBytes(2_000_000);
  writeFileSync(join(given, file), bytes);
  const cp = new Cp(config);
  await cp.cpToPod(namespace, web.pod, web.container, given, '/tmp');
  await until('the whole file in the pod', async () => {
    const { stdout } = await exec(['sha256sum', `/tmp/${file}`]);
    return stdout.startsWith(sha256(bytes));
  });
  await cp.cpFromPod(namespace, web.pod, web.container, file, back, '/tmp');
  const copy = join(back, file);
  await until('the whole file here', () => existsSync(copy) && sha256(readFileSync(copy)) === sha256(bytes));
  await exec(['rm', `/tmp/${file}`]);
});

test('PortForward reaches the server', async () => {
  const { namespace, web, page } = stage;
  const { stream, seen } = memory();
  const input = new PassThrough();
  const forwarding = await new PortForward(config).portForward(namespace, web.pod, [8080], stream, null, input);
  assert.ok('close' in forwarding);
  input.write('GET /index.html HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n');
  await until('the page', () => seen().includes(page));
  assert.match(seen(), /^HTTP\/1\.1 200 OK\r\n/);
  forwarding.close();
});

test('Log follows', async () => {
  const { namespace, web } = stage;
  const { stream, seen } = memory();
  // Whoever aborts it gets an error there.
  stream.once('pipe', (source: Readable) => source.on('error', () => undefined));
  const options = { follow: true, tailLines: 1 };
  const following = await new Log(config).log(namespace, web.pod, web.container, stream, options);
  await until('three lines', () => (seen().match(/^tick \d+$/gm) ?? []).length >= 3);
  following.abort();
});

test('Watch sees the pods', async () => {
  const names = new Set<string>();
  const ended = Promise.withResolvers<unknown>();
  const watching = await new Watch(config).watch(
    `/api/v1/namespaces/${stage.namespace}/pods`,
    {},
    (type, { metadata }: { metadata: { name: string } }) => names.add(`${type} ${metadata.name}`),
    ended.resolve,
  );
  await until('both pods', () => [stage.web, stage.echo].every(({ pod }) => names.has(`ADDED ${pod}`)));
  watching.abort();
  await within('the end of the watch', ended.promise);
});

test('the record has how each of them ended', async () => {
  const rows = await until('every call to have its outcome', async () => {
    const found = await sluice.calls();
    return found.length > 0 && found.every(({ outcome }) => outcome !== null) && found;
  });
  const ends = new Set(rows.map(({ resource, verb, outcome }) => `${verb} ${resource} ${outcome}`));
  for (const end of [
    'get pods/exec completed',
    // It is for the agent to end it.
    'get pods/portforward completed',
    // These the program has left.
    'get pods/attach aborted',
    'get pods/log aborted',
    'watch pods aborted',
  ])
    assert.ok(ends.has(end), `${end}: ${[...ends].join(', ')}`);
});
