// Case 20 and its kin: a cluster that misbehaves. What Sluice cannot mask does not go out, and what it was not asked for
// it does not follow.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { after, before, beforeEach, test } from 'node:test';
import { deflateRawSync, gzipSync } from 'node:zlib';
import {
  ask,
  openScripted,
  type Protocol,
  protocols,
  reasonCode,
  removeScratch,
  type ScriptedAnswer,
  type ScriptedCluster,
  Sluice,
  scratch,
} from '@sluice/testing';

const dir = scratch();
const secret = 'a-value-nobody-may-see';
const list = {
  kind: 'SecretList',
  apiVersion: 'v1',
  items: [{ data: { password: Buffer.from(secret).toString('base64') } }],
};
const body = JSON.stringify(list);
const secrets = '/api/v1/namespaces/shop/secrets';
let cluster: ScriptedCluster;
let sluice: Sluice;

before(async () => {
  cluster = await openScripted(dir);
  sluice = await Sluice.start({ home: `${dir}/home`, flags: ['--kubeconfig', cluster.kubeconfig] });
});

after(async () => {
  await sluice?.stop();
  await cluster?.close();
  removeScratch(dir);
});

beforeEach(() => {
  cluster.requests.length = 0;
});

function onBoth(name: string, test_: (protocol: Protocol) => Promise<void>): void {
  for (const protocol of protocols) test(`${name}, ${protocol}`, () => test_(protocol));
}

/** Sluice asks once, and gives nothing of the answer away. */
async function withheld(
  protocol: Protocol,
  what: string,
  answer: ScriptedAnswer,
  reason = 'ResponseWithheld',
): Promise<void> {
  cluster.answer = () => answer;
  cluster.requests.length = 0;
  const headers = [['accept-encoding', 'gzip, deflate, br, zstd']] as const;
  const answered = await ask(sluice, protocol, { target: secrets, headers });
  assert.equal(answered.status, 502, `${what}: ${answered.body}`);
  assert.equal(reasonCode({ ...answered, headers: {} }), reason, what);
  assert.ok(!answered.body.includes(secret) && !answered.head.includes('evil'), what);
  assert.deepEqual(
    cluster.requests.map((request) => request.headers['accept-encoding']),
    ['identity'],
    `${what}: what the agent can decode is not passed on`,
  );
}

onBoth('case 20: a compressed answer is withheld unread, however large it would become', async (protocol) => {
  const bomb = gzipSync(Buffer.alloc(200 * 1024 * 1024, ' '));
  const member = gzipSync(body);
  const encodings: Readonly<Record<string, ScriptedAnswer>> = {
    'a gzip bomb': { headers: { 'content-encoding': 'gzip' }, body: bomb },
    gzip: { headers: { 'content-encoding': 'gzip' }, body: member },
    'gzip in other letters': { headers: { 'content-encoding': 'GZip' }, body: member },
    'two members of gzip': { headers: { 'content-encoding': 'gzip' }, body: Buffer.concat([member, member]) },
    'gzip, and garbage behind it': {
      headers: { 'content-encoding': 'gzip' },
      body: Buffer.concat([member, Buffer.from(body)]),
    },
    'gzip twice': { headers: { 'content-encoding': 'gzip, gzip' }, body: gzipSync(member) },
    'identity, gzip': { headers: { 'content-encoding': 'identity, gzip' }, body: member },
    deflate: { headers: { 'content-encoding': 'deflate' }, body: deflateRawSync(body) },
    'an encoding nobody knows': { headers: { 'content-encoding': 'x' }, body },
    'gzip that is not said to be any': { body: member },
    'a gzip bomb that is not said to be any': { body: bomb },
    'gzip as Transfer-Encoding': { form: 'wire', body: wire('Transfer-Encoding: gzip, chunked', member) },
  };
  for (const [what, answer] of Object.entries(encodings)) await withheld(protocol, what, answer);
});

function wire(lines: string, bytes: Buffer): Buffer {
  const head = `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n${lines}\r\n\r\n`;
  return Buffer.concat([Buffer.from(`${head}${bytes.length.toString(16)}\r\n`), bytes, Buffer.from('\r\n0\r\n\r\n')]);
}

onBoth('a redirect of the cluster is neither followed nor passed on', async (protocol) => {
  let followed = 0;
  const evil = createServer((socket) => {
    followed++;
    socket.destroy();
  });
  evil.listen(0, '127.0.0.1');
  await once(evil, 'listening');
  const location = `https://127.0.0.1:${(evil.address() as AddressInfo).port}/evil`;
  for (const status of [300, 301, 302, 303, 304, 307, 308])
    await withheld(protocol, String(status), { status, headers: { location }, body: status === 304 ? '' : body });
  evil.close();
  assert.equal(followed, 0);
});

const whole = `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n${body}`;

onBoth('answers before the answer are not passed on, and of too many none is waited for', async (protocol) => {
  const hint = 'HTTP/1.1 103 Early Hints\r\nLink: </evil>\r\n\r\n';
  cluster.answer = () => ({ form: 'wire', body: `${hint.repeat(10)}${whole}` });
  const { status, head } = await ask(sluice, protocol, { target: secrets });
  assert.equal(status, 200);
  assert.ok(!head.includes('evil'));
  await withheld(protocol, 'many', { form: 'wire', body: `${hint.repeat(1_000)}${whole}` });
});

onBoth('a switch of protocols nobody asked for is withheld', async (protocol) => {
  const switched = `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n${secret}`;
  await withheld(protocol, '101', { form: 'wire', body: switched });
});

onBoth('an answer that is no HTTP, or frames itself twice, is withheld', async (protocol) => {
  const lines = 'Content-Type: application/json\r\nConnection: close\r\n';
  const odd: Readonly<Record<string, string>> = {
    'no status line': body,
    'two lengths': `HTTP/1.1 200 OK\r\n${lines}Content-Length: 1\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    'a length and chunks': `HTTP/1.1 200 OK\r\n${lines}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`,
    'a head without end': `HTTP/1.1 200 OK\r\n${lines}A: ${'b'.repeat(100_000)}`,
  };
  for (const [what, bytes] of Object.entries(odd))
    await withheld(protocol, what, { form: 'wire', body: bytes }, 'EffectUnknown');
  const short = `HTTP/1.1 200 OK\r\n${lines}Content-Length: ${body.length + 10}\r\n\r\n${body}`;
  await withheld(protocol, 'less than it says', { form: 'wire', body: short });
});
