import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { constants, deflateSync, inflateSync } from 'node:zlib';
import fc from 'fast-check';
import { headerDictionary } from './dictionary.ts';
import { SpdyClosedError, type SpdyLimits } from './events.ts';
import { controlFrame, dataFrame, frameTypes, SpdyError, wordsFrame } from './frames.ts';
import { HeaderReader, HeaderWriter } from './header-block.ts';
import { SpdySession } from './session.ts';

test('what kubectl sends for an exec is told the same, wherever it is cut', () => {
  const bytes = captured('exec');
  const expected = [
    'opened 1 streamtype=error',
    'opened 3 streamtype=stdin',
    'opened 5 streamtype=stdout',
    'opened 7 streamtype=stderr',
    'data 3 hello\n',
    'ended 3',
    'reset 5 5',
    'reset 7 5',
    'reset 1 5',
    'goAway',
  ];
  assert.deepEqual(told([bytes]), expected);
  assert.deepEqual(told(Array.from(bytes, (byte) => Buffer.of(byte))), expected);
  for (let at = 1; at < bytes.length; at += 1) {
    assert.deepEqual(told([bytes.subarray(0, at), bytes.subarray(at)]), expected, `cut at ${at}`);
  }
});

test('each connection of kubectl port-forward is an error stream and a data stream', () => {
  assert.deepEqual(told([captured('port-forward')]), [
    'opened 1 streamtype=error port=80 requestid=0',
    'ended 1',
    'opened 3 streamtype=data port=80 requestid=0',
    'data 3 hi 1\n',
    'ended 3',
    'opened 5 streamtype=error port=80 requestid=1',
    'ended 5',
    'opened 7 streamtype=data port=80 requestid=1',
    'data 7 hi 2\n',
    'ended 7',
  ]);
});

test('a client and a server of ours exchange streams, whatever is written and however it is cut', () => {
  const chunk = fc.uint8Array({ maxLength: 70_000 }).map((bytes) => Buffer.from(bytes));
  fc.assert(
    fc.property(
      fc.array(fc.array(chunk, { maxLength: 4 }), { maxLength: 4 }),
      fc.integer({ min: 1, max: 9999 }),
      (streams, size) => {
        const link = linked(size);
        const ids = streams.map((_, index) => link.client.session.open(new Map([['streamtype', `s${index}`]])));
        link.settle();
        streams.forEach((chunks, index) => {
          for (const bytes of chunks) link.client.session.write(ids[index] as number, bytes);
          link.client.session.end(ids[index] as number);
        });
        link.settle();
        streams.forEach((chunks, index) => {
          const id = ids[index] as number;
          assert.deepEqual(link.server.received(id), Buffer.concat(chunks));
          assert.ok(link.server.events.includes(`ended ${id}`));
          assert.ok(link.client.events.includes(`replied ${id}`));
          link.server.session.write(id, Buffer.from('bye'));
          link.server.session.end(id);
        });
        link.settle();
        for (const id of ids) assert.deepEqual(link.client.received(id), Buffer.from('bye'));
      },
    ),
    { numRuns: 60 },
  );
});

test('header blocks are zlib with the dictionary of SPDY/3, as others write and read it', () => {
  const writer = new HeaderWriter();
  const reader = new HeaderReader(limits);
  const long = new Map([['x-long', 'v'.repeat(70_000)]]);
  const blocks = [new Map([['streamtype', 'stdin']]), new Map(), long].map((headers) => writer.write(headers));
  // Go's reader gives out what it has only at a sync flush.
  for (const block of blocks) assert.match(block.toString('hex'), /000000ffff$/);
  const plain = inflateSync(Buffer.concat(blocks), {
    dictionary: headerDictionary,
    finishFlush: constants.Z_SYNC_FLUSH,
  });
  assert.equal(plain.toString('latin1', 0, 27), '\0\0\0\x01\0\0\0\nstreamtype\0\0\0\x05stdin'.slice(0, 27));
  assert.equal(plain.length, 27 + 4 + 18 + 70_000);
  assert.deepEqual(
    blocks.map((block) => [...reader.read(block).keys()]),
    [['streamtype'], [], ['x-long']],
  );
});

test('headers of frames that nobody waits for keep the zlib stream in step', () => {
  const peer = new Peer();
  const events = told([
    peer.headers(frameTypes.headers, 9, [['lost', '1']]),
    peer.headers(frameTypes.synReply, 8, [['lost', '2']]),
    peer.open(1, [['kept', 'a\0b']]),
  ]);
  assert.deepEqual(events, ['opened 1 kept=a\0b']);
});

const cutShort = /is cut short$/;
const brokenBlocks: readonly (readonly [what: string, plain: Buffer, message: RegExp])[] = [
  ['a bomb', Buffer.alloc(1_000_000), /exceeds 65536 bytes/],
  ['2^31 headers', Buffer.from('80000000', 'hex'), /has 2147483648 headers/],
  ['more headers than are there', Buffer.from('00000002000000016100000001', 'hex'), cutShort],
  ['a length beyond the end', Buffer.from('000000017fffffff61', 'hex'), cutShort],
  ['a value beyond the end', Buffer.from('00000001000000016100000002ff', 'hex'), cutShort],
  ['a name in upper case', block([['StreamType', 'x']]), /not in lower case/],
  ['an empty name', block([['', 'x']]), /is empty/],
  [
    'a name twice',
    block([
      ['a', '1'],
      ['a', '2'],
    ]),
    /twice/,
  ],
  ['bytes after the last', Buffer.concat([block([]), Buffer.of(0)]), /goes on/],
  ['nothing at all', Buffer.alloc(0), cutShort],
];
for (const [what, plain, message] of brokenBlocks) {
  test(`a header block with ${what} ends the session`, () => {
    const payload = Buffer.concat([Buffer.from('00000001000000000000', 'hex'), compress(plain)]);
    const end = new End('server');
    assert.throws(() => end.session.push(controlFrame(frameTypes.synStream, 0, payload)), { code: 'BadSpdy', message });
    assert.deepEqual(end.events, []);
  });
}

const ended = deflateSync(Buffer.from('00000000', 'hex'), { dictionary: headerDictionary });
const tooMuch = /more than 2 GiB/;
const broken: readonly (readonly [what: string, frames: (peer: Peer) => readonly Buffer[], message: RegExp])[] = [
  ['another version', () => [Buffer.from('800200060000000400000001', 'hex')], /version 2/],
  ['a header block that is no zlib', () => [controlFrame(1, 0, Buffer.alloc(30, 7))], /not zlib/],
  ['a zlib stream that ends', () => [controlFrame(2, 0, Buffer.concat([Buffer.alloc(4), ended]))], /not zlib/],
  ['a stream of our parity', (peer) => [peer.open(2)], /may not open stream 2/],
  ['stream 0', (peer) => [peer.open(0)], /may not open stream 0/],
  ['a stream id again', (peer) => [peer.open(3), peer.open(3)], /stream 3 opens after 3/],
  ['a stream id out of order', (peer) => [peer.open(5), peer.open(3)], /stream 3 opens after 5/],
  ['data on stream 0', () => [dataFrame(0, 0, Buffer.from('x'))], /stream 0/],
  ['a short SYN_STREAM', () => [controlFrame(1, 0, Buffer.alloc(9))], /type 1 has 9 bytes/],
  ['a PING of 8 bytes', () => [wordsFrame(6, 1, 1)], /type 6 has 8 bytes/],
  ['a control frame that is too long', () => [Buffer.from('8003000100ffffff', 'hex')], /type 1 has 16777215/],
  ['settings with another count', () => [wordsFrame(4, 0x10000000)], /count/],
  ['a window of 2 GiB and more', () => [wordsFrame(4, 1, 7, 0x80000000)], tooMuch],
  ['a window of the connection of 2 GiB and more', () => [wordsFrame(9, 0, 0x7fffffff)], tooMuch],
];
for (const [what, frames, message] of broken) {
  test(`${what} ends the session, and the peer is told`, () => {
    const end = new End('server');
    const bytes = Buffer.concat(frames(new Peer()));
    assert.throws(() => end.session.push(bytes), { code: 'BadSpdy', message });
    assert.throws(() => end.session.push(Buffer.alloc(0)), { code: 'BadSpdy', message });
    assert.match(end.sent.at(-1)?.toString('hex') ?? '', /^8003000700000008.{8}00000001$/);
    assert.throws(() => end.session.open(new Map()), SpdyClosedError);
  });
}

test('frames of unknown types are skipped, however long, and no byte of a data frame is held back', () => {
  const end = new End('server');
  const peer = new Peer();
  end.session.push(Buffer.concat([Buffer.from('8003000affffffff', 'hex'), Buffer.alloc(1000)]));
  for (let rest = 0xffffff - 1000; rest > 0; rest -= 65_536) end.session.push(Buffer.alloc(Math.min(rest, 65_536)));
  end.session.push(peer.open(1));
  end.session.push(Buffer.from('0000000100ffffff6162', 'hex'));
  assert.deepEqual(end.events, ['opened 1 ', 'data 1 ab']);
});

test('streams have ids up to 2^31 - 1, and one beyond the limit is refused alone', () => {
  const end = new End('server', { maxStreams: 2 });
  const peer = new Peer();
  end.session.push(Buffer.concat([peer.open(129), peer.open(255), peer.open(257)]));
  assert.deepEqual(end.resets(), [[257, 3]]);
  end.session.reset(129);
  end.session.push(peer.open(0x7fffffff, [], 1));
  assert.deepEqual(end.events, ['opened 129 ', 'opened 255 ', 'opened 2147483647 ', 'ended 2147483647']);
});

test('data on a stream that is not open resets that one, and bytes after an end reset theirs', () => {
  const end = new End('server');
  const peer = new Peer();
  end.session.push(Buffer.concat([peer.open(1), dataFrame(7, 0, Buffer.from('x')), dataFrame(1, 0, Buffer.from('a'))]));
  end.session.push(Buffer.concat([dataFrame(1, 1, Buffer.alloc(0)), dataFrame(1, 0, Buffer.from('b')), peer.open(3)]));
  assert.deepEqual(end.events, ['opened 1 ', 'data 1 a', 'ended 1', 'reset 1 9', 'opened 3 ']);
  assert.deepEqual(end.resets(), [
    [7, 2],
    [1, 9],
  ]);
});

test('a stream is replied to once, by the side that did not open it', () => {
  const server = new End('server');
  const peer = new Peer();
  server.session.push(peer.open(1));
  server.session.reply(1);
  assert.equal(server.sent.length, 1);
  server.session.push(Buffer.concat([peer.headers(frameTypes.synReply, 1, []), peer.open(3, [['unanswered', '']])]));
  server.session.push(peer.headers(frameTypes.synReply, 3, []));
  assert.deepEqual(server.resets(), [
    [1, 8],
    [3, 8],
  ]);
  const [client, twice] = [new End('client'), new Peer()];
  const [id, other] = [client.session.open(new Map()), client.session.open(new Map())];
  client.session.push(Buffer.concat([id, id, other].map((stream) => twice.headers(frameTypes.synReply, stream, []))));
  assert.deepEqual(client.events, [`replied ${id}`, `reset ${id} 8`, `replied ${other}`]);
});

test('a reset in the middle of a data frame drops the rest of the frame only', () => {
  const end = new End('server');
  const peer = new Peer();
  const frame = dataFrame(1, 1, Buffer.from('abcdef'));
  end.session.push(Buffer.concat([peer.open(1), frame.subarray(0, 11)]));
  end.session.reset(1);
  end.session.push(Buffer.concat([frame.subarray(11), peer.open(3)]));
  assert.deepEqual(end.events, ['opened 1 ', 'data 1 abc', 'opened 3 ']);
});

test('the end may come with what opens, with what replies, and with headers', () => {
  const server = new End('server');
  const peer = new Peer();
  const unidirectional = 2;
  server.session.push(Buffer.concat([peer.open(1, [], 1), peer.open(3, [], unidirectional), peer.open(5)]));
  server.session.push(peer.headers(frameTypes.headers, 5, [], 1));
  server.session.push(peer.headers(frameTypes.headers, 5, [], 1));
  assert.deepEqual(server.events, ['opened 1 ', 'ended 1', 'opened 3 ', 'opened 5 ', 'ended 5']);
  server.sent.length = 0;
  assert.equal(server.session.write(3, Buffer.from('x')), true);
  server.session.end(3);
  assert.deepEqual(server.sent, []);

  const client = new End('client');
  const id = client.session.open(new Map());
  client.session.push(new Peer().headers(frameTypes.synReply, id, [], 1));
  assert.deepEqual(client.events, [`replied ${id}`, `ended ${id}`]);
});

test('a PING of the peer is answered, our own is not; GOAWAY is told once and ends opening, not streams', () => {
  const client = new End('client');
  const id = client.session.open(new Map());
  client.sent.length = 0;
  client.session.ping();
  const own = client.sent.pop() as Buffer;
  client.session.push(Buffer.concat([own, wordsFrame(frameTypes.ping, 2)]));
  assert.deepEqual(client.sent, [wordsFrame(frameTypes.ping, 2)]);
  client.session.push(Buffer.concat([wordsFrame(frameTypes.goAway, id, 0), wordsFrame(frameTypes.goAway, id, 0)]));
  assert.throws(() => client.session.open(new Map()), SpdyClosedError);
  client.session.push(dataFrame(id, 0, Buffer.from('still')));
  assert.deepEqual(client.events, ['goAway', `data ${id} still`]);

  const server = new End('server');
  const peer = new Peer();
  server.session.push(peer.open(1));
  server.session.goAway();
  server.session.goAway();
  server.session.push(peer.open(3));
  assert.deepEqual(server.events, ['opened 1 ']);
  assert.equal(server.sent.filter((frame) => frame[3] === frameTypes.goAway).length, 1);
  assert.deepEqual(server.resets(), [[3, 3]]);
});

test('without a sign of flow control all is sent at once; a window that is set or returned binds from then on', () => {
  const end = new End('server');
  const peer = new Peer();
  end.session.push(Buffer.concat([peer.open(1), peer.open(3)]));
  assert.equal(end.session.write(1, Buffer.alloc(200_000)), true);
  assert.equal(end.sentData(1), 200_000);
  assert.ok(end.sent.every((frame) => frame.length <= 8 + 32 * 1024));

  // 64 KiB to begin with, of which 200,000 bytes are used.
  end.session.push(wordsFrame(frameTypes.windowUpdate, 1, 200_000 - 65_536 + 10));
  assert.equal(end.session.write(1, Buffer.alloc(15)), false);
  end.session.end(1);
  assert.equal(end.sentData(1), 200_010);
  assert.equal(end.session.write(3, Buffer.alloc(100_000)), true, 'the other stream is not bound');
  end.session.push(wordsFrame(frameTypes.windowUpdate, 1, 4));
  assert.equal(end.sentData(1), 200_014);
  assert.equal(end.hasEnded(1), false);
  end.session.push(wordsFrame(frameTypes.windowUpdate, 1, 4));
  assert.equal(end.sentData(1), 200_015);
  assert.equal(end.hasEnded(1), true);
  assert.deepEqual(end.events, ['opened 1 ', 'opened 3 ']);

  const setting = new End('client');
  setting.session.push(wordsFrame(frameTypes.settings, 1, 7, 3));
  const id = setting.session.open(new Map());
  assert.equal(setting.session.write(id, Buffer.from('hello')), false);
  setting.session.push(wordsFrame(frameTypes.settings, 1, 7, 4));
  assert.equal(setting.sentData(id), 4);
  setting.session.push(wordsFrame(frameTypes.settings, 1, 7, 10));
  assert.equal(setting.sentData(id), 5);
  assert.deepEqual(setting.events, [`writable ${id}`]);
});

test('the window of the connection binds all streams', () => {
  const end = new End('client');
  const [a, b] = [end.session.open(new Map()), end.session.open(new Map())];
  end.session.push(wordsFrame(frameTypes.windowUpdate, 0, 1));
  assert.equal(end.session.write(a, Buffer.alloc(65_536)), true);
  assert.equal(end.session.write(b, Buffer.alloc(3)), false);
  assert.equal(end.sentData(b), 1);
  end.session.push(wordsFrame(frameTypes.windowUpdate, 0, 100));
  assert.equal(end.sentData(b), 3);
  assert.deepEqual(end.events, [`writable ${b}`]);
});

test('consumed bytes go back to the peer, of the stream and of the connection', () => {
  const end = new End('server');
  end.session.push(new Peer().open(1));
  end.sent.length = 0;
  for (let index = 0; index < 8; index += 1) end.session.push(dataFrame(1, 0, Buffer.alloc(10_000)));
  assert.deepEqual(end.returned(), [
    [0, 40_000],
    [1, 40_000],
    [0, 40_000],
    [1, 40_000],
  ]);
  end.session.reset(1);
  assert.equal(end.returned().length, 4, 'nothing twice');
});

test('bytes of streams that are gone go back to the connection, whoever consumes them', () => {
  const end = new End('server');
  const peer = new Peer();
  const bytes = dataFrame(1, 0, Buffer.alloc(20_000));
  end.session.push(Buffer.concat([peer.open(1, [['unconsumed', '']]), bytes]));
  end.session.reset(1);
  assert.deepEqual(end.returned(), []);
  end.session.push(bytes);
  assert.deepEqual(end.returned(), [[0, 40_000]]);
  end.session.consumed(1, 40_000);
  assert.equal(end.returned().length, 1);
});

test('nothing is done to streams that are not open', () => {
  const end = new End('server');
  end.session.reply(1);
  end.session.end(1);
  end.session.reset(1);
  assert.equal(end.session.write(1, Buffer.from('x')), true);
  assert.deepEqual(end.sent, []);
});

const limits = { maxHeaderBytes: 100_000, maxHeaders: 10 };

function captured(name: string): Buffer {
  const text = readFileSync(new URL(`../../fuzz-corpus/spdy/${name}.hex`, import.meta.url), 'utf8');
  return Buffer.from(text.replaceAll(/#.*|\s/g, ''), 'hex');
}

/** What a server tells of these bytes, data joined. */
function told(pieces: readonly Buffer[]): string[] {
  const end = new End('server');
  try {
    for (const piece of pieces) end.session.push(piece);
  } catch (error) {
    assert.ok(error instanceof SpdyError);
    end.events.push('dead');
  }
  return end.events;
}

/** A session with what it told and what it sent. It replies to all but `unanswered`, and consumes all but `unconsumed`. */
class End {
  readonly events: string[] = [];
  readonly sent: Buffer[] = [];
  readonly session: SpdySession;
  readonly #received = new Map<number, Buffer[]>();
  readonly #unconsumed = new Set<number>();

  constructor(role: 'client' | 'server', limits: Partial<SpdyLimits> = {}) {
    const { events } = this;
    this.session = new SpdySession(
      role,
      (bytes) => this.sent.push(bytes),
      {
        opened: (stream, headers, isEnded) => {
          events.push(`opened ${stream} ${[...headers].map((pair) => pair.join('=')).join(' ')}`);
          if (!headers.has('unanswered')) this.session.reply(stream);
          if (headers.has('unconsumed')) this.#unconsumed.add(stream);
          if (isEnded) events.push(`ended ${stream}`);
        },
        replied: (stream) => events.push(`replied ${stream}`),
        data: (stream, bytes, isEnded) => {
          const parts = this.#received.get(stream) ?? [];
          this.#received.set(stream, [...parts, bytes]);
          const last = events.at(-1);
          if (bytes.length === 0) assert.ok(isEnded);
          else if (last?.startsWith(`data ${stream} `)) events[events.length - 1] = last + bytes.toString();
          else events.push(`data ${stream} ${bytes.toString()}`);
          if (isEnded) events.push(`ended ${stream}`);
          if (!this.#unconsumed.has(stream)) this.session.consumed(stream, bytes.length);
        },
        reset: (stream, status) => events.push(`reset ${stream} ${status}`),
        goAway: () => events.push('goAway'),
        writable: (stream) => events.push(`writable ${stream}`),
      },
      limits,
    );
  }

  received(stream: number): Buffer {
    return Buffer.concat(this.#received.get(stream) ?? []);
  }

  /** The resets that were sent, as stream and status. */
  resets(): number[][] {
    const resets = this.sent.filter((frame) => frame.readUInt32BE(0) === 0x80030003);
    return resets.map((frame) => [frame.readUInt32BE(8), frame.readUInt32BE(12)]);
  }

  /** The windows that were returned, as stream and bytes. */
  returned(): number[][] {
    const updates = this.sent.filter((frame) => frame.readUInt32BE(0) === 0x80030009);
    return updates.map((frame) => [frame.readUInt32BE(8), frame.readUInt32BE(12)]);
  }

  #data(stream: number): Buffer[] {
    return this.sent.filter((frame) => frame.readUInt32BE(0) === stream);
  }

  sentData(stream: number): number {
    return this.#data(stream).reduce((sum, frame) => sum + frame.length - 8, 0);
  }

  hasEnded(stream: number): boolean {
    return this.#data(stream).some((frame) => frame[4] === 1);
  }
}

/** Writes what a peer may write, with one zlib stream for its header blocks. */
class Peer {
  readonly #writer = new HeaderWriter();

  open(id: number, headers: readonly (readonly [string, string])[] = [], flags = 0): Buffer {
    return this.headers(frameTypes.synStream, id, headers, flags);
  }

  headers(type: number, id: number, headers: readonly (readonly [string, string])[], flags = 0): Buffer {
    const fixed = Buffer.alloc(type === frameTypes.synStream ? 10 : 4);
    fixed.writeUInt32BE(id, 0);
    return controlFrame(type, flags, Buffer.concat([fixed, this.#writer.write(new Map(headers))]));
  }
}

/** Both ends, and the bytes between them in pieces of one size. */
function linked(size: number): { client: End; server: End; settle(): void } {
  const [client, server] = [new End('client'), new End('server')];
  const move = (from: End, to: End): boolean => {
    const bytes = Buffer.concat(from.sent.splice(0));
    for (let at = 0; at < bytes.length; at += size) to.session.push(bytes.subarray(at, at + size));
    return bytes.length > 0;
  };
  const settle = (): void => {
    while ([move(client, server), move(server, client)].includes(true));
  };
  return { client, server, settle };
}

/** A header block before compression, as no writer of ours would have it. */
function block(headers: readonly (readonly [string, string])[]): Buffer {
  const words = headers.flat().map((text) => Buffer.concat([word(text.length), Buffer.from(text)]));
  return Buffer.concat([word(headers.length), ...words]);
}

function word(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function compress(plain: Buffer): Buffer {
  return deflateSync(plain, { dictionary: headerDictionary, finishFlush: constants.Z_SYNC_FLUSH });
}
