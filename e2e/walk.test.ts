// The pages that a stranger follows, typed line by line into one shell, in a copy of the tree.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { copyTree, isAlive, removeScratch, repository, run, scratch, until } from '@sluice/testing';
import { expected, type Line, lists, normal, notTyped, placeholders, readPage, type Shown } from './walk.ts';

const dir = scratch();
const copy = join(dir, 'clone');
const readme = readPage('README.md');
const firstHour = readPage('docs/first-hour.md');
/** The minute of `hold`, and room for a busy machine. */
const lineMs = 180_000;

/** A shell without what the developer has set, but for the servers that `npm test` has found. */
const env: NodeJS.ProcessEnv = {
  HOME: join(dir, 'home'),
  PATH: process.env['PATH'],
  SLUICE_NATS_SERVER: process.env['SLUICE_NATS_SERVER'],
  SLUICE_REDIS_SERVER: process.env['SLUICE_REDIS_SERVER'],
};

/** A bash that somebody types into; what it prints comes together, as in a terminal. */
class Shell {
  readonly #bash: ChildProcess;
  #printed = '';
  /** So much of it belongs to lines that have ended. Characters. */
  #ended = 0;

  constructor() {
    // A process group of its own: Ctrl-C goes to all of it, and not to this test.
    this.#bash = spawn('bash', ['--noprofile', '--norc'], { cwd: copy, env, detached: true, stdio: 'pipe' });
    for (const stream of [this.#bash.stdout, this.#bash.stderr]) {
      stream?.on('data', (data: Buffer) => {
        this.#printed += data.toString();
      });
    }
    // Ctrl-C is for what runs in it: a trap, unlike an ignored signal, is not handed down.
    this.#bash.stdin?.write('exec 2>&1; trap : INT\n');
  }

  /** Types a line and waits for its end. `meanwhile` is called until then, with what has been printed. */
  async type(
    line: string,
    meanwhile: (printed: string) => Promise<void> = async () => undefined,
  ): Promise<{ readonly code: number; readonly output: string }> {
    const from = this.#ended;
    this.#bash.stdin?.write(`${line}\nprintf '\\036%s\\036' "$?"\n`);
    for (const start = performance.now(); performance.now() - start < lineMs; await sleep(20)) {
      const printed = this.#printed.slice(from);
      const [end = '', code] = /\u{1e}(\d+)\u{1e}/u.exec(printed) ?? [];
      if (code !== undefined) {
        this.#ended = this.#printed.length;
        // What runs in the background may have printed on either side of it.
        return { code: Number(code), output: printed.replace(end, '') };
      }
      await meanwhile(printed);
    }
    throw new Error(`the shell is still busy: ${this.#printed.slice(from)}`);
  }

  /** What came since the last line has ended. */
  get unread(): string {
    return this.#printed.slice(this.#ended);
  }

  interrupt(): void {
    if (this.#bash.pid !== undefined) process.kill(-this.#bash.pid, 'SIGINT');
  }

  async close(): Promise<void> {
    this.#bash.stdin?.end();
    if (this.#bash.exitCode === null) await once(this.#bash, 'exit');
  }
}

let started: ChildProcess;
/** What the first shell says, the one with `npm start`. */
let said = '';
let shell: Shell;

before(async () => {
  copyTree(copy);
  for (const file of ['README.md', 'docs', 'package-lock.json']) {
    cpSync(join(repository, file), join(copy, file), { recursive: true });
  }
  mkdirSync(join(dir, 'home'));
  writeFileSync(
    join(dir, 'secret.yaml'),
    'apiVersion: v1\nkind: Secret\nmetadata: { name: a }\nstringData: { password: b }\n',
  );
  started = spawn('npm', ['start', '--', '--port', '0'], { cwd: copy, env, stdio: ['ignore', 'pipe', 'pipe'] });
  for (const stream of [started.stdout, started.stderr]) {
    stream?.on('data', (data: Buffer) => {
      said += data.toString();
    });
  }
  await until('Sluice is ready', () => {
    assert.equal(started.exitCode, null, said);
    return /^Sluice is ready$/m.test(said);
  });
  shell = new Shell();
});

after(async () => {
  await shell?.close();
  if (started?.exitCode === null) {
    const { pid } = JSON.parse(readFileSync(join(copy, '.sluice', 'state.json'), 'utf8')) as { pid: number };
    started.kill('SIGTERM');
    await until('the end of Sluice', () => !isAlive(pid));
  }
  removeScratch(dir);
});

const asked = (): number => said.match(/^ {2}approval {2}\w{10} pending: /gm)?.length ?? 0;

/** Types what a page says, and judges what comes of it. Throws at the first line that does not hold. */
async function walk(steps: readonly (Line | Shown)[]): Promise<void> {
  const values = new Map([
    ['FILE', join(dir, 'secret.yaml')],
    ['TEXT', '"not today"'],
  ]);
  let transcript = '';
  /** All that was printed since a command went into the background. */
  let waiting = '';
  for (const step of steps) {
    const where = `${step.page}:${step.number}`;
    if ('pieces' in step) {
      const printed = normal(transcript);
      for (const piece of step.pieces) assert.ok(printed.includes(piece), `${where}: nothing printed ${piece}`);
      continue;
    }
    if (isNotTyped(step)) continue;
    const askedBefore = asked();
    const end = expected(step);
    assert.ok(end !== undefined, `${where}: nobody has said how to judge: ${step.text}`);
    const line = filled(step, values);
    // At a terminal, Ctrl-C leaves alone what runs in the background.
    const typed = end.kind === 'runs on' ? `set -m\n${line}\nset +m` : line;
    const { code, output } = await shell.type(typed, async (printed) => {
      if (end.kind !== 'endless') return;
      // Somebody has to call for there to be a call to see.
      await run('kubectl', ['get', 'pods', '-n', 'shop'], {
        ...env,
        KUBECONFIG: join(copy, '.sluice/agent.kubeconfig'),
      });
      if (end.prints.test(printed)) shell.interrupt();
    });
    transcript += `${output}\n`;
    waiting += output;
    const what = `${where}: ${step.text}: ${code}: ${output}`;
    switch (end.kind) {
      case 'asks':
        waiting = '';
        // It is told of in the first shell.
        await until('an approval', () => asked() > askedBefore);
        break;
      case 'runs on':
        waiting = '';
        await until('what it prints', () => end.prints.test(output + shell.unread));
        break;
      case 'refused':
        assert.notEqual(code, 0, what);
        assert.match(step.command.startsWith('wait') ? waiting : output, end.says, what);
        break;
      case 'endless':
        assert.match(output, end.prints, what);
        break;
      case 'done':
        assert.equal(code, 0, what);
        assert.match(step.command.startsWith('wait') ? waiting : output, end.prints, what);
    }
    for (const { begin, placeholder, value } of lists) {
      const found = value.exec(output)?.[1];
      if (step.command.startsWith(begin) && found !== undefined) values.set(placeholder, found);
    }
  }
}

/** The line with the ids of this run. */
function filled({ page, number, text, comment }: Line, values: ReadonlyMap<string, string>): string {
  const command = comment === '' ? text : text.slice(0, text.length - comment.length);
  return command.replaceAll(placeholders, (placeholder) => {
    const value = values.get(placeholder);
    assert.ok(value !== undefined, `${page}:${number}: no command before it shows a ${placeholder}`);
    return value;
  });
}

const written = ({ text }: Line): string => text.replace(/\s+# .*$/, '');
const isNotTyped = (line: Line): boolean => Object.hasOwn(notTyped, written(line));

test('each command of the pages is typed, or is named with the reason why not', () => {
  const lines = [...readme, ...firstHour].filter((step): step is Line => !('pieces' in step));
  const unknown = lines.filter((line) => !isNotTyped(line) && expected(line) === undefined);
  assert.deepEqual(unknown, []);
  const names = lines.filter(isNotTyped).map(written);
  assert.deepEqual(Object.keys(notTyped).toSorted(), [...new Set(names)].toSorted());
});

test('README.md works as it is typed', () => walk(readme));

test('the first hour works as it is typed, and prints what its page shows', () => walk(firstHour));

for (const [what, right, wrong, says] of [
  ['a command that fails', 'secret web-db', 'secret web-bd', /secrets "web-bd" not found/],
  ['a refused command that is let through', 'kubectl delete namespace shop', 'kubectl get namespace shop', /: 0: NAME/],
  ['a command that nobody judges', 'calls list', 'calls lits', /nobody has said how to judge: .* calls lits/],
  ['an id that no command shows', 'replay CALL', 'replay SESSION', /no command before it shows a SESSION/],
] as const) {
  test(`one word changed in README.md is found out: ${what}`, async () => {
    const page = readFileSync(join(repository, 'README.md'), 'utf8').split('\n');
    const broken = page.filter((line) => line.includes(right) && /^(npx|kubectl)/.test(line)).slice(0, 1);
    const text = ['```', 'export KUBECONFIG=.sluice/agent.kubeconfig', ...broken, '```'].join('\n');
    assert.ok(text.includes(right));
    await assert.rejects(walk(readPage('README.md', text.replace(right, wrong))), { message: says });
  });
}

test('what a page shows and no command prints is found out', async () => {
  const text = `\`\`\`sh
export KUBECONFIG=.sluice/agent.kubeconfig
kubectl create deployment shown --image=demo/web:1 -n shop
\`\`\`
\`\`\`text
deployment … made
\`\`\``;
  await assert.rejects(walk(readPage('README.md', text)), { message: /nothing printed made/ });
});
