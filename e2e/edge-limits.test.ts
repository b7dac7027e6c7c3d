// What whoever reaches the port may use up, over h1 and h2: bytes, time, connections. Each attack ends by itself, and
// Sluice answers others meanwhile.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:http2';
import { connect as connectTcp } from 'node:net';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import {
  assertRefused,
  Edge,
  frame,
  frameFlags,
  frameTypes,
  H1Connection,
  H2Connection,
  h1Request,
  h2Head,
  happens,
  headerBlock,
  type Lines,
  type Protocol,
  protocols,
  until,
  within,
} from '@sluice/testing';

const connections = 100;
let edge: Edge;

before(async () => {
  edge = await Edge.open({
    SLUICE_LIMIT_HANDSHAKE_MS: '4000',
    SLUICE_LIMIT_HEADERS_MS: '3000',
    SLUICE_LIMIT_BODY_MS: '2000',
    SLUICE_LIMIT_IDLE_MS: '3000',
    SLUICE_LIMIT_CONNECTIONS: String(connections),
  });
});

after(() => edge?.close());

function onBoth(name: string, body: (protocol: Protocol) => Promise<void>): void {
  for (const protocol of protocols) test(`${name}, ${protocol}`, () => body(protocol));
}

/** Both protocols at once: these tests are mostly waiting. */
function onBothAtOnce(name: string, body: (protocol: Protocol) => Promise<void>): void {
  test(`${name}, h1 and h2`, async () => {
    await Promise.all(protocols.map(body));
  });
}

const web = '/api/v1/namespaces/shop/configmaps/web';
const configMaps = '/api/v1/namespaces/default/configmaps';
const json: Lines = [['content-type', 'application/json']];

/** Does something again and again until a connection is closed from the other side. */
async function drip(what: string, connection: Closing, once: () => unknown): Promise<void> {
  const dripping = setInterval(() => void once(), 100);
  await within(`the end of a connection that ${what}`, connection.closed).finally(() => clearInterval(dripping));
}

interface Closing {
  readonly closed: Promise<unknown>;
}

const tooMuch = 3 * 1024 * 1024 + 1;

onBoth('case 18: a body that says it is too large is refused unread', async (protocol) => {
  const headers: Lines = [...json, ['content-length', String(tooMuch)]];
  const request = { method: 'POST', target: configMaps, headers };
  const { came } = await edge.during(async () => {
    if (protocol === 'h2') {
      const connection = await H2Connection.open(edge.sluice);
      const id = connection.request(h2Head(edge.sluice, request), 'open');
      assertRefused(await connection.answer(id), 'over h2', 'BodyTooLarge');
      assert.equal(await connection.resetCode(id), 0, 'NO_ERROR: the answer stands');
      assert.equal(
        (await connection.answer(connection.request(h2Head(edge.sluice, { target: web }), 'whole'))).status,
        200,
      );
      connection.destroy();
      return;
    }
    const connection = await H1Connection.open(edge.sluice);
    connection.write(h1Request(edge.sluice, request));
    const answer = await connection.answer();
    assert.equal(answer.status, 413);
    assert.match(answer.head, /^connection: close$/im);
    connection.write(h1Request(edge.sluice, { target: web }));
    await connection.closed;
  });
  assert.deepEqual(
    came.map(({ target }) => target),
    protocol === 'h2' ? [web] : [],
  );
});

test('case 18, h1: a body that does not say how large it is is read up to the limit', async () => {
  const connection = await H1Connection.open(edge.sluice);
  const { came } = await edge.during(async () => {
    const headers: Lines = [...json, ['transfer-encoding', 'chunked']];
    connection.write(h1Request(edge.sluice, { method: 'POST', target: configMaps, headers }));
    connection.write(`${(2 * tooMuch).toString(16)}\r\n${' '.repeat(tooMuch)}`);
    assert.equal((await connection.answer()).status, 413);
    connection.write(h1Request(edge.sluice, { target: web }));
    await connection.closed;
  });
  assert.deepEqual(came, []);
});

test('case 18, h2: bodies that are too large leave a connection that works', async () => {
  const ca = readFileSync(join(edge.sluice.home, 'tls', 'ca.crt'));
  const session = connect(`https://127.0.0.1:${edge.sluice.state().port}`, { ca });
  const authorization = `Bearer ${edge.sluice.token()}`;
  const { came } = await edge.during(async () => {
    // What is left unread of each counts against the window of the connection.
    for (let n = 0; n < 5; n++) {
      const stream = session.request({ ':method': 'POST', ':path': configMaps, authorization });
      stream.on('error', () => undefined);
      stream.write(Buffer.alloc(tooMuch, ' '));
      const [headers] = (await once(stream, 'response')) as [{ ':status': number }];
      assert.equal(headers[':status'], 413);
      assert.match((await buffer(stream)).toString(), /BodyTooLarge/);
    }
    const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'edge-whole' } };
    const stream = session.request({ ':method': 'POST', ':path': configMaps, authorization });
    stream.end(JSON.stringify(object).padEnd(tooMuch - 1));
    const [headers] = (await once(stream, 'response')) as [{ ':status': number }];
    assert.equal(headers[':status'], 201, 'what is just not too large passes');
    await buffer(stream);
  });
  session.close();
  assert.equal(came.length, 1);
});

onBothAtOnce('case 18: a body that only drips is refused, and what came of it goes nowhere', async (protocol) => {
  const request = { method: 'POST', target: configMaps, headers: [...json, ['content-length', '1000']] as Lines };
  const { came } = await edge.during(async () => {
    if (protocol === 'h2') {
      const connection = await H2Connection.open(edge.sluice);
      const id = connection.request(h2Head(edge.sluice, request), 'open');
      const dripping = setInterval(() => connection.data(id, Buffer.from(' '), 'open'), 100);
      const answer = await connection.answer(id).finally(() => clearInterval(dripping));
      assertRefused(answer, 'over h2', 'BodyNotReadable');
      assert.equal(answer.status, 400);
      assert.equal(await connection.resetCode(id), 0);
      connection.destroy();
      return;
    }
    const connection = await H1Connection.open(edge.sluice);
    connection.write(h1Request(edge.sluice, request));
    await drip('sends a body byte by byte', connection, () => connection.write(' '));
    assertRefused(await connection.answer(), 'over h1', 'BodyNotReadable');
  });
  assert.deepEqual(came, []);
});

test('case 18: connections that never get as far as a request are closed', async () => {
  const { came } = await edge.during(async () => {
    const attacks = [
      silentTcp(Buffer.alloc(0)),
      silentTcp(clientHello),
      overH1('says nothing', ''),
      overH1('sends blank lines', '\r\n'),
      overH1('sends headers without end', 'a: b\r\n', 'GET /version HTTP/1.1\r\nHost: sluice\r\n'),
      overH2('says nothing', () => Buffer.alloc(0)),
      overH2('sends PINGs', () => frame(frameTypes.ping, frameFlags.none, 0, Buffer.alloc(8))),
      overH2('sends a header block byte by byte', drippedHeaders()),
    ];
    await Promise.all(attacks);
  });
  assert.deepEqual(came, []);
});

/** The beginning of a ClientHello of 508 bytes. */
const clientHello = Buffer.from([22, 3, 1, 2, 0, 1, 0, 1, 252]);

async function silentTcp(start: Buffer): Promise<void> {
  const socket = connectTcp(edge.sluice.state().port, '127.0.0.1');
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  socket.write(start);
  const closed = new Promise((resolve) => socket.once('close', resolve));
  await drip('never completes TLS', { closed }, () => start.length === 0 || socket.write(Buffer.alloc(1)));
}

async function overH1(what: string, piece: string, start = ''): Promise<void> {
  const connection = await H1Connection.open(edge.sluice);
  connection.write(start);
  await drip(what, connection, () => connection.write(piece));
}

async function overH2(what: string, piece: () => Buffer): Promise<void> {
  const connection = await H2Connection.open(edge.sluice);
  await drip(what, connection, () => connection.write(piece()));
}

/** HEADERS without END_HEADERS, the header block of one long frame in pieces. */
function drippedHeaders(): () => Buffer {
  const block = headerBlock([...h2Head(edge.sluice, { target: web }), ['a', 'b'.repeat(10_000)]]);
  const bytes = frame(frameTypes.headers, frameFlags.endStream, 1, block);
  let sent = 0;
  return () => bytes.subarray(sent, (sent += 10));
}

onBothAtOnce(
  'case 18: a connection without a call is closed, whatever else it says; one with a watch is not',
  async (protocol) => {
    const watch = `${configMaps}?watch=true`;
    if (protocol === 'h2') {
      const [watching, idle] = await Promise.all([H2Connection.open(edge.sluice), H2Connection.open(edge.sluice)]);
      watching.request(h2Head(edge.sluice, { target: watch }), 'whole');
      assert.equal((await idle.answer(idle.request(h2Head(edge.sluice, { target: web }), 'whole'))).status, 200);
      const ping = frame(frameTypes.ping, frameFlags.none, 0, Buffer.alloc(8));
      await drip('sends PINGs after a call', idle, () => idle.write(ping));
      assert.equal(watching.isClosed, false);
      watching.destroy();
      return;
    }
    const [watching, idle] = await Promise.all([H1Connection.open(edge.sluice), H1Connection.open(edge.sluice)]);
    watching.write(h1Request(edge.sluice, { target: watch }));
    idle.write(h1Request(edge.sluice, { target: web }));
    assert.equal((await idle.answer()).status, 200);
    await drip('sends blank lines after a call', idle, () => idle.write('\r\n'));
    assert.equal(watching.isClosed, false);
    watching.destroy();
  },
);

test('case 18: no more connections stay than the limit, of 2,000 not one; those in use go on, and then there is room', async () => {
  const target = `${configMaps}?watch=true&labelSelector=in-use`;
  const inUse = await Promise.all(
    Array.from({ length: connections }, async () => {
      const connection = await H1Connection.open(edge.sluice);
      connection.write(h1Request(edge.sluice, { target }));
      return connection;
    }),
  );
  const arrived = (): number => edge.arrived().filter((request) => request.target === target).length;
  await until('all of them to be in use', () => arrived() === connections);
  for (let n = 0; n < 20; n++) await Promise.all(Array.from({ length: 100 }, knock));
  await assert.rejects(edge.sluice.call('GET', web), 'there is no room even for an agent');
  assert.ok(inUse.every(({ isClosed }) => !isClosed));
  for (const connection of inUse) connection.destroy();
  await until(
    'room for a call',
    async () => (await edge.sluice.call('GET', web).catch(() => undefined))?.status === 200,
  );
});

/** A connection that says just enough not to be forgotten by a kernel whose queue is full, until it is closed. */
async function knock(): Promise<void> {
  const socket = connectTcp(edge.sluice.state().port, '127.0.0.1');
  socket.on('error', () => undefined);
  // Its end comes behind what the server may have said.
  socket.resume();
  socket.write(clientHello);
  await within('a connection too many to be closed', happens(socket, 'close'));
}

test('a refusal that an agent does not take does not keep its stream open', async () => {
  const connection = await H2Connection.open(edge.sluice);
  // SETTINGS_INITIAL_WINDOW_SIZE 0: not a byte of an answer's body may be sent.
  await connection.write(frame(frameTypes.settings, frameFlags.none, 0, Buffer.from([0, 4, 0, 0, 0, 0])));
  const id = connection.request(h2Head(edge.sluice, { target: web, authorization: 'Bearer x' }), 'whole');
  assert.notEqual(await connection.resetCode(id), undefined);
  connection.destroy();
});
