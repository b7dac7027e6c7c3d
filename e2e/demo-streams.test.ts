// A real kubectl, directly before the demo cluster.
import assert from 'node:assert/strict';
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import type { DemoCluster } from '@sluice/demo-cluster';
import { openDemo, until } from '@sluice/testing';

let dir: string;
let cluster: DemoCluster;
let kubeconfig: string;

before(async () => {
  dir = mkdtempSync(join(tmpdir(), 'sluice-demo-'));
  ({ cluster, kubeconfig } = await openDemo(dir));
});

after(async () => {
  await cluster.close();
  rmSync(dir, { recursive: true, force: true });
});

const protocols = ['websocket', 'spdy'] as const;

function start(protocol: (typeof protocols)[number], ...args: readonly string[]): ChildProcessWithoutNullStreams {
  const isWebSocket = String(protocol === 'websocket');
  return spawn('kubectl', ['-n', 'shop', ...args], {
    env: {
      PATH: process.env['PATH'],
      HOME: dir,
      KUBECONFIG: kubeconfig,
      KUBECTL_REMOTE_COMMAND_WEBSOCKETS: isWebSocket,
      KUBECTL_PORT_FORWARD_WEBSOCKETS: isWebSocket,
    },
  });
}

/** All that a kubectl says. */
async function finish(
  running: ChildProcessWithoutNullStreams,
  stdin: Buffer | string = '',
): Promise<{ readonly code: number | null; readonly stdout: Buffer; readonly stderr: string }> {
  const [stdout, stderr]: [Buffer[], Buffer[]] = [[], []];
  running.stdout.on('data', (bytes: Buffer) => stdout.push(bytes));
  running.stderr.on('data', (bytes: Buffer) => stderr.push(bytes));
  running.stdin.end(stdin);
  const [code] = (await once(running, 'close')) as [number | null];
  return { code, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr).toString() };
}

/** What it has said once that has come. */
async function says(running: ChildProcessWithoutNullStreams, wanted: RegExp): Promise<string> {
  let said = '';
  await new Promise<void>((resolve, reject) => {
    const take = (bytes: Buffer): void => {
      said += bytes.toString();
      if (wanted.test(said)) resolve();
    };
    running.stdout.on('data', take);
    running.stderr.on('data', take);
    running.once('close', () => reject(new Error(`kubectl ended: ${said}`)));
  });
  return said;
}

async function end(running: ChildProcessWithoutNullStreams): Promise<void> {
  running.kill();
  await once(running, 'close');
}

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

for (const protocol of protocols) {
  const name = protocol === 'websocket' ? 'over WebSocket' : 'over SPDY';

  test(`${name}: exec has both outputs and the exit code`, async () => {
    const script = 'echo out; echo $DB_PASSWORD; cat /etc/tls/tls.key >&2; exit 7';
    const { code, stdout, stderr } = await finish(start(protocol, 'exec', 'ledger', '--', 'sh', '-c', script));
    assert.equal(code, 7);
    assert.equal(stdout.toString(), 'out\ndemo-password-of-nobody\n');
    assert.match(stderr, /^demo-key-that-opens-nothing/);
    assert.equal((await finish(start(protocol, 'exec', 'toolbox', '--', 'nosuch'))).code, 127);
  });

  test(`${name}: stdin comes whole, and its end with it`, async () => {
    const bytes = randomBytes(3_000_000);
    const { stdout } = await finish(start(protocol, 'exec', '-i', 'toolbox', '--', 'sha256sum'), bytes);
    assert.equal(stdout.toString(), `${sha256(bytes)}  -\n`);
    const sum = { channel: 'stdin', bytes: bytes.length, sha256: sha256(bytes) };
    await until('its sum in the log', () =>
      cluster.log.some((entry) => entry.kind === 'stream-closed' && isDeepStrictEqual(entry.channels[0], sum)),
    );
  });

  test(`${name}: more than anybody holds comes whole`, async () => {
    const running = start(protocol, 'exec', 'toolbox', '--', 'head', '-c', '50000000', '/data/large');
    const { stdout } = await finish(running);
    const inside = await finish(
      start(protocol, 'exec', 'toolbox', '--', 'sh', '-c', 'head -c 50000000 /data/large | sha256sum'),
    );
    assert.equal(`${sha256(stdout)}  -\n`, inside.stdout.toString());
  });

  test(`${name}: cp brings files there and back`, async () => {
    const bytes = randomBytes(700_001);
    writeFileSync(join(dir, 'there'), bytes);
    const to = await finish(start(protocol, 'cp', join(dir, 'there'), `toolbox:/data/${protocol}`));
    assert.equal(to.code, 0, to.stderr);
    const from = await finish(start(protocol, 'cp', `toolbox:/data/${protocol}`, join(dir, 'back')));
    assert.equal(from.code, 0, from.stderr);
    assert.equal(sha256(readFileSync(join(dir, 'back'))), sha256(bytes));
  });

  test(`${name}: attach types into the main process, whose log has what it answers`, async () => {
    const attached = start(protocol, 'attach', '-i', 'console', '-c', 'main');
    attached.stdin.write(`hello ${protocol}\n`);
    await says(attached, new RegExp(`got: hello ${protocol}`));
    await end(attached);
    const { stdout } = await finish(start(protocol, 'logs', 'console', '-c', 'main', '--tail=1'));
    assert.equal(stdout.toString(), `got: hello ${protocol}\n`);
  });

  test(`${name}: port-forward reaches the server of a pod, and says that nothing else listens`, async () => {
    const forwarding = start(protocol, 'port-forward', 'pod/toolbox', ':8080', ':8081');
    const said = await says(forwarding, /127.0.0.1:\d+ -> 8080[^]*127.0.0.1:\d+ -> 8081/);
    const portOf = (remote: number): number => Number(new RegExp(`127.0.0.1:(\\d+) -> ${remote}`).exec(said)?.[1]);
    for (let round = 0; round < 2; round++) assert.equal(await page(portOf(8080)), 'hello from toolbox\n');
    const refused = says(forwarding, /8081: connect: connection refused/);
    await assert.rejects(page(portOf(8081)));
    await refused;
    await end(forwarding);
  });
}

async function page(port: number): Promise<string> {
  // Without an agent each has a connection of its own.
  const asked = get({ port, host: '127.0.0.1', path: '/index.html', agent: false });
  const [answer] = (await once(asked, 'response')) as [AsyncIterable<Buffer>];
  let text = '';
  for await (const bytes of answer) text += bytes.toString();
  return text;
}

test('logs -f goes on with what the main process says', async () => {
  const following = start('websocket', 'logs', '-f', 'ledger', '--tail=1');
  const said = await says(following, /tick 2/);
  assert.match(said, /^serving as ledger\ntick 1\ntick 2\n/);
  await end(following);
});

// Python has the one terminal at hand that can be given a size.
const withoutPython = spawnSync('python3', ['--version']).status === 0 ? false : 'there is no python3';

test('a terminal has its size, an echo, and interrupts', { skip: withoutPython }, async () => {
  const { code, stdout } = await finish(spawnInTerminal());
  const screen = stdout.toString();
  assert.match(screen, /\/dev\/pts\/0\r\n33 101\r\nA42\r\n/);
  assert.match(screen, /44 120\r\n/);
  assert.match(screen, /\^C\r\n\/ # echo "st \$\?"\r\nst 130\r\n/);
  assert.equal(code, 3);
});

const terminalProgram = `
import fcntl, os, pty, struct, sys, termios
def size(rows, columns): fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))
child, master = pty.fork()
if child == 0:
    sys.stdin.readline()
    os.execvp('kubectl', ['kubectl', '-n', 'shop', 'exec', '-it', 'toolbox', '--', 'sh'])
size(33, 101)
os.write(master, b'go\\n')
steps = [
    (b'/ # ', lambda: os.write(master, b'tty; stty size; echo A$((40+2))\\r')),
    (b'A42\\r\\n/ # ', lambda: (size(44, 120), os.write(master, b'while [ "$(stty size)" != "44 120" ]; do sleep 0.05; done; stty size\\r'))),
    (b'44 120\\r\\n/ # ', lambda: os.write(master, b'echo sleeping; sleep 1000\\r')),
    (b'\\nsleeping\\r\\n', lambda: os.write(master, b'\\x03')),
    (b'^C\\r\\n/ # ', lambda: os.write(master, b'echo "st $?"\\r')),
    (b'st 130\\r\\n/ # ', lambda: os.write(master, b'exit 3\\r')),
]
screen, seen = b'', 0
while True:
    try: screen += os.read(master, 4096)
    except OSError: break
    while steps and steps[0][0] in screen[seen:]:
        seen = screen.index(steps[0][0], seen) + len(steps[0][0])
        steps.pop(0)[1]()
sys.stdout.buffer.write(screen)
sys.stdout.flush()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
`;

function spawnInTerminal(): ChildProcessWithoutNullStreams {
  const env = { PATH: process.env['PATH'], HOME: dir, KUBECONFIG: kubeconfig, TERM: 'xterm' };
  return spawn('python3', ['-c', terminalProgram], { env });
}

test('the log has who opened a stream, what went over it, and its end', async () => {
  const from = cluster.log.length;
  await finish(start('websocket', '--as', 'alice', 'exec', '-i', 'toolbox', '--', 'cat'), 'typed\n');
  await until('the end in the log', () => cluster.log.slice(from).some(({ kind }) => kind === 'stream-closed'));
  const entries = cluster.log.slice(from).filter((entry) => 'stream' in entry);
  const brief = entries.map((entry) => {
    if (entry.kind === 'stream') return `${entry.user} opens ${entry.target.split('?', 1)[0]}`;
    if (entry.kind === 'channel') return `${entry.channel}: ${entry.bytes.toString()}`;
    return entry.kind === 'channel-ended' ? `${entry.channel} ends` : 'closed';
  });
  assert.deepEqual(
    brief.toSorted(),
    [
      'alice opens /api/v1/namespaces/shop/pods/toolbox/exec',
      'stdin: typed\n',
      'stdout: typed\n',
      'stdin ends',
      'closed',
    ].toSorted(),
  );
  assert.deepEqual([brief[0], brief.at(-1)], ['alice opens /api/v1/namespaces/shop/pods/toolbox/exec', 'closed']);
});
