import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createConnection, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, type TestContext, test } from 'node:test';
import { nkeys } from '@nats-io/transport-node';
import { TestBroker } from '@sluice/testing';
import { type Broker, BrokerError, openBroker } from './broker.ts';
import { credentialsFile, newSeed } from './broker-keys.ts';
import { ConfigError } from './env.ts';
import { createLogger } from './log.ts';

type KeyPair = ReturnType<typeof nkeys.createUser>;
const log = createLogger('test', '/dev/null');
const question = Buffer.from('?');
let server: TestBroker;
let asking: Broker;

before(async () => {
  server = await TestBroker.start();
  asking = await openBroker(server.env, 'test asking', log);
});

after(async () => {
  await asking.drain();
  await server.close();
});

const answerTo = async (subject: string): Promise<string> =>
  Buffer.from(await asking.request(subject, question, 5_000)).toString();

test('a request that nobody listens to fails at once, as such', async () => {
  await assert.rejects(asking.request('nobody', question, 60_000), { code: 'no-responders' });
});

test('a request that nobody answers times out, as such', async () => {
  const worker = await openBroker(server.env, 'test worker', log);
  worker.respond('silent', 'q', () => null);
  worker.respond('broken', 'q', () => {
    throw new Error('broken');
  });
  await worker.nats.flush();
  for (const subject of ['silent', 'broken']) {
    await assert.rejects(asking.request(subject, question, 200), { code: 'timeout' });
  }
  await worker.drain();
});

test('one of a group answers', async () => {
  const workers = await Promise.all(['a', 'b'].map((name) => openBroker(server.env, `test ${name}`, log)));
  let answers = 0;
  for (const worker of workers) {
    worker.respond('group', 'q', () => {
      answers++;
      return Buffer.from('!');
    });
    await worker.nats.flush();
  }
  for (let i = 0; i < 10; i++) assert.equal(await answerTo('group'), '!');
  assert.equal(answers, 10);
  await Promise.all(workers.map((worker) => worker.drain()));
});

test('a worker that drains gives the answer it has in hand, and takes no other', async () => {
  const worker = await openBroker(server.env, 'test worker', log);
  const started = Promise.withResolvers<void>();
  const goOn = Promise.withResolvers<void>();
  worker.respond('slow', 'q', async () => {
    started.resolve();
    await goOn.promise;
    return Buffer.from('late');
  });
  await worker.nats.flush();
  const answered = answerTo('slow');
  await started.promise;
  const drained = worker.drain();
  for (;;) {
    const refused = await asking.request('slow', question, 300).catch((error: unknown) => error);
    if (refused instanceof BrokerError && refused.code === 'no-responders') break;
  }
  goOn.resolve();
  assert.equal(await answered, 'late');
  await drained;
});

test('all who have something to say are heard; nobody there, and nobody who has, are none', async () => {
  const asked = (subject: string) => asking.requestAll(subject, question, { timeoutMs: 2_000, quietMs: 300 });
  assert.deepEqual(await asked('nobody'), []);
  const workers = await Promise.all(['a', 'b', 'c'].map(() => openBroker(server.env, 'test worker', log)));
  for (const [index, worker] of workers.entries()) {
    worker.respond('all', `queue-${index}`, () => (index === 1 ? null : Buffer.from(String(index))));
    if (index === 1) worker.respond('silent', 'q', () => null);
    await worker.nats.flush();
  }
  assert.deepEqual((await asked('all')).map(String).toSorted(), ['0', '2']);
  assert.deepEqual(await asking.requestAll('silent', question, { timeoutMs: 200, quietMs: 100 }), []);
  await Promise.all(workers.map((worker) => worker.drain()));
});

test('a broker that is away is known at once, and found again', async () => {
  await server.kill();
  for (;;) {
    const error = await asking.request('nobody', question, 300).catch((cause: unknown) => cause);
    if (error instanceof BrokerError && error.code === 'disconnected') break;
  }
  assert.equal(asking.connected(), false);
  const waits = { timeoutMs: 300, quietMs: 100 };
  await assert.rejects(asking.requestAll('nobody', question, waits), { code: 'disconnected' });
  await server.resume();
  while (!asking.connected()) await new Promise((resolve) => setTimeout(resolve, 50));
  await assert.rejects(asking.request('nobody', question, 5_000), { code: 'no-responders' });
});

test('a broker that is away at the start is waited for; who does not wait is told at once', async () => {
  await server.kill();
  await assert.rejects(openBroker(server.env, 'test', log, 0), refusal(/^no broker answers at 127\.0\.0\.1:\d+: /));
  const opening = openBroker(server.env, 'test patient', log);
  await server.resume();
  const broker = await opening;
  assert.ok(broker.connected());
  await broker.drain();
});

const refusal = (message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof ConfigError, String(error));
  assert.match(error.message, message);
  return true;
};

/** Credentials of a test's own making, in a directory of their own. */
function credentials(t: TestContext, role: string, text: string): string {
  const dir = mkdtempSync(join(tmpdir(), 'sl-'));
  t.after(() => rmSync(dir, { recursive: true }));
  writeFileSync(credentialsFile(dir, role), text, { mode: 0o600 });
  return dir;
}

test('a stranger is refused: of no nkey, of another, without TLS, and where the broker is not the one it should be', async (t) => {
  const { SLUICE_NATS_URL, SLUICE_NATS_CREDS_DIR } = server.env;
  const port = new URL(SLUICE_NATS_URL).port;
  const refused = /^the broker at 127\.0\.0\.1:\d+ refuses the credentials of "sluice ingress"$/;
  const password = { ...server.env, SLUICE_NATS_URL: `nats://test:test@127.0.0.1:${port}`, SLUICE_NATS_CREDS_DIR: '' };
  await assert.rejects(openBroker(password, 'ingress', log), refusal(refused));
  const stranger = { ...server.env, SLUICE_NATS_CREDS_DIR: credentials(t, 'ingress', newSeed()) };
  await assert.rejects(openBroker(stranger, 'ingress', log), refusal(refused));

  const noAuthority = { SLUICE_NATS_URL, SLUICE_NATS_CREDS_DIR };
  await assert.rejects(openBroker(noAuthority, 'ingress', log), refusal(/unable to verify the first certificate/));
  const other = await TestBroker.start();
  t.after(() => other.close());
  const impostor = { ...server.env, SLUICE_NATS_URL: other.env.SLUICE_NATS_URL };
  await assert.rejects(openBroker(impostor, 'ingress', log), refusal(/^no broker answers at .*certificate/));

  const bare = createConnection(Number(port), '127.0.0.1');
  const said = text(bare);
  bare.write('CONNECT {"verbose":false}\r\nPING\r\n');
  const answer = await said;
  assert.match(answer, /^INFO /);
  assert.doesNotMatch(answer, /PONG/);
});

test('a broker without TLS gets nothing from who expects it', async (t) => {
  const plain = createServer((socket) => socket.write('INFO {"version":"2.15.1","proto":1,"max_payload":1}\r\n'));
  plain.listen(0, '127.0.0.1');
  await once(plain, 'listening');
  t.after(() => plain.close());
  const SLUICE_NATS_URL = `nats://127.0.0.1:${(plain.address() as AddressInfo).port}`;
  const expects = refusal(/^no broker answers at .*: server does not support 'tls'$/);
  await assert.rejects(openBroker({ ...server.env, SLUICE_NATS_URL }, 'ingress', log), expects);
});

test('credentials that others may read, or that are not there, are a line with a way out', async (t) => {
  const dir = credentials(t, 'ingress', newSeed());
  const env = { ...server.env, SLUICE_NATS_CREDS_DIR: dir };
  await assert.rejects(openBroker(env, 'policy', log), refusal(/^cannot read .*policy\.creds \(ENOENT\); `sluice up`/));
  chmodSync(credentialsFile(dir, 'ingress'), 0o640);
  await assert.rejects(openBroker(env, 'ingress', log), refusal(/may read (.*ingress\.creds); run: chmod 600 \1$/));
});

test('credentials may also be a JWT with its seed, for a broker in operator mode', async (t) => {
  const [operator, account, user] = [nkeys.createOperator(), nkeys.createAccount(), nkeys.createUser()];
  const accountJwt = jwt(operator, account, { type: 'account', limits: everything });
  const userJwt = jwt(account, user, { type: 'user', subs: -1, data: -1, payload: -1 });
  const port = await freePort();
  const dir = credentials(t, 'ingress', credsFile(userJwt, Buffer.from(user.getSeed()).toString()));
  writeFileSync(
    join(dir, 'nats.conf'),
    `listen: "127.0.0.1:${port}"
operator: ${jwt(operator, operator, { type: 'operator' })}
resolver: MEMORY
resolver_preload: { ${account.getPublicKey()}: ${accountJwt} }
`,
  );
  const running = spawn(process.env['SLUICE_NATS_SERVER'] ?? 'nats-server', ['-c', join(dir, 'nats.conf')], {
    stdio: 'ignore',
  });
  t.after(() => running.kill());
  const env = { SLUICE_NATS_URL: `nats://127.0.0.1:${port}`, SLUICE_NATS_CREDS_DIR: dir };
  const broker = await openBroker(env, 'ingress', log);
  assert.ok(broker.connected());
  await broker.drain();
});

const everything = { subs: -1, conn: -1, leaf: -1, imports: -1, exports: -1, data: -1, payload: -1, wildcards: true };

/** A claim about `subject` by `issuer`, as nats-server reads it: a JWT signed with an nkey. */
function jwt(issuer: KeyPair, subject: KeyPair, nats: Readonly<Record<string, unknown>>): string {
  const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const claims = {
    jti: randomUUID(),
    iat: Math.floor(Date.now() / 1000),
    iss: issuer.getPublicKey(),
    sub: subject.getPublicKey(),
    name: 'test',
    nats: { version: 2, ...nats },
  };
  const signed = `${encode({ typ: 'JWT', alg: 'ed25519-nkey' })}.${encode(claims)}`;
  return `${signed}.${Buffer.from(issuer.sign(Buffer.from(signed))).toString('base64url')}`;
}

function credsFile(userJwt: string, seed: string): string {
  const block = (what: string, value: string): string =>
    `-----BEGIN ${what}-----\n${value}\n------END ${what}------\n\n`;
  return block('NATS USER JWT', userJwt) + block('USER NKEY SEED', seed);
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}
