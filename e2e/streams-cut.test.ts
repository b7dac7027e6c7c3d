// What cuts a stream, a watch or a followed log that runs: the agent is told who did it and why, the recording ends with
// that, and nothing stays open in the cluster.
import assert from 'node:assert/strict';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import type { DemoCluster } from '@sluice/demo-cluster';
import type { ApprovalRow, CallRow, FrameMeta, ReasonCode } from '@sluice/model';
import { openDemo, removeScratch, Sluice, scratch, type Upstream, until } from '@sluice/testing';
import { everyStream, overSpdy, RunningKubectl } from './streams.ts';

const dir = scratch();
const policies = join(dir, 'policies');
const reason = 'not in this pod';
let upstream: Upstream & { readonly cluster: DemoCluster };
let sluice: Sluice;

before(async () => {
  upstream = await openDemo(dir);
  cpSync(everyStream, join(policies, 'streams.yaml'));
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

/** Something that runs until it is cut. */
interface Kind {
  readonly name: string;
  readonly resource: string;
  readonly args: readonly string[];
  /** What it says first. */
  readonly begins: RegExp;
  /** Where its last words stand: on what kubectl prints, and in the record. */
  readonly told: 'stdout' | 'stderr';
  readonly recorded: 'stdout' | 'stderr' | 'response' | 'nowhere';
  readonly env?: Readonly<Record<string, string>>;
}

const shell = 'while true; do echo on; sleep 1; done';
const exec = ['exec', 'toolbox', '--', 'sh', '-c', shell];
const forward = ['port-forward', 'pod/toolbox', ':8080'];
const attach = ['attach', '-i', 'console', '-c', 'main'];
const kinds: readonly Kind[] = [
  { name: 'exec', resource: 'pods/exec', args: exec, begins: /on\n/, told: 'stderr', recorded: 'stderr' },
  {
    name: 'exec over SPDY',
    resource: 'pods/exec',
    args: exec,
    begins: /on\n/,
    told: 'stderr',
    recorded: 'stderr',
    env: overSpdy,
  },
  { name: 'attach', resource: 'pods/attach', args: attach, begins: /got: hello\n/, told: 'stderr', recorded: 'stderr' },
  {
    name: 'port-forward',
    resource: 'pods/portforward',
    args: forward,
    begins: /Forwarding from/,
    told: 'stderr',
    recorded: 'nowhere',
  },
  {
    name: 'port-forward over SPDY',
    resource: 'pods/portforward',
    args: forward,
    begins: /Forwarding from/,
    told: 'stderr',
    recorded: 'nowhere',
    env: overSpdy,
  },
  {
    name: 'watch',
    resource: 'pods',
    args: ['get', 'pods', '-w'],
    begins: /toolbox/,
    told: 'stdout',
    recorded: 'response',
  },
  {
    name: 'logs -f',
    resource: 'pods/log',
    args: ['logs', '-f', 'toolbox'],
    begins: /tick \d+\n/,
    told: 'stdout',
    recorded: 'response',
  },
];

interface Begun {
  readonly kind: Kind;
  readonly kubectl: RunningKubectl;
  readonly call: CallRow;
}

/** Calls that run. */
async function running({ resource }: Kind): Promise<CallRow[]> {
  const rows = await sluice.calls();
  // kubectl reads a pod before it opens a stream to it.
  const isIt = ({ verb }: CallRow): boolean => resource !== 'pods' || verb === 'watch';
  return rows.filter((row) => row.resource === resource && row.outcome === null && isIt(row));
}

/** Starts one; resolves when it has begun. */
async function begin(kind: Kind, kubeconfig?: string): Promise<Begun> {
  const known = new Set((await running(kind)).map(({ id }) => id));
  const env = { ...kind.env, ...(kubeconfig === undefined ? {} : { KUBECONFIG: kubeconfig }) };
  const kubectl = new RunningKubectl(sluice, ['-n', 'shop', ...kind.args], { env });
  if (kind.resource === 'pods/attach') kubectl.stdin.write('hello\n');
  await until(`${kind.name} to begin`, () => kind.begins.test(kubectl.stdout));
  if (kind.resource === 'pods/portforward') await reach(kubectl);
  const call = await until(`the call of ${kind.name}`, async () =>
    (await running(kind)).find(({ id }) => !known.has(id)),
  );
  return { kind, kubectl, call };
}

/** A connection through a port-forward, which stays open. */
async function reach(kubectl: RunningKubectl): Promise<void> {
  const socket = connect(Number(/127.0.0.1:(\d+)/.exec(kubectl.stdout)?.[1]), '127.0.0.1');
  socket.on('error', () => undefined);
  let said = '';
  socket.on('data', (data: Buffer) => {
    said += data.toString();
  });
  socket.write('GET / HTTP/1.1\r\nHost: web\r\n\r\n');
  await until('the page', () => said.includes('hello from toolbox'));
}

/** It has ended with these words: for the agent, in the record, and in the cluster. */
async function assertCut({ kind, kubectl, call }: Begun, reasonCode: ReasonCode, words: RegExp): Promise<void> {
  const code = await kubectl.ended();
  // To kubectl a watch that an event ends has ended well, whatever the event says.
  if (kind.name !== 'watch') assert.notEqual(code, 0, `${kind.name} ended well`);
  const prefix = kind.name === 'watch' ? '' : 'sluice: ';
  const told = new RegExp(`${prefix}${words.source}`);
  assert.match(kubectl[kind.told], told, `${kind.name}: what the agent is told, ${kubectl.stdout} ${kubectl.stderr}`);
  const row = await until('its outcome', async () =>
    (await sluice.calls()).find(({ id, outcome }) => id === call.id && outcome !== null),
  );
  assert.deepEqual([row.outcome, row.reasonCode], ['cut', reasonCode], kind.name);

  const frames = await sluice.frames(call.id);
  const outcome = frames.find((frame) => frame.kind === 'outcome')?.meta as FrameMeta['outcome'];
  assert.match(outcome.message ?? '', words, kind.name);
  const said = frames.flatMap(({ kind: of, meta, bytesBase64 }) => {
    const channel = of === 'channel' ? (meta as FrameMeta['channel']).channel : of;
    return channel === 'error' || bytesBase64 === ''
      ? []
      : [{ channel, text: Buffer.from(bytesBase64, 'base64').toString() }];
  });
  if (kind.recorded !== 'nowhere') {
    const last = said.at(-1);
    assert.match(last?.text ?? '', told, `${kind.name}: what is recorded last`);
    if (kind.recorded !== 'response') assert.equal(last?.channel, kind.recorded);
  }
  await assertClosed(kind, call);
}

/** The cluster has seen the end of the stream of a call. */
async function assertClosed({ name, resource }: Kind, { id }: CallRow): Promise<void> {
  const { log } = upstream.cluster;
  const stream = log.find((entry) => entry.kind === 'stream' && entry.auditId === id);
  if (!resource.startsWith('pods/') || resource === 'pods/log') return;
  assert.ok(stream?.kind === 'stream', `${name} came to the cluster`);
  await until(`the end of ${name} in the cluster`, () =>
    log.some((entry) => entry.kind === 'stream-closed' && entry.stream === stream.stream),
  );
}

for (const kind of kinds) {
  test(`kill cuts ${kind.name}`, async () => {
    const begun = await begin(kind);
    const { code, stdout, stderr } = await sluice.cli('kill', begun.call.id, '--reason', reason);
    assert.deepEqual([code, stdout], [0, `cut ${begun.call.id}\n`], stderr);
    await assertCut(begun, 'Killed', /killed by local:\S+: not in this pod/);
  });
}

test('kill of a session cuts all that runs of it', async () => {
  const begun: Begun[] = [];
  for (const kind of kinds) begun.push(await begin(kind));
  const [session] = [...new Set(begun.map(({ call }) => call.session))];
  const { stdout } = await sluice.cli('kill', session ?? '', '--reason', reason);
  const cut = stdout
    .trim()
    .split('\n')
    .map((line) => line.replace('cut ', ''));
  assert.deepEqual(cut.toSorted(), begun.map(({ call }) => call.id).toSorted());
  for (const one of begun) await assertCut(one, 'Killed', /killed by local:\S+: not in this pod/);
});

test('the end of a token cuts what runs by it', async () => {
  const kubeconfig = join(dir, 'short.kubeconfig');
  const { stdout } = await sluice.cli('kubeconfig', '--agent', 'demo', '--ttl', '30s');
  writeFileSync(kubeconfig, stdout);
  const begun = await Promise.all(kinds.filter(({ env }) => env === undefined).map((kind) => begin(kind, kubeconfig)));
  for (const one of begun) await assertCut(one, 'TokenExpired', /the token by which the call ran has expired/);
});

void describe('a policy that', () => {
  const file = join(policies, 'streams.yaml');
  const given = readFileSync(everyStream, 'utf8');

  async function apply(text: string): Promise<void> {
    writeFileSync(file, text);
    const { code, stdout, stderr } = await sluice.cli('policy', 'apply', policies);
    assert.equal(code, 0, `${stdout}${stderr}`);
  }

  beforeEach(() => apply(given));

  test('takes the right away cuts what runs by it', async () => {
    const begun: Begun[] = [];
    for (const kind of kinds.filter(({ env }) => env === undefined)) begun.push(await begin(kind));
    await apply(given.replaceAll('effect: allow', 'effect: deny\n      reason: "No more."'));
    for (const one of begun) await assertCut(one, 'DeniedByRule', /No more\./);
  });

  test('lets an approval expire cuts what runs by it', async () => {
    const asks =
      '    - { effect: ask, verbs: [get, create], resources: [pods/exec], approval: { hold: 30s, expires: 30s } }\n';
    await apply(given.replace('  rules:\n', `  rules:\n${asks}`));
    const kind = kinds[0] as Kind;
    const kubectl = new RunningKubectl(sluice, ['-n', 'shop', ...kind.args]);
    const { id } = await until('an approval to be asked for', async () => {
      const { stdout } = await sluice.cli('approvals', 'list', '--state', 'pending', '--json');
      return (JSON.parse(stdout) as ApprovalRow[])[0];
    });
    const approved = await sluice.cli('approvals', 'approve', id);
    assert.equal(approved.code, 0, approved.stderr);
    await until('it to begin', () => kind.begins.test(kubectl.stdout));
    const call = await until('its call', async () => (await running(kind))[0]);
    await assertCut({ kind, kubectl, call }, 'GrantExpired', /the approval by which the call ran has expired/);
  });
});
