import assert from 'node:assert/strict';
import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import { afterEach, beforeEach, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { type RawData, WebSocket } from 'ws';
import { parse } from 'yaml';
import { type DemoCluster, type DemoOptions, startDemoCluster } from './server.ts';

const toolbox = '/api/v1/namespaces/shop/pods/toolbox';
let cluster: DemoCluster;
let authorization: string;

async function start(options: DemoOptions = {}): Promise<void> {
  cluster = await startDemoCluster({ log: 'on', ...options });
  const { users } = parse(cluster.kubeconfig) as { users: [{ user: { token: string } }] };
  authorization = `Bearer ${users[0].user.token}`;
}

beforeEach(() => start());
afterEach(() => cluster.close());

const exec = (...argv: readonly string[]): string =>
  `${toolbox}/exec?${argv.map((word) => `command=${encodeURIComponent(word)}`).join('&')}&stdin=1&stdout=1&stderr=1`;

/** What comes over a WebSocket: each channel as a text. */
class Client {
  readonly socket: WebSocket;
  readonly said: Record<number, string> = {};
  readonly #form: 'binary' | 'base64';

  constructor(target: string, protocols: readonly string[] = ['v5.channel.k8s.io']) {
    this.#form = protocols[0]?.includes('base64') ? 'base64' : 'binary';
    this.socket = new WebSocket(`ws://127.0.0.1:${cluster.port}${target}`, [...protocols], {
      headers: { authorization },
    });
    this.socket.on('error', () => undefined);
    this.socket.on('message', (data: RawData) => {
      const bytes = data as Buffer;
      const isText = this.#form === 'base64';
      const channel = isText ? (bytes[0] ?? 0) - 0x30 : (bytes[0] ?? 0);
      const text = isText ? Buffer.from(bytes.toString('latin1', 1), 'base64').toString() : bytes.toString('utf8', 1);
      this.said[channel] = (this.said[channel] ?? '') + text;
    });
  }

  async opened(): Promise<this> {
    await once(this.socket, 'open');
    return this;
  }

  send(channel: number, text: string): void {
    if (this.#form === 'base64') this.socket.send(`${channel}${Buffer.from(text).toString('base64')}`);
    else this.socket.send(Buffer.concat([Buffer.of(channel), Buffer.from(text)]));
  }

  async closed(): Promise<number> {
    const [code] = (await once(this.socket, 'close')) as [number];
    return code;
  }
}

/** The answer to an upgrade that is refused. */
async function refusal(
  target: string,
  protocols?: readonly string[],
): Promise<{ readonly code: number; readonly body: string }> {
  const { socket } = new Client(target, protocols);
  const [, answer] = (await once(socket, 'unexpected-response')) as [unknown, IncomingMessage];
  let body = '';
  for await (const bytes of answer as AsyncIterable<Buffer>) body += bytes.toString();
  return { code: answer.statusCode ?? 0, body };
}

const failure = JSON.stringify({
  metadata: {},
  status: 'Failure',
  message: 'command terminated with non-zero exit code: exit status 7',
  reason: 'NonZeroExitCode',
  details: { causes: [{ reason: 'ExitCode', message: '7' }] },
});
const words = 'command terminated with non-zero exit code: exit status 7';

for (const [protocol, ends] of [
  ['v5.channel.k8s.io', failure],
  ['v4.channel.k8s.io', failure],
  ['v4.base64.channel.k8s.io', failure],
  ['v3.channel.k8s.io', words],
  ['channel.k8s.io', words],
  ['base64.channel.k8s.io', words],
] as const) {
  test(`${protocol} carries stdin, both outputs and how it ended`, async () => {
    const script = 'read x; echo out $x; echo err >&2; exit 7';
    const client = await new Client(exec('sh', '-c', script), [protocol]).opened();
    assert.equal(client.socket.protocol, protocol);
    client.send(0, 'typed\n');
    assert.equal(await client.closed(), 1000);
    assert.deepEqual(client.said, { 1: 'out typed\n', 2: 'err\n', 3: ends });
  });
}

test('only v5 can end stdin', async () => {
  const client = await new Client(exec('cat')).opened();
  client.send(0, 'all');
  client.socket.send(Buffer.of(255, 0));
  await client.closed();
  assert.deepEqual(client.said, { 1: 'all', 3: '{"metadata":{},"status":"Success"}' });
});

test('a terminal follows its size', async () => {
  const client = await new Client(`${exec('sh')}&tty=1`).opened();
  client.send(4, '{"Width":101,"Height":33}\n');
  client.send(0, 'stty size; exit\r');
  await client.closed();
  assert.match(client.said[1] ?? '', /33 101\r\n/);
});

test('a deleted pod takes its streams with it', async () => {
  const client = await new Client(exec('sleep', 'infinity')).opened();
  await fetch(`http://127.0.0.1:${cluster.port}${toolbox}`, { method: 'DELETE', headers: { authorization } });
  await client.closed();
  assert.match(client.said[3] ?? '', /"message":"137"/);
});

test('what cannot be opened is refused before the upgrade', async () => {
  assert.equal((await refusal(exec('true').replace('toolbox', 'nobody'))).code, 404);
  assert.equal((await refusal(`${exec('true')}&container=other`)).code, 400);
  assert.equal((await refusal(`${toolbox}/exec?stdout=1`)).code, 400);
  assert.equal((await refusal(exec('true'), ['v9.channel.k8s.io'])).code, 403);
  const known = authorization;
  authorization = 'Bearer other';
  assert.equal((await refusal(exec('true'))).code, 401);
  authorization = known;
  const plain = await fetch(`http://127.0.0.1:${cluster.port}${exec('true')}`, { headers: { authorization } });
  assert.equal(plain.status, 400);
});

test('a server before Kubernetes 1.30 knows no v5', async () => {
  await cluster.close();
  await start({ streams: 'spdy' });
  assert.equal((await refusal(exec('true'))).code, 403);
  const client = await new Client(exec('true'), ['v5.channel.k8s.io', 'v4.channel.k8s.io']).opened();
  assert.equal(client.socket.protocol, 'v4.channel.k8s.io');
  await client.closed();
});

test('one may be made to speak no SPDY', async () => {
  await cluster.close();
  await start({ streams: 'websocket' });
  const headers = {
    authorization,
    connection: 'upgrade',
    upgrade: 'SPDY/3.1',
    'x-stream-protocol-version': 'v4.channel.k8s.io',
  };
  const asked = get({ host: '127.0.0.1', port: cluster.port, path: exec('true'), headers });
  const [answer] = (await once(asked, 'response')) as [IncomingMessage];
  assert.equal(answer.statusCode, 403);
  answer.resume();
});

test('the old form of port-forward names each port, and says where nothing listens', async () => {
  const client = await new Client(`${toolbox}/portforward?ports=8080&ports=8081`, ['v4.channel.k8s.io']).opened();
  client.send(0, 'GET / HTTP/1.0\r\n\r\n');
  while (!client.said[0]?.includes('hello') || !client.said[3]?.includes('refused'))
    await once(client.socket, 'message');
  assert.match(client.said[0], /^\u0090\u001f|^\ufffd\u001fHTTP[^]*hello from toolbox\n$/);
  assert.match(client.said[3], /connection refused$/);
  client.socket.close();
  await client.closed();
});

for (const [kind, code] of [
  ['refuse-forbidden', 403],
  ['refuse-ok', 200],
  ['refuse-redirect', 302],
] as const) {
  test(`${kind}: an upgrade is answered with ${code}, until released`, async () => {
    const armed = cluster.arm({ kind, target: '/exec' });
    assert.equal((await refusal(exec('true'))).code, code);
    await armed.reached;
    armed.release();
    await (await new Client(exec('true')).opened()).closed();
  });
}

test('refuse-garbage: an upgrade is answered with no HTTP at all', async () => {
  cluster.arm({ kind: 'refuse-garbage', target: '/exec' });
  const [error] = (await once(new Client(exec('true')).socket, 'error').catch((thrown: unknown) => [thrown])) as [
    Error,
  ];
  assert.match(error.message, /Parse Error/);
});

test('cut-stream: so many bytes come, and then the connection breaks', async () => {
  cluster.arm({ kind: 'cut-stream', target: '/exec', afterBytes: 5 });
  const client = await new Client(exec('echo', 'hello world')).opened();
  assert.equal(await client.closed(), 1006);
  assert.ok('hello'.startsWith(client.said[1] ?? ''));
});

test('stall-stream: so many bytes come, and the rest when it is released', async () => {
  const stalled = cluster.arm({ kind: 'stall-stream', target: '/exec', afterBytes: 5 });
  const client = await new Client(exec('echo', 'hello world')).opened();
  await stalled.reached;
  while (client.said[1] !== 'hello') await once(client.socket, 'message');
  stalled.release();
  await client.closed();
  assert.equal(client.said[1], 'hello world\n');
});

test('a reader that does not read stops what writes', async () => {
  const client = await new Client(exec('cat', '/dev/zero')).opened();
  client.socket.pause();
  // Long enough for more than any buffer on the way holds.
  await wait(500);
  client.socket.terminate();
  let closed: number | undefined;
  while (closed === undefined) {
    await wait(10);
    closed = cluster.log
      .find((entry) => entry.kind === 'stream-closed')
      ?.channels.find(({ channel }) => channel === 'stdout')?.bytes;
  }
  assert.ok(closed < 33_554_432, `${closed} bytes`);
});
