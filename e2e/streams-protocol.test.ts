// Streams byte by byte, as no client library would speak them: what is refused reaches nobody, what breaks a protocol ends
// its stream and nothing else, and an upgrade that failed never becomes a tunnel.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import type { DemoCluster, Failpoint, LogEntry } from '@sluice/demo-cluster';
import type { CallRow } from '@sluice/model';
import { happens, openDemo, removeScratch, Sluice, scratch, type Upstream, until, within } from '@sluice/testing';
import { everyStream } from './streams.ts';

const dir = scratch();
const pod = '/api/v1/namespaces/shop/pods/toolbox';
const exec = (...command: readonly string[]): string =>
  `${pod}/exec?${command.map((one) => `command=${encodeURIComponent(one)}`).join('&')}&stdout=true&stderr=true&stdin=true`;
let upstream: Upstream & { readonly cluster: DemoCluster };
let sluice: Sluice;

before(async () => {
  upstream = await openDemo(dir);
  sluice = await Sluice.start({
    home: join(dir, 'home'),
    flags: ['--kubeconfig', upstream.kubeconfig, '--policies', everyStream],
  });
});

after(async () => {
  await sluice?.stop();
  await upstream?.close();
  removeScratch(dir);
});

/** A WebSocket of which each byte is the test's. */
class RawSocket {
  readonly closed: Promise<unknown>;
  readonly #socket: TLSSocket;
  #bytes: Buffer = Buffer.alloc(0);

  private constructor(socket: TLSSocket) {
    this.#socket = socket;
    this.closed = happens(socket, 'close');
    socket.on('error', () => undefined);
    socket.on('data', (data: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, data]);
    });
  }

  /** `behind`: sent at once, without waiting for an answer. */
  static async open(
    target: string,
    headers: Readonly<Record<string, string>>,
    behind: Buffer = Buffer.alloc(0),
  ): Promise<RawSocket> {
    const made = new RawSocket(await sluice.socket());
    const lines = Object.entries({ Host: 'sluice', Authorization: `Bearer ${sluice.token()}`, ...headers });
    const head = `GET ${target} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
    made.write(Buffer.concat([Buffer.from(head), behind]));
    return made;
  }

  write(bytes: Buffer): void {
    this.#socket.write(bytes);
  }

  /** The head of the answer; what follows stays. */
  async head(): Promise<string> {
    const end = await until('the head of an answer', () => {
      const at = this.#bytes.indexOf('\r\n\r\n');
      return at === -1 ? null : at + 4;
    });
    const head = this.#bytes.toString('latin1', 0, end);
    this.#bytes = this.#bytes.subarray(end);
    return head;
  }

  /** Payloads of data messages so far, by channel; a close frame is channel `close`, with its code. */
  messages(): readonly { readonly channel: number | 'close'; readonly text: string }[] {
    const found: { channel: number | 'close'; text: string }[] = [];
    for (let at = 0; at + 2 <= this.#bytes.length; ) {
      const opcode = (this.#bytes[at] as number) & 0x0f;
      let length = (this.#bytes[at + 1] as number) & 0x7f;
      let from = at + 2;
      if (length === 126) length = this.#bytes.readUInt16BE(from);
      if ((this.#bytes[at + 1] as number) === 126) from += 2;
      if ((this.#bytes[at + 1] as number) === 127) {
        length = Number(this.#bytes.readBigUInt64BE(from));
        from += 8;
      }
      if (from + length > this.#bytes.length) break;
      const payload = this.#bytes.subarray(from, from + length);
      if (opcode === opcodes.close) found.push({ channel: 'close', text: String(payload.readUInt16BE(0)) });
      else if (opcode === opcodes.binary)
        found.push({ channel: payload[0] ?? -1, text: payload.toString('latin1', 1) });
      at = from + length;
    }
    return found;
  }

  /** What came on one channel. */
  text(channel: number): string {
    return this.messages()
      .filter((message) => message.channel === channel)
      .map(({ text }) => text)
      .join('');
  }

  /** Answers the close frame, as a client has to, or its end would be waited for. */
  async ended(): Promise<void> {
    await until('a close frame', () => this.messages().some(({ channel }) => channel === 'close'));
    this.write(frame(Buffer.from([3, 232]), { opcode: opcodes.close }));
    await within('its end', this.closed);
  }

  get received(): Buffer {
    return this.#bytes;
  }

  destroy(): void {
    this.#socket.destroy();
  }
}

const opcodes = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9 } as const;

interface FrameOptions {
  readonly opcode?: number;
  readonly isLast?: boolean;
  readonly isMasked?: boolean;
  /** What the head says, whatever follows. */
  readonly length?: number;
}

/** A frame (RFC 6455, 5.2). */
function frame(
  payload: Buffer,
  { opcode = opcodes.binary, isLast = true, isMasked = true, length }: FrameOptions = {},
): Buffer {
  const size = length ?? payload.length;
  const head = size < 126 ? Buffer.from([0, size]) : size < 65_536 ? Buffer.alloc(4) : Buffer.alloc(10);
  if (size >= 65_536) head.writeBigUInt64BE(BigInt(size), 2);
  else if (size >= 126) head.writeUInt16BE(size, 2);
  if (size >= 126) head[1] = size < 65_536 ? 126 : 127;
  head[0] = (isLast ? 0x80 : 0) | opcode;
  if (!isMasked) return Buffer.concat([head, payload]);
  head[1] = (head[1] as number) | 0x80;
  const key = randomBytes(4);
  return Buffer.concat([head, key, payload.map((byte, at) => byte ^ (key[at % 4] as number))]);
}

const stdin = (text: string): Buffer => Buffer.from(`\0${text}`, 'latin1');
const endOfStdin = Buffer.from([255, 0]);

const switching = (protocol: string): Readonly<Record<string, string>> => ({
  Connection: 'Upgrade',
  Upgrade: 'websocket',
  'Sec-WebSocket-Version': '13',
  'Sec-WebSocket-Key': randomBytes(16).toString('base64'),
  'Sec-WebSocket-Protocol': protocol,
});

/** An exec that stands. */
async function opened(target: string, protocol = 'v5.channel.k8s.io', behind?: Buffer): Promise<RawSocket> {
  const socket = await RawSocket.open(target, switching(protocol), behind);
  assert.match(await socket.head(), /^HTTP\/1\.1 101 /);
  return socket;
}

type Stream = Extract<LogEntry, { kind: 'stream' }>;

function clusterStreams(): Stream[] {
  return upstream.cluster.log.filter((entry): entry is Stream => entry.kind === 'stream');
}

function requests(): number {
  return upstream.cluster.log.filter(({ kind }) => kind === 'request').length;
}

const told = new Set<string>();

/** The newest call of a stream, once it has ended; each one once, as the recorder may be behind. */
async function lastCall(): Promise<CallRow> {
  const call = await until('the outcome of a stream', async () => {
    const row = (await sluice.calls()).find(({ resource }) => resource.startsWith('pods/'));
    return row !== undefined && row.outcome !== null && !told.has(row.id) && row;
  });
  told.add(call.id);
  return call;
}

/** The newest stream has ended in the cluster as well. */
async function assertClosed(): Promise<void> {
  const stream = clusterStreams().at(-1)?.stream;
  await until('the end of the stream in the cluster', () =>
    upstream.cluster.log.some((entry) => entry.kind === 'stream-closed' && entry.stream === stream),
  );
}

test('case 21: what is no stream is never upgraded, and the cluster hears nothing of it', async () => {
  const before = requests();
  for (const target of [
    '/api/v1/namespaces/shop/pods?watch=true',
    '/api/v1/namespaces/shop/secrets',
    '/api/v1/namespaces/shop/secrets?watch=true',
    `${pod}/log?follow=true`,
    `${pod}/proxy/`,
  ]) {
    const socket = await RawSocket.open(target, switching('v4.channel.k8s.io'), frame(stdin('x')));
    assert.match(await socket.head(), /^HTTP\/1\.1 4\d\d /, target);
    await within('its end', socket.closed);
  }
  for (const upgrade of ['foo', 'h2c', 'websocket, h2c']) {
    const socket = await RawSocket.open(exec('id'), { ...switching('v5.channel.k8s.io'), Upgrade: upgrade });
    assert.match(await socket.head(), /^HTTP\/1\.1 400 /, upgrade);
    await within('its end', socket.closed);
  }
  assert.equal(requests(), before);
});

void describe('case 22: an upgrade that the cluster does not take never becomes a tunnel', () => {
  const answers: Readonly<Partial<Record<Failpoint['kind'], RegExp>>> = {
    'refuse-forbidden': /^HTTP\/1\.1 403 /,
    'refuse-ok': /^HTTP\/1\.1 (200|502) /,
    // These are Sluice's own words: it says them on a stream, if the agent can still read one.
    'refuse-redirect': /^HTTP\/1\.1 101 /,
    'refuse-garbage': /^HTTP\/1\.1 101 /,
  };
  for (const [kind, answer] of Object.entries(answers)) {
    test(kind, async () => {
      const armed = upstream.cluster.arm({ kind: kind as Failpoint['kind'], target: '/exec' });
      const before = clusterStreams().length;
      const came = upstream.cluster.log.length;
      const smuggled = Buffer.from('GET /api/v1/namespaces/smuggled HTTP/1.1\r\nHost: x\r\n\r\n');
      const socket = await RawSocket.open(exec('id'), switching('v5.channel.k8s.io'), smuggled);
      const head = await socket.head();
      armed.release();
      assert.match(head, answer);
      assert.doesNotMatch(head, /elsewhere/);
      socket.write(smuggled);
      await within('its end', socket.closed);
      assert.equal(socket.text(1), '');
      assert.equal(clusterStreams().length, before);
      const said = upstream.cluster.log.slice(came).filter((entry) => entry.kind === 'request');
      assert.ok(said.every(({ target }) => !target.includes('smuggled')));
      // What comes next has a connection of its own.
      const next = await opened(exec('echo', 'on'));
      await until('the answer of the next', () => next.text(1) === 'on\n');
      next.destroy();
    });
  }
});

test('case 23: what is sent behind an upgrade is read as frames when it is taken, and by nobody when it is refused', async () => {
  const early = Buffer.concat([frame(stdin('early\n')), frame(endOfStdin)]);
  const taken = await opened(exec('cat'), 'v5.channel.k8s.io', early);
  await until('the answer', () => taken.text(1) === 'early\n');
  await until('its status', () => taken.text(3) !== '');
  await taken.ended();
  assert.match(taken.text(3), /"status":"Success"/);

  const before = requests();
  const refused = await RawSocket.open(exec('id'), switching('base64url.bearer.authorization.k8s.io.x'), early);
  assert.match(await refused.head(), /^HTTP\/1\.1 400 /);
  refused.destroy();
  assert.equal(requests(), before);
});

void describe('case 26: what breaks the protocol of a stream ends it', () => {
  const breaking: readonly (readonly [what: string, bytes: Buffer])[] = [
    ['a text message', frame(stdin('x'), { opcode: opcodes.text })],
    ['a message of 33 MiB', frame(stdin('x'), { length: 33 * 1024 * 1024 })],
    ['a frame without a mask', frame(stdin('x'), { isMasked: false })],
    ['a continuation of nothing', frame(stdin('x'), { opcode: opcodes.continuation })],
    ['bytes on what the pod says', frame(Buffer.from([1, 1]))],
  ];
  for (const [what, bytes] of breaking) {
    test(what, async () => {
      const socket = await opened(exec('cat'));
      socket.write(frame(stdin('before\n')));
      await until('the answer', () => socket.text(1) === 'before\n');
      socket.write(bytes);
      socket.write(frame(stdin('behind\n')));
      await within('its end', socket.closed);
      await assertClosed();
      const call = await lastCall();
      assert.deepEqual(
        [call.outcome === 'completed', call.reasonCode],
        [false, 'StreamNotReadable'],
        call.outcome ?? '',
      );
      const stream = clusterStreams().at(-1)?.stream;
      const got = upstream.cluster.log.flatMap((entry) =>
        entry.kind === 'channel' && entry.stream === stream && entry.channel === 'stdin'
          ? [entry.bytes.toString()]
          : [],
      );
      assert.equal(got.join(''), 'before\n', 'the pod got what came behind');
    });
  }

  test('an empty message, a channel nobody has, a ping inside a message, and a message in many frames break nothing', async () => {
    const socket = await opened(exec('cat'));
    socket.write(frame(Buffer.alloc(0)));
    socket.write(frame(Buffer.from([0])));
    socket.write(frame(Buffer.from([7, 1])));
    socket.write(frame(stdin('one '), { isLast: false }));
    socket.write(frame(Buffer.from('are you there'), { opcode: opcodes.ping }));
    for (const [at, part] of ['two ', 'three\n'].entries())
      socket.write(frame(Buffer.from(part), { opcode: opcodes.continuation, isLast: at === 1 }));
    await until('the answer', () => socket.text(1) === 'one two three\n');
    assert.ok(socket.received.includes('are you there'), 'a pong');
    socket.write(frame(endOfStdin));
    await socket.ended();
    const call = await lastCall();
    assert.equal(call.outcome, 'completed');
    const said = (await sluice.frames(call.id)).flatMap(({ kind, meta, bytesBase64 }) =>
      kind === 'channel' && 'channel' in meta && meta.channel === 'stdin' ? [Buffer.from(bytesBase64, 'base64')] : [],
    );
    assert.equal(Buffer.concat(said).toString(), 'one two three\n');
  });
});

void describe('case 27: what is no SPDY ends its connection, and nothing runs', () => {
  const syn = (length: number, rest: Buffer): Buffer =>
    Buffer.concat([Buffer.from([0x80, 3, 0, 1, 0, length >> 16, (length >> 8) & 0xff, length & 0xff]), rest]);
  const breaking: readonly (readonly [what: string, bytes: Buffer])[] = [
    ['headers that cannot be inflated', syn(14, Buffer.from([0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]))],
    ['a stream of 16 MB of headers', syn(0xffffff, Buffer.alloc(64))],
  ];
  for (const [what, bytes] of breaking) {
    test(what, async () => {
      const before = clusterStreams().length;
      const socket = await RawSocket.open(exec('touch', '/tmp/ran'), {
        Connection: 'Upgrade',
        Upgrade: 'SPDY/3.1',
        'X-Stream-Protocol-Version': 'v4.channel.k8s.io',
      });
      assert.match(await socket.head(), /^HTTP\/1\.1 101 /);
      socket.write(bytes);
      await within('its end', socket.closed);
      assert.notEqual((await lastCall()).outcome, 'completed');
      // It may have been opened already; then it is closed, and its command was never fed.
      if (clusterStreams().length > before) await assertClosed();
    });
  }
});

test('case 29: over v4, which cannot end stdin, a command that reads to its end runs until the agent leaves', async () => {
  const socket = await opened(exec('sha256sum'), 'v4.channel.k8s.io');
  socket.write(frame(stdin('x')));
  socket.write(frame(endOfStdin));
  await until('the stream in the cluster', () => clusterStreams().at(-1)?.target.includes('sha256sum'));
  await sluice.calls();
  assert.equal(socket.text(1), '');
  assert.equal(socket.text(3), '');
  socket.destroy();
  await assertClosed();
});

test('an agent that is gone ends its command in the cluster, and the record says who left', async () => {
  const socket = await opened(exec('sh', '-c', 'echo on; sleep 600'));
  await until('its beginning', () => socket.text(1) === 'on\n');
  socket.destroy();
  await assertClosed();
  assert.equal((await lastCall()).outcome, 'aborted');
});
