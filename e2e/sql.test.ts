// Who read this secret: an auditor asks with one command, while Sluice runs and while it is stopped.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { after, before, test } from 'node:test';
import { openUpstream, removeScratch, repository, run, Sluice, scratch, type Upstream, until } from '@sluice/testing';

const dir = scratch();
const secret = `sql-${Date.now()}`;
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

const whoRead = ['sql', '--query', 'who-read', '--param', 'resource=secrets', '--param', 'namespace=default'];
async function readers(): Promise<Record<string, unknown>[]> {
  const { stdout, stderr } = await sluice.cli(...whoRead, '--param', `name=${secret}`, '--json');
  assert.equal(stderr, '');
  return JSON.parse(stdout) as Record<string, unknown>[];
}

test('one command says who read a secret: by name, with its namespace and with the cluster', async () => {
  for (const path of [`default/secrets/${secret}`, `default/secrets/${secret}`, 'default/secrets', 'other/secrets']) {
    await sluice.call('GET', `/api/v1/namespaces/${path}`);
  }
  await sluice.call('GET', '/api/v1/secrets');
  await sluice.call('GET', '/api/v1/namespaces/default/secrets/another');
  const rows = await until('the reads to be in the record', async () => {
    const found = await readers();
    return found.reduce((sum, { count }) => sum + Number(count), 0) === 4 && found;
  });
  const seen = rows.map(({ agent, verb, read, effect, count }) => [agent, verb, read, effect, count].join(' '));
  assert.deepEqual(seen.toSorted(), [
    'demo get object allow 2',
    'demo list cluster allow 1',
    'demo list namespace allow 1',
  ]);
  const sessions = JSON.parse((await sluice.cli('sessions', 'list', '--json')).stdout) as { id: string }[];
  assert.deepEqual(
    [...new Set(rows.map(({ session }) => session))],
    sessions.map(({ id }) => id),
  );
});

test('what is refused is one line with its place, and the engine has not seen it', async () => {
  const { code, stdout, stderr } = await sluice.cli('sql', "SELECT file('/etc/hostname')");
  assert.deepEqual({ code, stdout }, { code: 1, stdout: '' });
  assert.equal(
    stderr,
    'sluice: position 8: the function file() is refused; docs/sql.md lists those that may be called\n',
  );
});

/** The commands of the page, as a shell runs them. */
const commands = [...readFileSync(join(repository, 'docs/sql.md'), 'utf8').matchAll(/```sh\n(.*?)```/gs)]
  .flatMap(([, block = '']) => block.trim().split('\n'))
  .filter((line) => line.startsWith('sluice '));

async function commandsWork(): Promise<string[]> {
  const path = [join(repository, 'cli/bin'), process.env['PATH']].join(delimiter);
  const printed: string[] = [];
  for (const command of commands) {
    const { code, stdout, stderr } = await run('sh', ['-c', command], {
      ...process.env,
      PATH: path,
      SLUICE_HOME: sluice.home,
    });
    assert.deepEqual({ code, stderr }, { code: 0, stderr: '' }, command);
    printed.push(stdout);
  }
  return printed;
}

test('the commands of docs/sql.md work, and answers are the same while Sluice is stopped', async () => {
  assert.ok(commands.length >= 4);
  const rows = await readers();
  const printed = await commandsWork();
  assert.match(printed[0] ?? '', /^agent +verb +calls\ndemo /);
  assert.equal(await sluice.stop(), 0, 'it drains and exits 0');
  assert.deepEqual(await readers(), rows);
  assert.deepEqual(await commandsWork(), printed);
});
