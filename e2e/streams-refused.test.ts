// What the shipped policies do not let through: one clean line and a stable exit code for the agent, one decision in the
// record, and nothing in the cluster. What they ask about: held, with what the agent types, until a reviewer decides.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { cpSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DemoCluster } from '@sluice/demo-cluster';
import type { ApprovalRow, CallRow } from '@sluice/model';
import { happens, openDemo, removeScratch, repository, Sluice, scratch, type Upstream, until } from '@sluice/testing';
import { type KubectlOptions, kubectls, overSpdy, RunningKubectl } from './streams.ts';

const dir = scratch();
let upstream: Upstream & { readonly cluster: DemoCluster };
let sluice: Sluice;

/** Beside those that Sluice ships. */
const noForward = `apiVersion: sluice.internal/v1alpha1
kind: AccessPolicy
metadata: { name: no-forward }
spec:
  subjects: [{ agent: demo }]
  obligations:
    impersonate: { user: "sluice:tier:demo", groups: ["sluice:demo"] }
  rules:
    - effect: deny
      verbs: [get, create]
      resources: [pods/portforward]
      names: [console]
      reason: "The console is reached by nobody."
`;

before(async () => {
  upstream = await openDemo(dir);
  const policies = join(dir, 'policies');
  cpSync(join(repository, 'deploy', 'examples', 'policies'), policies, { recursive: true });
  writeFileSync(join(policies, 'no-forward.yaml'), noForward);
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

const programs = kubectls();
const [oldest = 'kubectl', newest = 'kubectl'] = [programs[0], programs.at(-1)].map((program) => program?.path);
const ways: readonly (readonly [way: string, options: KubectlOptions])[] = [
  ['over WebSocket', { program: newest }],
  ['over SPDY', { program: newest, env: overSpdy }],
  ['by the oldest kubectl', { program: oldest, env: overSpdy }],
];

interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Calls of streams that the record has of it. */
  readonly calls: readonly CallRow[];
}

/** Streams that the cluster opened. */
function opened(): number {
  return upstream.cluster.log.filter(({ kind }) => kind === 'stream').length;
}

async function streams(): Promise<CallRow[]> {
  const rows = await sluice.calls('--limit', '500');
  return rows.filter(({ resource }) => /^pods\/(exec|attach|portforward)$/.test(resource));
}

function start(options: KubectlOptions, ...args: readonly string[]): RunningKubectl {
  return new RunningKubectl(sluice, ['-n', 'shop', ...args], options);
}

async function run(options: KubectlOptions, ...args: readonly string[]): Promise<Ran> {
  const before = (await streams()).length;
  const running = start(options, ...args);
  running.stdin.end();
  const code = await running.ended();
  const calls = await since(before);
  const { stdout, stderr } = running;
  return { code, stdout, stderr, calls };
}

/** The calls of streams that came after so many, once they have ended. */
async function since(before: number): Promise<readonly [CallRow, ...CallRow[]]> {
  return until('the outcome of a stream', async () => {
    const rows = await streams();
    const [newest, ...others] = rows.slice(0, rows.length - before);
    return newest !== undefined && rows.every(({ outcome }) => outcome !== null) && ([newest, ...others] as const);
  });
}

/** The ask of a command that is held. */
async function asked(): Promise<ApprovalRow> {
  return until('an approval to be asked for', async () => {
    const { stdout } = await sluice.cli('approvals', 'list', '--state', 'pending', '--json');
    return (JSON.parse(stdout) as ApprovalRow[])[0];
  });
}

/** A script that nobody can read, whatever it is. */
function hidden(script: string): string[] {
  return ['sh', '-c', `$(echo ${Buffer.from(script).toString('base64')} | base64 -d)`];
}

for (const [way, options] of ways) {
  void describe(way, () => {
    for (const command of [
      ['rm', '-rf', '/data'],
      ['sh', '-c', 'r\\m -r""f /data'],
    ]) {
      test(`${command.join(' ')} is refused in one line, with 126, and once`, async () => {
        const before = opened();
        const { code, stdout, stderr, calls } = await run(options, 'exec', 'toolbox', '--', ...command);
        assert.deepEqual([code, stdout], [126, '']);
        assert.match(
          stderr,
          /^Error from Sluice \(DeniedByRule\): Nothing is deleted [^\n]*\.\ncommand terminated with exit code 126\n$/,
        );
        assert.deepEqual(
          calls.map(({ effect, reasonCode, outcome }) => [effect, reasonCode, outcome]),
          [['deny', 'DeniedByRule', 'refused']],
        );
        assert.equal(opened(), before, 'the cluster saw a stream');
      });
    }

    test('ls passes, and nothing is gone', async () => {
      const { code, stdout } = await run(options, 'exec', 'toolbox', '--', 'ls', '/data/orders.csv');
      assert.deepEqual([code, stdout], [0, '/data/orders.csv\n']);
    });

    test('what nobody can read waits for a reviewer, and what is typed meanwhile waits with it', async () => {
      const given = randomBytes(30_000_000);
      const before = opened();
      const earlier = (await streams()).length;
      const running = start(options, 'exec', '-i', 'toolbox', '--', ...hidden('sha256sum'));
      let taken = 0;
      running.stdin.write(given.subarray(0, 20_000_000), () => {
        taken = 20_000_000;
      });
      const { id } = await asked();
      // kubectl, Sluice and two sockets take some of it, and no more.
      await sleep(2_000);
      assert.equal(taken, 0, 'all of it was taken');
      assert.equal(opened(), before);
      const approved = await sluice.cli('approvals', 'approve', id, '--reason', 'it only counts');
      assert.equal(approved.code, 0, approved.stderr);
      running.stdin.end(given.subarray(20_000_000));
      assert.equal(await running.ended(), 0, running.stderr);
      assert.equal(running.stdout.split(' ')[0], createHash('sha256').update(given).digest('hex'));
      const [call] = await since(earlier);
      assert.deepEqual([call.effect, call.reasonCode, call.outcome], ['allow', 'AllowedByApproval', 'completed']);
    });

    test('what a reviewer denies ends with 126 and the reason, and once', async () => {
      const running = run(options, 'exec', 'toolbox', '--', ...hidden(`rm -rf /data/${way.length}`));
      const { id } = await asked();
      await sluice.cli('approvals', 'deny', id, '--reason', 'not this one');
      const { code, stdout, stderr, calls } = await running;
      assert.deepEqual([code, stdout], [126, '']);
      assert.match(
        stderr,
        /^Error from Sluice \(ApprovalDenied\): local:\S+ has denied approval [0-9a-z]{10}: not this one\. Allowed here: [^\n]*\.\ncommand terminated with exit code 126\n$/,
      );
      assert.deepEqual(
        calls.map(({ reasonCode, outcome }) => [reasonCode, outcome]),
        [['ApprovalDenied', 'refused']],
      );
    });

    test('a port-forward is refused in one line, and once', async () => {
      const { code, stderr, calls } = await run(options, 'port-forward', 'pod/console', ':8080');
      assert.equal(code, 1);
      assert.match(
        stderr,
        /^error: error upgrading connection: (?:unable to upgrade connection: )?The console is reached by nobody\.[^\n]*\n$/,
      );
      assert.deepEqual(
        calls.map(({ effect, reasonCode }) => [effect, reasonCode]),
        [['deny', 'DeniedByRule']],
      );
    });

    test('a port that no rule allows is refused while another one is reached', async () => {
      const earlier = (await streams()).length;
      const running = start(options, 'port-forward', 'pod/toolbox', ':8080', ':5432');
      const port = (to: number): number => Number(new RegExp(`127.0.0.1:(\\d+) -> ${to}`).exec(running.stdout)?.[1]);
      await until('both ports', () => port(8080) > 0 && port(5432) > 0);
      assert.match(await page(port(8080)), /hello from toolbox/);
      assert.equal(await page(port(5432)), '');
      await until('the refusal', () => /Error from Sluice \(NoRuleMatched\)/.test(running.stderr));
      running.kill();
      await running.ended();
      const [call] = await since(earlier);
      const events = (await sluice.frames(call.id)).flatMap(({ kind, meta }) =>
        kind === 'channel' && 'port' in meta && 'event' in meta ? [`${String(meta.event)} ${String(meta.port)}`] : [],
      );
      assert.deepEqual(events.toSorted(), ['closed 8080', 'opened 8080', 'refused 5432']);
    });
  });
}

/** What a server says to a request; empty when the connection is closed on it. */
async function page(port: number): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  let said = '';
  socket.on('data', (data: Buffer) => {
    said += data.toString();
  });
  socket.write('GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n');
  await happens(socket, 'close');
  return said;
}
