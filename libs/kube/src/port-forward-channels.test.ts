import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  choosePortForwardProtocol,
  decodePortForwardMessage,
  encodePortForwardMessage,
  maxForwardedPorts,
  type PortForwardProtocol,
  portForwardPreamble,
  portForwardTunnel,
} from './port-forward-channels.ts';

const binary = choosePortForwardProtocol(['v4.channel.k8s.io']) as PortForwardProtocol;
const base64 = choosePortForwardProtocol(['v4.base64.channel.k8s.io']) as PortForwardProtocol;

test('the tunnel is chosen wherever it stands, then the first form with channels', () => {
  const choose = (...offered: string[]): string | undefined => {
    const chosen = choosePortForwardProtocol(offered);
    return chosen && `${chosen.kind} ${chosen.name}`;
  };
  assert.equal(choose('v4.channel.k8s.io', portForwardTunnel), 'tunnel SPDY/3.1+portforward.k8s.io');
  assert.equal(choose('v5.channel.k8s.io', 'v4.channel.k8s.io', 'channel.k8s.io'), 'channels v4.channel.k8s.io');
  assert.equal(choose('v4.base64.channel.k8s.io', 'v4.channel.k8s.io'), 'channels v4.base64.channel.k8s.io');
  assert.equal(choose(), 'channels ');
  assert.equal(choose('channel.k8s.io'), undefined);
});

test('the server begins each channel with its port, the lower byte first', () => {
  const hex = portForwardPreamble(binary, [80, 8443]).map(({ data }) => Buffer.from(data as Buffer).toString('hex'));
  assert.deepEqual(hex, ['005000', '015000', '02fb20', '03fb20']);
  assert.deepEqual(
    portForwardPreamble(base64, [80]).map(({ data, isBinary }) => [data, isBinary]),
    [
      ['0UAA=', false],
      ['1UAA=', false],
    ],
  );
});

test('bytes of the client are for the port at a place; there is no other channel of the client', () => {
  const decode = (data: number[]): unknown =>
    decodePortForwardMessage(binary, 2, { data: Buffer.from(data), isBinary: true });
  assert.deepEqual(decode([2, 104, 105]), { kind: 'data', place: 1, bytes: Buffer.from('hi') });
  for (const data of [[], [0], [4, 1], [255, 0]]) assert.deepEqual(decode(data), { kind: 'ignored' });
  assert.throws(() => decode([1, 104]), { code: 'BadChannelMessage' });
  const text = { data: Buffer.from('0aGk='), isBinary: false };
  assert.deepEqual(decodePortForwardMessage(base64, 1, text), { kind: 'data', place: 0, bytes: Buffer.from('hi') });
  assert.throws(() => decodePortForwardMessage(binary, 1, text), /a text message/);
  assert.throws(() => decodePortForwardMessage(base64, 1, { ...text, isBinary: true }), /a binary message/);
  assert.throws(() => decodePortForwardMessage(base64, 1, { data: Buffer.from('0aGk'), isBinary: false }), /base64/);
});

test('the last place there is has a channel of one byte in each form', () => {
  for (const protocol of [binary, base64]) {
    const places = maxForwardedPorts(protocol);
    const { data, isBinary } = encodePortForwardMessage(protocol, places - 1, 'data', Buffer.from('hi'));
    const message = decodePortForwardMessage(protocol, places, { data: Buffer.from(data as string), isBinary });
    assert.deepEqual(message, { kind: 'data', place: places - 1, bytes: Buffer.from('hi') });
    const error = encodePortForwardMessage(protocol, places - 1, 'error', Buffer.alloc(0));
    assert.equal(Buffer.from(error.data as string).length, 1);
  }
});
