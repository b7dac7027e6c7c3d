import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import { afterEach, beforeEach, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { parse } from 'yaml';
import type { LogEntry } from './ground-truth.ts';
import { textAt } from './objects.ts';
import { type DemoCluster, startDemoCluster } from './server.ts';

const target = '/api/v1/namespaces/shop/configmaps/web';
let cluster: DemoCluster;
let agent: Agent;
let token: string;

beforeEach(async () => {
  cluster = await startDemoCluster({ log: 'on' });
  agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const { users } = parse(cluster.kubeconfig) as { users: [{ user: { token: string } }] };
  token = users[0].user.token;
});

afterEach(async () => {
  agent.destroy();
  await cluster.close();
});

/** Sends a request; resolves when headers have come. */
async function send(
  method: string,
  headers: Readonly<Record<string, string>> = {},
  body = '',
): Promise<IncomingMessage> {
  const outgoing = request({
    host: '127.0.0.1',
    port: cluster.port,
    path: target,
    agent,
    method,
    headers: { authorization: `Bearer ${token}`, ...headers },
  });
  outgoing.end(body);
  const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage];
  return incoming;
}

async function text(incoming: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

const entries = <K extends LogEntry['kind']>(kind: K): Extract<LogEntry, { kind: K }>[] =>
  cluster.log.filter((entry): entry is Extract<LogEntry, { kind: K }> => entry.kind === kind);

test('the one token is known, and no other', async () => {
  const known = await send('GET');
  assert.equal(known.statusCode, 200);
  assert.equal(textAt(JSON.parse(await text(known)), 'metadata', 'name'), 'web');
  const unknown = await send('GET', { authorization: 'Bearer other' });
  assert.equal(unknown.statusCode, 401);
  assert.equal(textAt(JSON.parse(await text(unknown)), 'reason'), 'Unauthorized');
});

test('the log has each request with its body and without its token, and every byte before it', async () => {
  const body = JSON.stringify({ data: { color: 'green' } });
  const headers = { 'audit-id': 'a-1', 'content-type': 'application/merge-patch+json' };
  await text(await send('PATCH', headers, body));
  const between = cluster.log.length;
  // The clock of the log has milliseconds.
  for (const now = Date.now(); Date.now() === now; ) await setImmediate();
  await text(await send('GET'));

  const [patched, got] = entries('request');
  assert.ok(patched !== undefined && got !== undefined);
  assert.deepEqual([patched.method, patched.target, patched.auditId], ['PATCH', target, 'a-1']);
  assert.equal(patched.body.toString(), body);
  assert.equal(patched.headers['content-type'], 'application/merge-patch+json');
  assert.ok(!JSON.stringify(cluster.log).includes(token));
  assert.equal(got.connection, patched.connection, 'the connection is kept');
  for (const [asked, first] of [
    [patched, cluster.log[0]],
    [got, cluster.log[between]],
  ] as const) {
    assert.equal(first?.kind, 'bytes');
    assert.equal(asked.atMs, first?.atMs, 'a request is as old as its first byte');
  }
  assert.ok(entries('bytes').reduce((sum, { bytes }) => sum + bytes, 0) > body.length);
});

test('a stalled response comes when it is released', async () => {
  const stalled = cluster.arm({ kind: 'stall-before-response', target });
  const answered = send('GET');
  await stalled.reached;
  assert.equal(entries('request').length, 1);
  stalled.release();
  assert.equal((await answered).statusCode, 200);
});

test('a response may stall after its first byte', async () => {
  const stalled = cluster.arm({ kind: 'stall-after-first-byte', target });
  const incoming = await send('GET');
  const [first] = (await once(incoming, 'data')) as [Buffer];
  assert.equal(first.toString(), '{');
  await stalled.reached;
  stalled.release();
  assert.equal(textAt(JSON.parse(`{${await text(incoming)}`), 'kind'), 'ConfigMap');
});

test('a response may stall half way', async () => {
  const whole = await text(await send('GET'));
  const stalled = cluster.arm({ kind: 'stall-half-way', target });
  const incoming = await send('GET');
  const [first] = (await once(incoming, 'data')) as [Buffer];
  await stalled.reached;
  assert.equal(first.length, whole.length >> 1);
  stalled.release();
  assert.equal(first.toString() + (await text(incoming)), whole);
});

test('a connection may be reset after the first byte of the response, which arrives', async () => {
  const reset = cluster.arm({ kind: 'reset-after-first-byte', target });
  const incoming = await send('GET');
  const [first] = (await once(incoming, 'data')) as [Buffer];
  assert.equal(first.toString(), '{');
  await reset.reached;
  await assert.rejects(text(incoming), { code: 'ECONNRESET' });
});

test('a connection may be reset when the request is read', async () => {
  const reset = cluster.arm({ kind: 'reset-before-response', target });
  await assert.rejects(send('GET'), { code: 'ECONNRESET' });
  await reset.reached;
  assert.equal(entries('request').length, 1);
  reset.release();
  assert.equal((await send('GET')).statusCode, 200);
});

test('a response may have a type that nobody asked for; other targets are left alone', async () => {
  cluster.arm({ kind: 'wrong-content-type', target: '/secrets' });
  const other = await send('GET');
  assert.equal(other.headers['content-type'], 'application/json');
  await text(other);
  cluster.arm({ kind: 'wrong-content-type', target: '/configmaps' });
  const incoming = await send('GET', { accept: 'application/json' });
  assert.equal(incoming.headers['content-type'], 'application/vnd.kubernetes.protobuf');
});
