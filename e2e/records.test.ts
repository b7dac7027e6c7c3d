// The record as people read it: sessions, their timeline, calls as they happen; while Sluice runs and after it stopped.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { FrameRow, SessionRow } from '@sluice/model';
import { removeScratch, repository, Sluice, scratch, until } from '@sluice/testing';

const dir = scratch();
let sluice: Sluice;

before(async () => {
  sluice = await Sluice.start({ home: join(dir, 'home'), flags: [], env: { HOME: dir, KUBECONFIG: '' } });
});
after(async () => {
  await sluice?.stop();
  removeScratch(dir);
});

/** `sluice tail`, and what it has printed. */
function startTail(...flags: readonly string[]): { readonly child: ChildProcess; readonly text: () => string } {
  const child = spawn(join(repository, 'cli', 'bin', 'sluice'), ['tail', ...flags], {
    env: { ...process.env, SLUICE_HOME: sluice.home },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.on('data', (data: Buffer) => {
    text += data.toString();
  });
  return { child, text: () => text };
}

/** Makes calls until the tail shows one: it listens. */
async function untilHeard(text: () => string): Promise<void> {
  await until('the tail to listen', async () => {
    await sluice.call('GET', '/version');
    return text() !== '';
  });
}

async function sessions(...flags: readonly string[]): Promise<SessionRow[]> {
  const { stdout, stderr } = await sluice.cli('sessions', 'list', '--json', ...flags);
  assert.notEqual(stdout, '', stderr);
  return JSON.parse(stdout) as SessionRow[];
}

test('an auditor sees calls as they happen, and Ctrl-C ends that', async () => {
  const { child, text } = startTail('--agent', 'demo');
  await untilHeard(text);
  assert.equal((await sluice.call('GET', '/api/v1/namespaces/shop/pods?limit=1')).status, 200);
  assert.equal((await sluice.call('DELETE', '/api/v1/namespaces/shop')).status, 403);
  await until(
    'four lines',
    () => /list pods in shop {2}completed 200 after/.test(text()) && /refused 403/.test(text()),
  );
  assert.match(text(), /^\d\d:\d\d:\d\d\.\d{3} {2}demo: list pods in shop {2}allow AllowedByRule {2}[0-9a-f-]{36}$/m);
  assert.match(text(), /^\S+ {2}demo: delete namespaces shop\/shop {2}deny DeniedByRule {2}[0-9a-f-]{36}$/m);
  assert.match(
    text(),
    /^\S+ {2}demo: delete namespaces shop\/shop {2}refused 403 DeniedByRule after [\d.]+ ms {2}\S+$/m,
  );
  child.kill('SIGINT');
  assert.deepEqual(await once(child, 'exit'), [0, null]);
});

test('the calls of an agent are a session, which is replayed in their order, running and stopped', async () => {
  await until('the calls to be in the record', async () => (await sluice.calls('--effect', 'deny')).length > 0);
  await until('all of them to have ended', async () => (await sluice.calls()).every(({ outcome }) => outcome !== null));
  const [session, ...others] = await sessions();
  assert.ok(session !== undefined && others.length === 0);
  const calls = (await sluice.calls()).reverse();
  assert.equal(session.agent, 'demo');
  assert.equal(session.calls, calls.length);
  assert.equal(session.startedAt, calls[0]?.at);
  assert.ok(session.endedAt !== null && session.endedAt >= (calls.at(-1)?.at ?? ''));
  assert.deepEqual(await sessions('--agent', 'nobody'), []);

  const { stdout: shown } = await sluice.cli('replay', session.id);
  assert.match(shown, new RegExp(`^session ${session.id}: demo, ${calls.length} calls, `));
  const ids = [...shown.matchAll(/^ +([0-9a-f-]{36})$/gm)].map(([, id]) => id);
  assert.deepEqual(
    ids,
    calls.map(({ id }) => id),
  );
  assert.match(shown, /\+\d+\.\d{3}s {2}demo: delete namespaces shop\/shop\n +deny DeniedByRule, refused 403\n/);
  const { stdout: full } = await sluice.cli('replay', session.id, '--full');
  assert.match(full, /"gitVersion": /);
  const { stdout: json } = await sluice.cli('replay', session.id, '--json');
  const frames = JSON.parse(json) as FrameRow[];
  assert.deepEqual([...new Set(frames.map(({ call }) => call))], ids);

  const { child, text } = startTail('--json');
  await untilHeard(text);
  assert.equal(await sluice.stop(), 0);
  if (child.exitCode === null) await once(child, 'exit');
  assert.equal(child.exitCode, 0, 'the tail ends with Sluice');
  for (const line of text().trimEnd().split('\n')) assert.match(line, /^\{"kind":"(decision|outcome)",.*\}$/);

  const [stopped] = await sessions();
  assert.equal(stopped?.id, session.id);
  const { stdout: later } = await sluice.cli('replay', session.id);
  const body = (text: string): string => text.slice(text.indexOf('\n') + 1);
  assert.ok(later.length > shown.length && body(later).startsWith(body(shown)), 'it is the same, and goes on');
  const { code, stderr } = await sluice.cli('tail');
  assert.equal(code, 1);
  assert.equal(stderr, 'sluice: Sluice does not run here, and `tail` shows what happens while it does\n');
});
