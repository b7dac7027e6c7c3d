// Floods over h2, made frame by frame: each ends with its connection, and Sluice answers others meanwhile.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  ask,
  Edge,
  frame,
  frameFlags,
  frameTypes,
  H1Connection,
  H2Connection,
  h1Request,
  h2Head,
  headerBlock,
  text,
  until,
  within,
} from '@sluice/testing';

let edge: Edge;

before(async () => {
  edge = await Edge.open();
});

after(() => edge?.close());

const web = '/api/v1/namespaces/shop/configmaps/web';
/** A call that does not end, so that its connection is not idle. */
const watch = '/api/v1/namespaces/default/configmaps?watch=true';
const { data, headers, priority, reset, settings, ping, windowUpdate, continuation } = frameTypes;
const { none, endStream, endHeaders } = frameFlags;
const cancel = Buffer.of(0, 0, 0, 8);

/** Makes the next frames of a flood over a connection. */
type Flood = (connection: H2Connection) => Buffer;

const floods: Readonly<Record<string, () => Flood>> = {
  'streams that are opened and reset': () => (connection) => {
    const id = connection.reserve();
    return Buffer.concat([frame(headers, endStream | endHeaders, id, wholeHead()), frame(reset, none, id, cancel)]);
  },
  'streams that are opened and reset before their body': () => (connection) => {
    const id = connection.reserve();
    return Buffer.concat([frame(headers, endHeaders, id, wholeHead('POST')), frame(reset, none, id, cancel)]);
  },
  'streams that stay open': () => (connection) =>
    frame(headers, endHeaders, connection.reserve(), wholeHead('POST', '/api/v1/namespaces/default/configmaps')),
  'CONTINUATION without end': () => oncePerStream(none, () => frame(continuation, none, 1, headerBlock([['a', 'b']]))),
  'empty CONTINUATION': () => oncePerStream(none, () => frame(continuation, none, 1)),
  PING: () => () => frame(ping, none, 0, Buffer.alloc(8)),
  SETTINGS: () => () => frame(settings, none, 0, Buffer.of(0, 4, 0, 1, 0, 0)),
  'empty SETTINGS': () => () => frame(settings, none, 0),
  'WINDOW_UPDATE by one': () => () => frame(windowUpdate, none, 0, Buffer.of(0, 0, 0, 1)),
  PRIORITY: () => (connection) => frame(priority, none, connection.reserve(), Buffer.of(0, 0, 0, 0, 1)),
  'frames of a type that does not exist': () => () => frame(0x42, none, 0),
  'empty DATA': () => oncePerStream(endHeaders, () => frame(data, none, 1)),
  'headers that cannot be': () => (connection) =>
    frame(
      headers,
      endStream | endHeaders,
      connection.reserve(),
      headerBlock([...h2Head(edge.sluice, { target: web }), ['Bad', '']]),
    ),
  'header blocks that grow as they are read': () => bombs(),
};

function wholeHead(method = 'GET', target = web): Buffer {
  return headerBlock(h2Head(edge.sluice, { method, target }));
}

/** Opens one stream, and then makes pieces of it. */
function oncePerStream(flags: number, piece: () => Buffer): Flood {
  let isOpen = false;
  return (connection) => {
    if (isOpen) return piece();
    isOpen = true;
    return frame(headers, flags, connection.reserve(), wholeHead('POST'));
  };
}

/** One entry of 4,000 bytes in the dynamic table, and 10,000 references of one byte each to it. */
function bombs(): Flood {
  // A literal with incremental indexing (RFC 7541, 6.2.1), then indexed fields (6.1) for entry 62.
  let entry = Buffer.concat([Buffer.of(0x40), text('a'), text('b'.repeat(4_000))]);
  return (connection) => {
    const block = Buffer.concat([wholeHead(), entry, Buffer.alloc(10_000, 0xbe)]);
    entry = Buffer.alloc(0);
    return frame(headers, endStream | endHeaders, connection.reserve(), block);
  };
}

for (const [what, make] of Object.entries(floods)) {
  test(`case 19: a flood of ${what} ends with its connection, and others are answered`, async () => {
    const before = edge.arrived().length;
    const connection = await H2Connection.open(edge.sluice);
    const next = make();
    const over = new AbortController();
    const flooding = (async () => {
      while (!connection.isClosed && !over.signal.aborted) {
        await connection.write(Buffer.concat(Array.from({ length: 100 }, () => next(connection))));
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    const { status } = await ask(edge.sluice, 'h1', { target: '/version' });
    assert.equal(status, 200);
    await within('the end of the connection', connection.closed).finally(() => {
      over.abort();
      connection.destroy();
    });
    await flooding;
    // As many as may be open, as many as may be reset, and the one of somebody else.
    assert.ok(
      edge.arrived().length - before <= 100 + 100 + 1,
      `${edge.arrived().length - before} calls went to the cluster`,
    );
  });
}

for (const what of ['PING', 'SETTINGS', 'WINDOW_UPDATE by one']) {
  test(`case 19: ${what} at the pace of their acknowledgements, so that none pile up, end with their connection, too`, async () => {
    const connection = await H2Connection.open(edge.sluice);
    connection.request(h2Head(edge.sluice, { target: watch }), 'whole');
    const next = floods[what]?.() as Flood;
    while (!connection.isClosed) {
      await connection.write(Buffer.concat(Array.from({ length: 900 }, () => next(connection))));
      await connection.roundTrip();
    }
    assert.equal((await ask(edge.sluice, 'h2', { target: web })).status, 200);
  });
}

test('case 19: as many calls as may be open at once go to the cluster, and no more', async () => {
  const connection = await H2Connection.open(edge.sluice);
  const target = `${watch}&labelSelector=many`;
  const watches = (): number => edge.arrived().filter((request) => request.target.includes('many')).length;
  for (let n = 0; n < 100; n++) connection.request(h2Head(edge.sluice, { target }), 'whole');
  await until('all of them to arrive', () => watches() === 100);
  connection.request(h2Head(edge.sluice, { target }), 'whole');
  await within('the end of a connection with one more', connection.closed);
  assert.equal((await ask(edge.sluice, 'h2', { target: web })).status, 200);
  assert.equal(watches(), 100);
});

test('case 19, h2: a request of too many or too long headers is reset, and the connection goes on', async () => {
  const connection = await H2Connection.open(edge.sluice);
  const head = h2Head(edge.sluice, { target: web });
  const many = Array.from({ length: 200 }, (_, n) => [`a${n}`, 'b'] as const);
  const long = Array.from({ length: 10 }, (_, n) => [`a${n}`, 'b'.repeat(4_000)] as const);
  const { came } = await edge.during(async () => {
    assert.equal((await connection.answer(connection.request([...head, ...many], 'whole'))).status, 0);
    const id = connection.reserve();
    const block = headerBlock([...head, ...long]);
    const [first, second, third] = [block.subarray(0, 16_000), block.subarray(16_000, 32_000), block.subarray(32_000)];
    await connection.write(frame(headers, endStream, id, first));
    await connection.write(frame(continuation, none, id, second));
    await connection.write(frame(continuation, endHeaders, id, third));
    assert.equal((await connection.answer(id)).status, 0);
    assert.equal(connection.isClosed, false);
    assert.equal((await connection.answer(connection.request(head, 'whole'))).status, 200);
  });
  assert.equal(came.length, 1);
  connection.destroy();
});

test('case 19, h1: too long headers are refused', async () => {
  const long = [['a', 'b'.repeat(40_000)]] as const;
  const { came, result } = await edge.during(() => ask(edge.sluice, 'h1', { target: web, headers: long }));
  assert.equal(result.status, 431);
  assert.deepEqual(came, []);
});

test('case 19, h1: a flood of blank lines ends with its connection', async () => {
  const connection = await H1Connection.open(edge.sluice);
  connection.write(h1Request(edge.sluice, { target: watch }));
  const lines = '\r\n'.repeat(8_000);
  while (!connection.isClosed) {
    connection.write(lines);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.equal((await ask(edge.sluice, 'h1', { target: web })).status, 200);
});

test('case 19: an agent that is sent a lot, and says so frame by frame, is left alone', async () => {
  const connection = await H2Connection.open(edge.sluice);
  for (let n = 0; n < 300; n++) {
    const id = connection.request(h2Head(edge.sluice, { target: '/api/v1/configmaps' }), 'whole');
    await connection.write(frame(windowUpdate, none, 0, Buffer.of(0, 0, 0x40, 0)));
    await connection.write(frame(ping, none, 0, Buffer.alloc(8)));
    assert.equal((await connection.answer(id)).status, 200);
  }
  assert.equal(connection.isClosed, false);
  connection.destroy();
});
