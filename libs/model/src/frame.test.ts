import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { decodeFrame, encodeFrame, FrameError, frameHashHolds, frameHeader, noHash } from './frame.ts';

const frame = {
  ledger: 'ingress-20261123T000000000Z-0a1b2c3d',
  seq: 7,
  call: '01a20850-635b-7dcb-abe1-3e7176b59372',
  session: '000102030405060708090a0b0c0d0e0f',
  atMicros: 1_795_435_787_932_000,
  kind: 'response',
  offset: 262_144,
  meta: '{"status":200,"contentType":"application/json; Zürich"}',
  prev: createHash('sha256').update('before').digest(),
  bytes: Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)),
} as const;

test('a frame comes back as it was encoded, every byte of it', () => {
  const { message, hash } = encodeFrame(frame);
  const { bytes, prev, hash: decodedHash, ...rest } = decodeFrame(message);
  const { bytes: _bytes, prev: _prev, ...expected } = frame;
  assert.deepEqual(rest, expected);
  assert.deepEqual(Buffer.from(bytes), frame.bytes);
  assert.deepEqual(Buffer.from(prev), frame.prev);
  assert.deepEqual(Buffer.from(decodedHash), Buffer.from(hash));
});

test('the hash is SHA-256 of prev, header without hash, and SHA-256 of the bytes', () => {
  const { message, hash } = encodeFrame(frame);
  const header = Buffer.from(frameHeader(message));
  const expected = createHash('sha256')
    .update(frame.prev)
    .update(header.subarray(0, -32))
    .update(createHash('sha256').update(frame.bytes).digest())
    .digest();
  assert.deepEqual(Buffer.from(hash), expected);
});

test('the layout stands where the table says, so that other programs can read it', () => {
  const { message } = encodeFrame(frame);
  assert.equal(message.readUInt32BE(0), message.length - frame.bytes.length);
  assert.equal(message[4], 1);
  assert.equal(message.readBigUInt64BE(8), 7n);
  assert.equal(message.toString('hex', 32, 48), frame.call.replaceAll('-', ''));
  assert.equal(message.toString('hex', 48, 64), frame.session);
  assert.equal(message.toString('utf8', 68, 68 + frame.ledger.length), frame.ledger);
});

test('whatever byte is changed, the hash no longer holds or it is no frame', () => {
  const { message } = encodeFrame(frame);
  assert.ok(frameHashHolds(message));
  for (let at = 0; at < message.length; at++) {
    const changed = Buffer.from(message);
    changed[at] = (changed[at] ?? 0) ^ 1;
    try {
      decodeFrame(changed);
    } catch (error) {
      assert.ok(error instanceof FrameError);
      continue;
    }
    assert.ok(!frameHashHolds(changed), `byte ${at}`);
  }
});

test('what is cut anywhere in its header is no frame', () => {
  const { message } = encodeFrame(frame);
  for (let length = 0; length < message.readUInt32BE(0); length++) {
    assert.throws(() => decodeFrame(message.subarray(0, length)), FrameError, `cut at ${length}`);
  }
});

test('the first frame of a ledger follows 32 zero bytes', () => {
  assert.deepEqual(Buffer.from(noHash), Buffer.alloc(32));
});
