// One call followed from end to end: frames on a real broker, the control socket, the command.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { encodeFrame, noHash, queueGroups, streams, subjects } from '@sluice/model';
import { type Broker, createLogger, openBroker } from '@sluice/runtime';
import { removeScratch, scratch, TestBroker, until, within } from '@sluice/testing';
import { FollowedText } from '../follow.ts';
import { type HomePaths, homePaths } from '../home.ts';
import { begun, ended, id, ran, row } from '../stream-fixtures.ts';
import { type TailEvent, tail } from '../tail.ts';
import { listenControl } from './control.ts';
import { Tail } from './tail.ts';

const log = createLogger('test', '/dev/null');
const runs = { ...row, status: null, outcome: null, exitCode: null };

interface Bench {
  readonly home: HomePaths;
  readonly broker: Broker;
  /** The connections that the tail has opened. */
  readonly opened: readonly Broker[];
}

/** A Sluice whose record has this one call. */
async function bench(t: TestContext, call = begun(ran), listed: typeof row | typeof runs = runs): Promise<Bench> {
  const dir = scratch();
  const server = await TestBroker.start();
  const broker = await openBroker(server.env, 'test', log);
  const recorder = await openBroker(server.env, 'test recorder', log);
  recorder.respond(subjects.records, queueGroups.recorder, (payload) => {
    const question = JSON.parse(Buffer.from(payload).toString()) as { kind: string; call: string };
    const isKnown = question.call === id;
    const calls = { kind: 'calls', calls: isKnown ? [listed] : [] };
    const frames = { kind: 'frames', frames: isKnown ? [call] : [], more: false };
    return Buffer.from(JSON.stringify(question.kind === 'calls' ? calls : frames));
  });
  await recorder.nats.flush();
  const opened: Broker[] = [];
  const follow = new Tail(async () => {
    const connection = await openBroker(server.env, 'control tail', log);
    opened.push(connection);
    return connection;
  });
  const control = await listenControl(join(dir, 'control.sock'), broker, follow, { name: 'local:test', groups: [] });
  t.after(async () => {
    await control.close();
    await Promise.all([broker.drain(), recorder.drain()]);
    await server.close();
    removeScratch(dir);
  });
  return { home: homePaths(dir), broker, opened };
}

let seq = 0;
function publish(
  { nats }: Broker,
  of: string,
  kind: 'channel' | 'response' | 'outcome',
  meta: string,
  bytes: Uint8Array = Buffer.alloc(0),
): Buffer {
  const atMicros = Date.parse('2026-11-23T12:10:17.000Z') * 1_000;
  const frame = { ledger: 'l', seq: ++seq, call: of, session: '0'.repeat(32), atMicros, offset: 0, prev: noHash };
  const { message } = encodeFrame({ ...frame, kind, meta, bytes });
  nats.publish(`${streams[kind === 'outcome' ? 'calls' : 'bytes'].prefix}.2`, message);
  return message;
}

/** What the command prints, as it comes; on a terminal, or not. */
function following(home: HomePaths, json: boolean, on: 'terminal' | 'pipe' = 'pipe') {
  const out = Object.assign(new PassThrough(), { isTTY: on === 'terminal' });
  const stop = new AbortController();
  let text = '';
  out.on('data', (data: Buffer) => {
    text += data.toString();
  });
  const ending = tail(home, id, json ? { json: true } : {}, out, stop.signal);
  return { ending, stop, text: () => text };
}

/** Publishes to the call until something is heard: somebody follows. */
async function untilHeard({ broker }: Bench, text: () => string): Promise<void> {
  await until('the tail to listen', () => {
    publish(broker, id, 'channel', '{"channel":"stderr"}', Buffer.from('heard'));
    return text().includes('heard');
  });
}

const end = ended(5, 3).meta;
const other = '01a20850-635b-7dcb-abe1-000000000009';
const linesOf = (text: string): string[] => text.split('\n').filter((line) => line !== '' && !line.includes('heard'));

test('the bytes of one call are told line by line, each frame once, until it ends; nothing commands a terminal', async (t) => {
  const around = await bench(t);
  const { home, broker, opened } = around;
  const { ending, text } = following(home, false);
  await untilHeard(around, text);
  const message = publish(
    broker,
    id,
    'channel',
    '{"channel":"stdout"}',
    Buffer.from('one\u001b[2J\r\ntwo \xe2', 'latin1'),
  );
  broker.nats.publish(`${streams.bytes.prefix}.2`, message);
  publish(broker, other, 'channel', '{"channel":"stdout"}', Buffer.from('of another'));
  publish(broker, id, 'channel', '{"channel":"stdout"}', Buffer.from([0x82, 0xac]));
  publish(broker, id, 'channel', '{"channel":"stdin"}', Buffer.from('exit\n'));
  const port = { channel: 'port', connection: 1, port: 80, event: 'closed', inBytes: 3, outBytes: 4 };
  publish(broker, id, 'channel', JSON.stringify(port));
  publish(broker, id, 'response', '{"status":200,"contentType":"text/plain"}', Buffer.from('a log\n'));
  publish(broker, id, 'outcome', end);
  await within('its end', ending);
  const at = '12:10:17.000';
  const about = "demo: create pods/exec shop/web: sh -c 'ls; id'";
  assert.deepEqual(linesOf(text()), [
    `12:10:16.123  ${about}  allow AllowedByRule  ${id}`,
    `${at}  stdout  one\\u001b[2J`,
    `${at}  stdout  two`,
    `${at}  stdout  €`,
    `${at}  stdin  exit`,
    `${at}  connection 1 to port 80 closed: 3 bytes in, 4 bytes out`,
    `${at}  body  a log`,
    `${at}  ${about}  completed 101, exit code 3 after 5.0 ms  ${id}`,
  ]);
  await until('the end of its connection', () => opened.every(({ nats }) => nats.isClosed()));
  assert.equal(opened.length, 1);
});

test('as JSON the bytes are text, or base64 where they are none by themselves', async (t) => {
  const around = await bench(t);
  const { home, broker } = around;
  const { ending, text } = following(home, true);
  await untilHeard(around, text);
  publish(broker, id, 'channel', '{"channel":"stdout"}', Buffer.from('€'));
  publish(broker, id, 'channel', '{"channel":"stdout"}', Buffer.from([0xff, 0x00]));
  publish(broker, id, 'outcome', end);
  await within('its end', ending);
  const events = linesOf(text()).map((line) => JSON.parse(line) as TailEvent);
  const common = { kind: 'channel', call: id, at: '2026-11-23T12:10:17.000Z', channel: 'stdout', offset: 0 };
  assert.deepEqual(events.slice(1, 3), [
    { ...common, text: '€' },
    { ...common, bytesBase64: '/wA=' },
  ]);
  assert.deepEqual(
    events.map((event) => [event.kind, 'agent' in event ? event.agent : '']),
    [
      ['decision', 'demo'],
      ['channel', ''],
      ['channel', ''],
      ['outcome', 'demo'],
    ],
  );
});

test('a terminal is shown on a terminal as it is, what draws of it; and in the end it is as it was', async (t) => {
  const around = await bench(t, begun({ ...ran, tty: true }));
  const { home, broker } = around;
  const { ending, text } = following(home, false, 'terminal');
  await untilHeard(around, text);
  publish(broker, id, 'channel', '{"channel":"stdin"}', Buffer.from('typed'));
  publish(broker, id, 'channel', '{"channel":"stdout"}', Buffer.from('\u001b[31mred\u001b]52;c;AAAA\u0007\u001b[6n'));
  publish(broker, id, 'outcome', end);
  await within('its end', ending);
  assert.match(text(), /heard\u001b\[31mred\u001b\[!p.*completed 101, exit code 3/su);
  assert.doesNotMatch(text(), /typed|AAAA|\[6n/);
});

test('while nobody follows a call, its bytes are not listened to', async (t) => {
  const { home, broker, opened } = await bench(t);
  const out = new PassThrough();
  const stop = new AbortController();
  const ending = tail(home, null, {}, out, stop.signal);
  await until('an outcome to be told', () => {
    publish(broker, other, 'outcome', end);
    return out.readableLength > 0;
  });
  publish(broker, id, 'channel', '{"channel":"stdout"}', Buffer.alloc(200_000));
  publish(broker, id, 'outcome', end);
  await until('the outcome of the call', () => String(out.read() ?? '').includes(id));
  assert.equal(opened.length, 1);
  assert.ok((opened[0]?.nats.stats().inBytes ?? 0) < 100_000);
  stop.abort();
  await ending;
});

test('a call that is not there, one that has ended, and a call with an agent are refused in one sentence', async (t) => {
  const { home } = await bench(t, begun(ran), row);
  const { signal } = new AbortController();
  const refused = (call: string, message: string) =>
    assert.rejects(tail(home, call, {}, new PassThrough(), signal), { message });
  await refused(id, `call ${id} has ended; \`sluice replay ${id}\` shows it`);
  await refused(other, `no call ${other} in the record; \`sluice tail\` shows what runs`);
  await assert.rejects(tail(home, id, { agent: 'demo' }, new PassThrough(), signal), /name the call, or the agent/);
});

test('a long line is shortened', () => {
  const text = new FollowedText('lines').bytes({
    kind: 'channel',
    call: id,
    at: '2026-11-23T12:10:17.000Z',
    channel: 'stdout',
    offset: 0,
    text: 'x'.repeat(300_000),
  });
  assert.ok(text.length < 2_100);
});
