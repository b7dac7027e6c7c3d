// Every kubectl through Sluice, over WebSocket and over SPDY, on a real cluster: what a script of exec, attach, logs,
// port-forward and cp sees there without Sluice, it sees with it. The script needs some pods, and says `ok` or `FAIL` of
// each thing it tries.
//
// SLUICE_E2E_STREAM_TEST=PATH   the script
// SLUICE_E2E_KUBECTLS=PATHS     the kubectls, parted by colons; default: the one on PATH
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { delimiter, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import type { CallRow } from '@sluice/model';
import { openUpstream, removeScratch, repository, Sluice, scratch, type Upstream } from '@sluice/testing';
import { everyStream, kubectls, type Program } from './streams.ts';

const script = process.env['SLUICE_E2E_STREAM_TEST'] ?? '';
/** Things that the script tries. */
const tried = 31;
/** Most of the time it sleeps. */
const atOnce = 3;
const dir = scratch();
let upstream: Upstream;

const programs = kubectls();

/** What the script says of what it tried. */
interface Verdict {
  readonly passed: readonly string[];
  readonly failed: readonly string[];
  readonly output: string;
}

/**
 * The script with a port, files and a line of its own, and more time where it is short: several run at once, against the same pods. Each port-forward says in
 * a file of its own that it is ready, or what the one before it said would be taken for that.
 */
async function ownScript(id: string): Promise<string> {
  const given = readFileSync(script, 'utf8');
  const own = [
    ['18080', String(await freePort())],
    ['web:/tmp/big', `web:/tmp/big-${id}`],
    ['$T/pf', '$T/pf-$mode'],
    ['echo two;', `echo two-${id};`],
    ['"got: two"', `"got: two-${id}"`],
    // Three lines, one a second, from when it has begun; a busy machine takes its time until then.
    ['timeout 4 kubectl logs', 'timeout 7 kubectl logs'],
    ['seq 50', 'seq 300'],
    ['p.wait(5)', 'p.wait(30)'],
  ] as const;
  const made = own.reduce((now, [from, to]) => now.replaceAll(from, to), given);
  for (const [from] of own) assert.ok(given.includes(from), `the script has a ${from}`);
  const back = own.reduce((now, [from, to]) => now.replaceAll(to, from), made);
  assert.equal(back, given, 'nothing else is another');
  return made;
}

/** Below those that systems give to connections: the script listens on it later, and again. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + randomInt(10_000);
    const server = createServer().listen(port, '127.0.0.1');
    const isFree = await once(server, 'listening').then(
      () => true,
      () => false,
    );
    server.close();
    if (isFree) return port;
  }
}

/** A call that ended otherwise may say why something failed. */
const ordinary: ReadonlySet<CallRow['outcome']> = new Set(['completed', 'aborted', null]);

/** Runs the script with one kubectl, through a Sluice. */
async function play(sluice: Sluice, { path, version }: Program, name = version): Promise<Verdict> {
  const id = name.replaceAll(/[^0-9a-z]/g, '-');
  const home = join(sluice.home, `stream-test-${id}`);
  const bin = join(home, 'bin');
  mkdirSync(bin, { recursive: true });
  const which = path.includes('/') ? path : spawnSync('which', [path], { encoding: 'utf8' }).stdout.trim();
  symlinkSync(which, join(bin, 'kubectl'));
  const file = join(home, 'stream-test.sh');
  writeFileSync(file, await ownScript(id));
  const env = {
    ...process.env,
    HOME: home,
    KUBECONFIG: sluice.agentKubeconfig,
    PATH: `${bin}${delimiter}${process.env['PATH'] ?? ''}`,
  };
  const child = spawn('bash', [file], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  const said = (word: string): string[] =>
    [...stdout.matchAll(new RegExp(`^ {2}${word} +(.*?)(?:: (?:want|no) \\[.*)?$`, 'gm'))].map(([, name = '']) => name);
  const [passed, failed] = [said('ok'), said('FAIL')];
  const cut = failed.length === 0 ? [] : (await sluice.calls()).filter(({ outcome }) => !ordinary.has(outcome));
  return { passed, failed, output: `${stdout}\n${stderr}\n${JSON.stringify(cut)}` };
}

before(async () => {
  assert.notEqual(script, '', 'SLUICE_E2E_STREAM_TEST names the script');
  upstream = await openUpstream(dir);
  assert.equal(upstream.kind, 'real', 'SLUICE_E2E_KUBECONFIG names a cluster');
});

after(async () => {
  await upstream?.close();
  removeScratch(dir);
});

void describe('what the script tries', { concurrency: atOnce }, () => {
  let everything: Sluice;
  let shipped: Sluice;

  before(async () => {
    const start = (name: string, policies: string): Promise<Sluice> =>
      Sluice.start({ home: join(dir, name), flags: ['--kubeconfig', upstream.kubeconfig, '--policies', policies] });
    [everything, shipped] = await Promise.all([
      start('everything', everyStream),
      start('shipped', join(repository, 'deploy', 'examples', 'policies')),
    ]);
  });

  after(() => Promise.all([everything?.stop(), shipped?.stop()]));

  for (const program of programs) {
    test(`kubectl ${program.version} sees no difference where a policy allows all of it`, async () => {
      const { passed, failed, output } = await play(everything, program);
      assert.deepEqual(failed, [], output);
      assert.equal(passed.length, tried, output);
    });
  }

  test('under the policies that Sluice ships, proxies and interactive shells fail and nothing else does', async () => {
    const { passed, failed, output } = await play(shipped, programs.at(-1) as Program, 'shipped');
    const shells = ['exec -it: pty', 'exec -it: initial size', 'exec -it: resize', 'exec -it: exit code'];
    assert.deepEqual(failed, [...shells, ...shells, 'pods/proxy', 'top of kubelet stats'], output);
    assert.equal(passed.length, tried - failed.length, output);
  });
});
