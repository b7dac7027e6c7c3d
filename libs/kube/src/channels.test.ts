import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  ChannelError,
  type ChannelProtocol,
  chooseSpdyProtocol,
  chooseWebSocketProtocol,
  decodeChannelMessage,
  encodeChannelData,
  encodeChannelEnd,
  spdyProtocols,
} from './channels.ts';

test('v5 is chosen wherever it stands, then the first that servers know, then what only clients offer', () => {
  const choose = (...offered: string[]): string | undefined => chooseWebSocketProtocol(offered)?.name;
  assert.equal(choose('v5.channel.k8s.io', 'v4.channel.k8s.io', 'v3.channel.k8s.io'), 'v5.channel.k8s.io');
  assert.equal(choose('channel.k8s.io', 'v5.channel.k8s.io'), 'v5.channel.k8s.io');
  assert.equal(choose('v3.channel.k8s.io', 'base64.channel.k8s.io', 'v4.channel.k8s.io'), 'base64.channel.k8s.io');
  assert.equal(choose('x', 'v2.channel.k8s.io', 'v3.channel.k8s.io'), 'v2.channel.k8s.io');
  assert.equal(choose('v5.base64.channel.k8s.io', 'V4.channel.k8s.io', ''), undefined);
  assert.equal(choose(), '');
});

test('over SPDY the first of the client’s that is known is chosen, of several headers or of one', () => {
  assert.equal(chooseSpdyProtocol([...spdyProtocols])?.name, 'v5.channel.k8s.io');
  assert.equal(chooseSpdyProtocol(['x, v3.channel.k8s.io', 'v4.channel.k8s.io'])?.name, 'v3.channel.k8s.io');
  assert.equal(chooseSpdyProtocol(['v4.base64.channel.k8s.io']), undefined);
  assert.equal(chooseSpdyProtocol([]), undefined);
});

test('the versions can what Kubernetes gave them', () => {
  const abilities = ({ hasStatus, canEndStdin, hasResize, isBase64 }: ChannelProtocol): string =>
    [hasStatus && 'status', canEndStdin && 'end', hasResize && 'resize', isBase64 && 'base64']
      .filter(Boolean)
      .join(' ');
  const over = (choose: typeof chooseSpdyProtocol, names: string[]): string[] =>
    names.map((name) => `${name} ${abilities(choose([name]) as ChannelProtocol)}`);
  assert.deepEqual(over(chooseSpdyProtocol, [...spdyProtocols]), [
    'v5.channel.k8s.io status end resize',
    'v4.channel.k8s.io status end resize',
    'v3.channel.k8s.io end resize',
    'v2.channel.k8s.io end',
    'channel.k8s.io end',
  ]);
  const webSocket = ['v5', 'v4', 'v3', 'v2', 'v4.base64', 'base64'].map((version) => `${version}.channel.k8s.io`);
  assert.deepEqual(over(chooseWebSocketProtocol, webSocket), [
    'v5.channel.k8s.io status end resize',
    'v4.channel.k8s.io status resize',
    'v3.channel.k8s.io resize',
    'v2.channel.k8s.io resize',
    'v4.base64.channel.k8s.io status resize base64',
    'base64.channel.k8s.io resize base64',
  ]);
});

const v5 = chooseWebSocketProtocol(['v5.channel.k8s.io']) as ChannelProtocol;
const v4 = chooseWebSocketProtocol(['v4.channel.k8s.io']) as ChannelProtocol;
const base64 = chooseWebSocketProtocol(['v4.base64.channel.k8s.io']) as ChannelProtocol;

function decode(protocol: ChannelProtocol, data: string | number[], from: 'client' | 'server' = 'client'): unknown {
  const isBinary = typeof data !== 'string';
  const bytes = isBinary ? Buffer.from(data) : Buffer.from(data);
  const message = decodeChannelMessage(protocol, { data: bytes, isBinary }, from);
  return message.kind === 'data' ? [message.channel, message.bytes.toString()] : [message.kind];
}

test('a message is its channel and its bytes', () => {
  assert.deepEqual(decode(v5, [0, 104, 105]), ['stdin', 'hi']);
  assert.deepEqual(decode(v5, [4, ...Buffer.from('{"Width":111,"Height":33}\n')]), [
    'resize',
    '{"Width":111,"Height":33}\n',
  ]);
  assert.deepEqual(decode(v5, [3, 123, 125], 'server'), ['error', '{}']);
  assert.deepEqual(decode(base64, '0aGk='), ['stdin', 'hi']);
  assert.deepEqual(decode(base64, '1aGk=', 'server'), ['stdout', 'hi']);
});

test('the end of stdin is FF 00, and only in v5', () => {
  const message = decodeChannelMessage(v5, { data: Buffer.of(255, 0), isBinary: true }, 'client');
  assert.deepEqual(message, { kind: 'end', channel: 'stdin' });
  assert.deepEqual(decode(v4, [255, 0]), ['ignored']);
  for (const wrong of [[255], [255, 0, 0], [255, 9], [255, 1], [255, 255]]) {
    assert.throws(() => decode(v5, wrong), ChannelError, String(wrong));
  }
});

test('what says nothing, or is for a channel that there is not, is ignored as servers do', () => {
  const nothing = [[], [0], [1], [5, 1], [200, 0], [254]];
  for (const data of nothing.slice(0, 2)) assert.deepEqual(decode(v5, data), ['ignored']);
  assert.deepEqual(decode(v5, [1], 'server'), ['ignored'], 'the message with which servers open');
  for (const data of nothing.slice(3)) assert.deepEqual(decode(v5, data), ['ignored']);
  for (const text of ['', '0', '5aGk=', '~', '\u00ff']) assert.deepEqual(decode(base64, text), ['ignored']);
});

test('the wrong kind of message, the wrong side and what is not base64 are refused', () => {
  assert.throws(() => decode(v5, '0hi'), { code: 'BadChannelMessage', message: 'a text message on v5.channel.k8s.io' });
  assert.throws(() => decode(base64, [0x30, 0x61, 0x47, 0x6b, 0x3d]), /a binary message/);
  for (const channel of [1, 2, 3]) assert.throws(() => decode(v5, [channel, 0]), /the client sent on/);
  for (const channel of [0, 4]) assert.throws(() => decode(v5, [channel, 0], 'server'), /the server sent on/);
  for (const text of ['0aGk', '0aG k', '0a===', '0aGk=aGk=', '0aG-_', '0aGk=\n', '0\u00e9aaa']) {
    assert.throws(() => decode(base64, text), /not base64/, text);
  }
});

test('what is encoded is read as it was, a megabyte at a time', () => {
  const bytes = Buffer.alloc(1_000_001, 'abc');
  for (const protocol of [v5, v4, base64]) {
    const { data, isBinary } = encodeChannelData(protocol, 'stdout', bytes);
    assert.equal(typeof data === 'string', protocol.isBase64);
    const message = decodeChannelMessage(protocol, { data: Buffer.from(data as string), isBinary }, 'server');
    assert.ok(message.kind === 'data' && message.channel === 'stdout' && message.bytes.equals(bytes));
  }
  assert.deepEqual(encodeChannelData(v5, 'stdout', Buffer.alloc(0)), { data: Buffer.of(1), isBinary: true });
  assert.deepEqual(encodeChannelEnd(v5, 'stdin'), { data: Buffer.of(255, 0), isBinary: true });
  assert.equal(encodeChannelEnd(v4, 'stdin'), undefined);
});
