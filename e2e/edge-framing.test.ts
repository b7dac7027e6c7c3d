// How a request is framed, and where it ends, over h1 and h2, sent byte by byte. The cluster's own log is the judge: what
// hides in another request never arrives.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  ask,
  assertRefused,
  Edge,
  frame,
  frameFlags,
  frameTypes,
  H1Connection,
  H2Connection,
  h1Request,
  h2Head,
  type Lines,
  type Protocol,
  protocols,
  type RawAnswer,
  until,
  within,
} from '@sluice/testing';

let edge: Edge;

before(async () => {
  edge = await Edge.open();
});

after(() => edge?.close());

function onBoth(name: string, body: (protocol: Protocol) => Promise<void>): void {
  for (const protocol of protocols) test(`${name}, ${protocol}`, () => body(protocol));
}

const web = '/api/v1/namespaces/shop/configmaps/web';
const configMaps = '/api/v1/namespaces/default/configmaps';
const json: Lines = [['content-type', 'application/json']];
let made = 0;

function newConfigMap(): string {
  const metadata = { name: `edge-${++made}` };
  return JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { a: 'b' } });
}

test('case 3: without a Host, or with two :authority, nothing is taken', async () => {
  const { came } = await edge.during(async () => {
    const h1 = await H1Connection.open(edge.sluice);
    h1.write(`GET /version HTTP/1.1\r\nAuthorization: Bearer ${edge.sluice.token()}\r\n\r\n`);
    assert.equal((await h1.answer()).status, 400);
    for (const headers of [[[':authority', 'evil']], [[':path', '/api']], [[':scheme', 'http']]] as Lines[]) {
      const h2 = await H2Connection.open(edge.sluice);
      const [method, scheme, path, authority, ...rest] = h2Head(edge.sluice, { target: '/version' });
      const pseudo = [method, scheme, path, authority].filter((line) => line !== undefined);
      assertRefused(await h2.answer(h2.request([...pseudo, ...headers, ...rest], 'whole')), JSON.stringify(headers));
      h2.destroy();
    }
  });
  assert.deepEqual(came, []);
});

onBoth('case 13: trailers are refused, announced or not', async (protocol) => {
  const { came } = await edge.during(async () => {
    assertRefused(await askWithTrailers(protocol), 'unannounced');
    const headers = [...json, ['trailer', 'impersonate-user']] as Lines;
    assertRefused(
      await ask(edge.sluice, protocol, { method: 'POST', target: configMaps, headers, body: newConfigMap() }),
      'announced',
    );
  });
  assert.deepEqual(came, []);
});

async function askWithTrailers(protocol: Protocol): Promise<RawAnswer> {
  const request = { method: 'POST', target: configMaps, headers: json };
  const body = newConfigMap();
  if (protocol === 'h2') {
    const h2 = await H2Connection.open(edge.sluice);
    const id = h2.request(h2Head(edge.sluice, request), 'open');
    h2.data(id, Buffer.from(body), 'open');
    h2.trailers(id, [['impersonate-user', 'system:admin']]);
    return h2.answer(id).finally(() => h2.destroy());
  }
  const h1 = await H1Connection.open(edge.sluice);
  h1.write(h1Request(edge.sluice, { ...request, headers: [...request.headers, ['Transfer-Encoding', 'chunked']] }));
  h1.write(`${body.length.toString(16)}\r\n${body}\r\n0\r\nImpersonate-User: system:admin\r\n\r\n`);
  return h1.answer().finally(() => h1.destroy());
}

/** A request that would be allowed, were it ever read as one. */
function smuggled(): string {
  return h1Request(edge.sluice, { target: '/api/v1/namespaces/smuggled' });
}

function assertNothingSmuggled(): void {
  const seen = edge.arrived().filter(({ target }) => target.includes('smuggled'));
  assert.deepEqual(seen, []);
}

/** Framing that somebody else may read differently: the lines of a head, and what stands behind it. */
const framings: Readonly<Record<string, readonly [lines: string, rest: (hidden: string) => string]>> = {
  'CL.TE': ['Content-Length: 4\r\nTransfer-Encoding: chunked', (hidden) => `0\r\n\r\n${hidden}`],
  'TE.CL': ['Transfer-Encoding: chunked\r\nContent-Length: 4', (hidden) => `0\r\n\r\n${hidden}`],
  'TE twice': ['Transfer-Encoding: identity\r\nTransfer-Encoding: chunked', (hidden) => `0\r\n\r\n${hidden}`],
  'TE twice, other way': [
    'Transfer-Encoding: chunked\r\nTransfer-Encoding: identity',
    (hidden) => `0\r\n\r\n${hidden}`,
  ],
  'TE chunked, identity': ['Transfer-Encoding: chunked, identity', (hidden) => `0\r\n\r\n${hidden}`],
  'TE gzip, chunked': ['Transfer-Encoding: gzip, chunked', (hidden) => `0\r\n\r\n${hidden}`],
  'TE with an empty element': ['Transfer-Encoding: , chunked', (hidden) => `0\r\n\r\n${hidden}`],
  'TE xchunked': ['Transfer-Encoding: xchunked', (hidden) => `0\r\n\r\n${hidden}`],
  'TE identity': ['Transfer-Encoding: identity', (hidden) => hidden],
  'TE vertical tab': ['Transfer-Encoding: \x0bchunked', (hidden) => `0\r\n\r\n${hidden}`],
  'TE space before the colon': ['Transfer-Encoding : chunked', (hidden) => `0\r\n\r\n${hidden}`],
  'TE folded': ['Transfer-Encoding:\r\n chunked', (hidden) => `0\r\n\r\n${hidden}`],
  'a folded line': ['A: b\r\n c\r\nContent-Length: 0', (hidden) => hidden],
  'a bare LF': ['A: b\nContent-Length: 0', (hidden) => hidden],
  'a bare CR': ['A: b\rContent-Length: 0', (hidden) => hidden],
  'CL twice': ['Content-Length: 0\r\nContent-Length: 0', (hidden) => hidden],
  'CL twice, different': ['Content-Length: 0\r\nContent-Length: 400', (hidden) => hidden],
  'CL list': ['Content-Length: 0, 0', (hidden) => hidden],
  'CL +0': ['Content-Length: +0', (hidden) => hidden],
  'CL hexadecimal': ['Content-Length: 0x0', (hidden) => hidden],
  'CL overflow': ['Content-Length: 18446744073709551616', (hidden) => hidden],
  'chunk size with a sign': ['Transfer-Encoding: chunked', (hidden) => `+0\r\n\r\n${hidden}`],
  'chunk size with 0x': ['Transfer-Encoding: chunked', (hidden) => `0x0\r\n\r\n${hidden}`],
  'chunk size overflow': ['Transfer-Encoding: chunked', (hidden) => `10000000000000000\r\n\r\n${hidden}`],
  'chunk extension with a bare LF': ['Transfer-Encoding: chunked', (hidden) => `0;a\n\r\n${hidden}`],
  'chunks with bare LFs': ['Transfer-Encoding: chunked', (hidden) => `0\n\n${hidden}`],
  'a chunk without its CRLF': ['Transfer-Encoding: chunked', (hidden) => `1\r\nx0\r\n\r\n${hidden}`],
};

for (const [what, [lines, rest]] of Object.entries(framings)) {
  test(`case 15, h1: ${what}: refused, the connection closed, and nothing that hides in it is read`, async () => {
    const connection = await H1Connection.open(edge.sluice);
    connection.write(h1Request(edge.sluice, { target: web }));
    assert.equal((await connection.answer()).status, 200, 'the connection is one that is kept');
    const { came } = await edge.during(async () => {
      connection.write(head('POST', configMaps, lines) + rest(smuggled()));
      assertRefused(await connection.answer(), what);
      await connection.closed;
    });
    assert.deepEqual(came, []);
    assertNothingSmuggled();
  });
}

function head(method: string, target: string, lines: string, version = 'HTTP/1.1'): string {
  const own = `Host: sluice\r\nAuthorization: Bearer ${edge.sluice.token()}\r\nContent-Type: application/json`;
  return `${method} ${target} ${version}\r\n${own}\r\n${lines}\r\n\r\n`;
}

test('case 15, h1: another version of HTTP in the request line is refused', async () => {
  const { came } = await edge.during(async () => {
    for (const version of ['HTTP/1.0', 'HTTP/2.0', 'HTTP/0.9', 'HTTP/1.2', 'HTTP/3.0']) {
      const connection = await H1Connection.open(edge.sluice);
      connection.write(head('GET', web, 'A: b', version));
      assert.equal((await connection.answer()).status, 400, version);
      await connection.closed;
    }
  });
  assert.deepEqual(came, []);
});

test('case 15, h1: a request behind another is not taken, and the connection ends with the answer', async () => {
  const connection = await H1Connection.open(edge.sluice);
  const { came } = await edge.during(async () => {
    connection.write(h1Request(edge.sluice, { target: web }) + smuggled());
    const answer = await connection.answer();
    assert.equal(answer.status, 200);
    assert.match(answer.head, /^connection: close$/im);
    await connection.closed;
  });
  assert.deepEqual(
    came.map(({ target }) => target),
    [web],
  );
  assertNothingSmuggled();
});

test('case 15, h1: too many requests behind one that does not end are cut', async () => {
  const connection = await H1Connection.open(edge.sluice);
  const target = `${configMaps}?watch=true`;
  connection.write(h1Request(edge.sluice, { target }));
  await until('the watch', () => edge.arrived().some((request) => request.target === target));
  // More than may wait, and far too few to be a flood of bytes.
  connection.write(smuggled().repeat(17));
  await within('its end', connection.closed);
  assertNothingSmuggled();
});

test('case 15, h1: after a refused upgrade the bytes behind it are never a request', async () => {
  const exec = '/api/v1/namespaces/shop/pods/web/exec?command=id';
  const upgrades = { websocket: 400, 'SPDY/3.1': 400, h2c: 400, foo: 400, 'websocket, h2c': 400 };
  const refuse = async (protocol: string, status: number, when: 'at once' | 'later'): Promise<void> => {
    const connection = await H1Connection.open(edge.sluice);
    const upgrade = head('GET', exec, `Connection: Upgrade\r\nUpgrade: ${protocol}`);
    connection.write(when === 'at once' ? upgrade + smuggled() : upgrade);
    const answer = await connection.answer();
    assert.equal(answer.status, status, answer.body);
    if (when === 'later') connection.write(smuggled());
    assert.match(answer.head, /^connection: close$/im);
    await connection.closed;
  };
  const { came } = await edge.during(() =>
    Promise.all(
      Object.entries(upgrades).flatMap(([protocol, status]) => [
        refuse(protocol, status, 'at once'),
        refuse(protocol, status, 'later'),
      ]),
    ),
  );
  assert.deepEqual(came, []);
  for (const target of [web, `${configMaps}?watch=true`, '/api/v1/namespaces/shop/pods/web/log', '/version'])
    await edge.refused('h1', {
      target,
      headers: [
        ['Connection', 'Upgrade'],
        ['Upgrade', 'websocket'],
      ],
    });
  assertNothingSmuggled();
});

onBoth('case 15: a body that looks like a request stays a body', async (protocol) => {
  const metadata = { name: `edge-${++made}` };
  const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { a: `0\r\n\r\n${smuggled()}` } };
  const body = JSON.stringify(object);
  const { body: seen } = await edge.passes(protocol, { method: 'POST', target: configMaps, body, headers: json });
  assert.ok(seen.includes('smuggled'));
  assertNothingSmuggled();
});

test('case 15, h2: lengths that do not agree, and line ends in headers, are refused', async () => {
  const body = newConfigMap();
  const { came } = await edge.during(async () => {
    for (const lengths of [
      ['5'],
      [String(body.length + 1)],
      [String(body.length), String(body.length)],
      ['+5'],
      ['5, 5'],
    ]) {
      const headers = [...json, ...lengths.map((length) => ['content-length', length] as const)];
      assertRefused(
        await ask(edge.sluice, 'h2', { method: 'POST', target: configMaps, headers, body }),
        lengths.join(),
      );
    }
    for (const target of ['/version HTTP/1.1\r\nHost: evil', '/version\r\n\r\nGET /smuggled', '/version\0'])
      assertRefused(await ask(edge.sluice, 'h2', { target }), target);
    assertRefused(await ask(edge.sluice, 'h2', { method: 'GET /smuggled HTTP/1.1\r\n', target: web }), 'method');
  });
  assert.deepEqual(came, []);
});

test('case 15, h2: a body that the agent breaks off is not taken for a whole one', async () => {
  const target = '/api/v1/namespaces/broken-off/configmaps';
  const headers: Lines = [['content-type', 'application/yaml']];
  const yaml = Buffer.from('apiVersion: v1\nkind: ConfigMap\nmetadata: { name: half }\n');
  const connection = await H2Connection.open(edge.sluice);
  const { came } = await edge.during(async () => {
    for (let n = 0; n < 5; n++) {
      const id = connection.request(h2Head(edge.sluice, { method: 'POST', target, headers }), 'open');
      connection.data(id, yaml, 'open');
      await connection.roundTrip();
      await connection.write(frame(frameTypes.reset, frameFlags.none, id, noError));
    }
    const last = connection.request(h2Head(edge.sluice, { target: web }), 'whole');
    assert.equal((await connection.answer(last)).status, 200);
  });
  connection.destroy();
  assert.deepEqual(
    came.map((request) => request.target),
    [web],
  );
  const rows = await until('their record', async () => {
    const found = (await edge.sluice.calls()).filter(({ namespace }) => namespace === 'broken-off');
    return found.length === 5 && found;
  });
  assert.deepEqual(new Set(rows.map(({ reasonCode }) => reasonCode)), new Set(['BodyNotReadable']));
});

/** NO_ERROR, as it stands in a RST_STREAM. Node ends such a stream as it ends a whole one. */
const noError = Buffer.alloc(4);

onBoth('a request that says too much or the wrong thing about itself is refused', async (protocol) => {
  for (const name of ['authorization', 'accept', 'content-type', 'user-agent', 'kubectl-command']) {
    const line = [name, 'x'] as const;
    await edge.refused(protocol, { target: web, headers: [line, line] });
  }
  await edge.refused(protocol, { target: web, body: 'x' });
  // Its answer has no body that would give the reason.
  const { came } = await edge.during(() => ask(edge.sluice, protocol, { method: 'HEAD', target: web, body: 'x' }));
  assert.deepEqual(came, []);
  const many: Lines = Array.from({ length: 120 }, (_, n) => [`a${n}`, 'b']);
  await edge.refused(protocol, { target: web, headers: many });
  for (const method of ['PROPFIND', 'TRACE', 'OPTIONS'])
    await edge.refused(protocol, { method, target: web }, 'MethodNotAllowed');
  await edge.refused(
    protocol,
    { method: 'POST', target: configMaps, body: newConfigMap(), headers: [['content-encoding', 'gzip']] },
    'BodyNotReadable',
  );
});

test('CONNECT, and methods that do not exist, reach nothing', async () => {
  const { came } = await edge.during(async () => {
    const h1 = await H1Connection.open(edge.sluice);
    h1.write('CONNECT evil:443 HTTP/1.1\r\nHost: evil\r\n\r\nGET /version HTTP/1.1\r\n\r\n');
    assert.equal((await h1.answer()).status, 405);
    await h1.closed;
    assert.equal((await ask(edge.sluice, 'h1', { method: 'FOO', target: web })).status, 400);
    await edge.refused('h2', { method: 'FOO', target: web }, 'MethodNotAllowed');
    const h2 = await H2Connection.open(edge.sluice);
    assert.equal(
      (
        await h2.answer(
          h2.request(
            [
              [':method', 'CONNECT'],
              [':authority', 'evil:443'],
            ],
            'open',
          ),
        )
      ).status,
      405,
    );
    const extended = [[':protocol', 'websocket'], ...h2Head(edge.sluice, { method: 'CONNECT', target: web })] as Lines;
    assert.equal((await h2.answer(h2.request(extended, 'open'))).status, 0);
    h2.destroy();
  });
  assert.deepEqual(came, []);
});
