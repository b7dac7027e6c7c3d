import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import type { Container } from './container.ts';
import { Killed } from './job.ts';
import { Kubelet } from './kubelet.ts';
import { Pipe } from './pipe.ts';
import { seed } from './seed.ts';
import { Store } from './store.ts';

let container: Container;

beforeEach(() => {
  const store = new Store();
  seed(store);
  const kubelet = new Kubelet(store);
  container = kubelet.container(kubelet.pod('shop', 'toolbox'), '');
});

interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command to its end. */
async function run(argv: readonly string[], stdin = '', signal = new AbortController().signal): Promise<Ran> {
  const said = { stdout: '', stderr: '' };
  const typed = new Pipe();
  await typed.write(Buffer.from(stdin));
  typed.end();
  const into = (name: keyof typeof said) => ({
    write: async (bytes: Buffer): Promise<void> => void (said[name] += bytes.toString('latin1')),
  });
  const code = await container.run(argv, { stdin: typed, stdout: into('stdout'), stderr: into('stderr') }, signal);
  return { code, ...said };
}

const scripts: readonly (readonly [script: string, stdout: string, code?: number])[] = [
  ['echo a; echo b', 'a\nb\n'],
  ['false && echo no || echo yes', 'yes\n'],
  ['false; echo $?', '1\n'],
  ['! false && echo yes', 'yes\n'],
  ['echo out; exit 7; echo never', 'out\n', 7],
  ['nosuch', '', 127],
  [`echo 'a  $HOME' "b  $HOSTNAME" c\\ d e\\f`, 'a  $HOME b  toolbox c d ef\n'],
  ['r\\m -r""f /data && ls /data', '', 1],
  ['x="a  b"; echo $x; echo "$x"', 'a b\na  b\n'],
  ['x=1 printenv x; echo [$x]', '1\n[]\n'],
  ['echo a$((40+2))b', 'a42b\n'],
  ['echo "<$(echo in; echo side)>" | wc -l', '2\n'],
  ['$(echo echo made)', 'made\n'],
  ['echo one >/tmp/f; echo two >>/tmp/f; cat </tmp/f', 'one\ntwo\n'],
  ['ls /nope 2>/dev/null; echo $?', '1\n'],
  ['ls /nope 2>&1 | grep -c directory', '1\n'],
  ['(cd /etc; pwd); pwd', '/etc\n/\n'],
  ['for i in 1 2 3; do echo $i; done | tail -n 2', '2\n3\n'],
  ['i=0; while [ $i -lt 3 ]; do i=$((i+1)); done; echo $i', '3\n'],
  ['if test -d /data; then echo yes; else echo no; fi', 'yes\n'],
  ['if false; then echo 1; elif true; then echo 2; fi', '2\n'],
  ['echo "a b c" | while read x y; do echo "$y"; done', 'b c\n'],
  ['echo a # b', 'a\n'],
  ['{ echo a; echo b; } | wc -l', '2\n'],
  ['yes | head -n 2', 'y\ny\n'],
  ['head -c 200000 /dev/zero | wc -c', '200000\n'],
  ['printf "%s-%s\\n" a b c d', 'a-b\nc-d\n'],
  ['printf secret | base64; printf c2VjcmV0 | base64 -d', 'c2VjcmV0\nsecret'],
  ['seq 3 | dd bs=1 2>/dev/null', '1\n2\n3\n'],
  ['dd if=/dev/zero bs=1k count=3 2>/dev/null | wc -c', '3072\n'],
  ['seq 10 | tail -c +19', '10\n'],
  ['rm /data', '', 1],
  [
    'mkdir -p /data/a/b && echo x >/data/a/b/c && tar cf - /data/a 2>/dev/null | tar xmf - -C /tmp && cat /tmp/data/a/b/c',
    'x\n',
  ],
  ['stty size', '', 1],
  ['echo "', '', 2],
  ['echo a |', '', 2],
  ['cat <<END', '', 2],
];

for (const [script, stdout, code = 0] of scripts) {
  test(`sh -c '${script}'`, async () => {
    const ran = await run(['sh', '-c', script]);
    assert.deepEqual([ran.stdout, ran.code], [stdout, code], ran.stderr);
  });
}

test('a shell without a script reads one from stdin, and commands read on in it', async () => {
  assert.equal(
    (await run(['sh'], 'echo a\nread x\nfrom stdin\nif true\nthen echo "$x"\nfi\nexit 4\n')).stdout,
    'a\nfrom stdin\n',
  );
  assert.equal((await run(['sh'], 'exit 4\n')).code, 4);
});

test('a script has a name and arguments', async () => {
  assert.equal((await run(['sh', '-ec', 'echo $0 $1 $#', 'me', 'a', 'b'])).stdout, 'me a 2\n');
  await run(['sh', '-c', 'echo "echo \\$0 \\$1" >/tmp/script']);
  assert.equal((await run(['sh', '/tmp/script', 'a'])).stdout, '/tmp/script a\n');
});

test('there is no process and no file of the machine', async () => {
  assert.equal((await run(['node', '--version'])).code, 127);
  assert.equal((await run(['ls', '/work'])).code, 1);
  assert.equal((await run(['constructor'])).code, 127);
});

for (const script of ['while true; do true; done', 'yes >/dev/null', 'sha256sum /dev/zero', 'sleep infinity', 'cat']) {
  test(`whoever is killed ends, and lets others have their turn before: ${script}`, async () => {
    const stop = new AbortController();
    const idle = new Pipe();
    const nowhere = { write: async () => undefined };
    const running = container.run(['sh', '-c', script], { stdin: idle, stdout: nowhere, stderr: nowhere }, stop.signal);
    setImmediate(() => stop.abort(new Killed(137)));
    assert.equal(await running, 137);
  });
}

test('nothing grows without an end', async () => {
  assert.equal((await run(['sh', '-c', 'echo sh /tmp/x >/tmp/x; sh /tmp/x'])).code, 126);
  assert.equal((await run(['sh', '-c', 'x=$(yes); echo done'])).stdout, 'done\n');
  assert.match((await run(['sh', '-c', 'head -c 300M /dev/zero >/tmp/x'])).stderr, /No space left on device/);
});

test('a container has the values of the Secrets that its pod names, and a token of its own', async () => {
  const store = new Store();
  seed(store);
  const kubelet = new Kubelet(store);
  container = kubelet.container(kubelet.pod('shop', 'ledger'), 'main');
  assert.equal((await run(['printenv', 'DB_PASSWORD'])).stdout, 'demo-password-of-nobody\n');
  assert.equal((await run(['cat', '/etc/tls/tls.key'])).stdout, 'demo-key-that-opens-nothing');
  assert.match(
    (await run(['cat', '/var/run/secrets/kubernetes.io/serviceaccount/token'])).stdout,
    /^eyJ[\w-]+\.[\w-]+\.[\w-]+$/,
  );
});
