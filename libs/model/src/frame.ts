import { hash as hashOf } from 'node:crypto';

/**
 * A frame is `header ‖ bytes`. The header is stored verbatim, so that a frame can be proven years
 * later without its bytes: `hash = SHA-256(prev ‖ header without hash ‖ SHA-256(bytes))`.
 *
 * Header layout, version 1, big-endian:
 *
 * | offset | size | field |
 * |---|---|---|
 * | 0 | 4 | length of the header, these four bytes included |
 * | 4 | 1 | version, 1 |
 * | 5 | 1 | kind |
 * | 6 | 1 | length of `ledger` in bytes (L) |
 * | 7 | 1 | reserved, 0 |
 * | 8 | 8 | seq |
 * | 16 | 8 | at, microseconds since the epoch |
 * | 24 | 8 | offset of `bytes` in the body they are part of |
 * | 32 | 16 | call, a UUID |
 * | 48 | 16 | session |
 * | 64 | 4 | length of `meta` in bytes (M) |
 * | 68 | L | ledger, UTF-8 |
 * | 68+L | M | meta, JSON |
 * | 68+L+M | 32 | prev |
 * | 100+L+M | 32 | hash |
 */
export interface Frame {
  readonly ledger: string;
  /** Position in the ledger, from 1, gapless. */
  readonly seq: number;
  /** Call id, a UUIDv7; `noCall` in what a ledger says of itself. */
  readonly call: string;
  /** Session id, 32 hex digits; all zeros where there is no call. */
  readonly session: string;
  /** Microseconds since the epoch, by the writer's clock. Order is by `seq`, never by this. */
  readonly atMicros: number;
  readonly kind: FrameKind;
  /** Bytes of the body before this frame's. 0 for a frame that carries a whole body. */
  readonly offset: number;
  /** JSON text; its shape is `FrameMeta[kind]`. */
  readonly meta: string;
  /** `hash` of the frame before it in the ledger; 32 zero bytes for the first. */
  readonly prev: Uint8Array;
  readonly hash: Uint8Array;
  /** Masked bytes. A view into the message it was decoded from; copy it to keep it. */
  readonly bytes: Uint8Array;
}

/** In the order of their numbers. */
const kinds = [
  'call',
  'response',
  'outcome',
  'opened',
  'seal',
  'closed',
  'ledger-closed',
  'heads',
  'decision',
  'approval',
  'channel',
] as const;

/**
 * Of calls: `call`, the call with its decision and masked request body; `response`, masked response bytes; `outcome`,
 * its end; `channel`, masked bytes of one channel of a stream. Of a call that needed an approval: `approval`, what became of that, by the service that keeps it; `decision`, the
 * second one, which had the grant. Of a ledger: `opened`, its first frame; `seal`, a signature over all before it; `closed`, its writer's last
 * word, followed by one seal. Of the recorder: `ledger-closed`, what became of another writer's ledger; `heads`, the
 * list of ledgers with their heads. `unknown`: a kind of a newer Sluice, kept as it is.
 */
export type FrameKind = (typeof kinds)[number] | 'unknown';

/** The call id and session of a frame that belongs to no call. */
export const noCall = '00000000-0000-0000-0000-000000000000';
export const noSession: string = '0'.repeat(32);

/** Code `BadFrame`: bytes that are not a frame of a version this build knows. */
export class FrameError extends Error {
  readonly code = 'BadFrame';
}

const version = 1;
const fixedBytes = 68;
const hashBytes = 32;
const utf8 = new TextDecoder('utf-8', { fatal: true });

/** The `prev` of a ledger's first frame. */
export const noHash: Uint8Array = new Uint8Array(hashBytes);

/** Encodes and chains a frame. Returns the message (header ‖ bytes) and its hash, a view into it. */
export function encodeFrame(frame: Omit<Frame, 'hash' | 'kind'> & { readonly kind: Exclude<FrameKind, 'unknown'> }): {
  message: Buffer;
  hash: Uint8Array;
} {
  const ledgerBytes = Buffer.byteLength(frame.ledger);
  const metaBytes = Buffer.byteLength(frame.meta);
  if (ledgerBytes > 255) throw new FrameError('ledger name is over 255 bytes');
  const headerBytes = fixedBytes + ledgerBytes + metaBytes + 2 * hashBytes;
  const message = Buffer.allocUnsafe(headerBytes + frame.bytes.byteLength);
  message.writeUInt32BE(headerBytes, 0);
  message[4] = version;
  message[5] = kinds.indexOf(frame.kind);
  message[6] = ledgerBytes;
  message[7] = 0;
  writeUInt64(message, frame.seq, 8);
  writeUInt64(message, frame.atMicros, 16);
  writeUInt64(message, frame.offset, 24);
  message.write(frame.call.replaceAll('-', ''), 32, 16, 'hex');
  message.write(frame.session, 48, 16, 'hex');
  message.writeUInt32BE(metaBytes, 64);
  message.write(frame.ledger, fixedBytes, ledgerBytes, 'utf8');
  message.write(frame.meta, fixedBytes + ledgerBytes, metaBytes, 'utf8');
  const prevAt = fixedBytes + ledgerBytes + metaBytes;
  message.set(frame.prev, prevAt);
  message.set(frame.bytes, headerBytes);
  const hash = frameHash(message, headerBytes, frame.bytes);
  message.set(hash, prevAt + hashBytes);
  return { message, hash };
}

/** Decodes one frame. Throws `FrameError` for anything that is not exactly one; does not check the hash. */
export function decodeFrame(message: Uint8Array): Frame {
  const buffer = Buffer.from(message.buffer, message.byteOffset, message.byteLength);
  if (buffer.length < fixedBytes + 2 * hashBytes) throw new FrameError('shorter than a header');
  const headerBytes = buffer.readUInt32BE(0);
  if (buffer[4] !== version) throw new FrameError(`unknown version ${buffer[4]}`);
  const kind = kinds[buffer[5] ?? 0xff] ?? 'unknown';
  const ledgerBytes = buffer[6] ?? 0;
  const metaBytes = buffer.readUInt32BE(64);
  const metaAt = fixedBytes + ledgerBytes;
  const prevAt = metaAt + metaBytes;
  if (headerBytes !== prevAt + 2 * hashBytes || headerBytes > buffer.length) throw new FrameError('lengths disagree');
  try {
    return {
      ledger: utf8.decode(buffer.subarray(fixedBytes, metaAt)),
      seq: readUInt64(buffer, 8),
      call: uuid(buffer.toString('hex', 32, 48)),
      session: buffer.toString('hex', 48, 64),
      atMicros: readUInt64(buffer, 16),
      kind,
      offset: readUInt64(buffer, 24),
      meta: utf8.decode(buffer.subarray(metaAt, prevAt)),
      prev: buffer.subarray(prevAt, prevAt + hashBytes),
      hash: buffer.subarray(prevAt + hashBytes, headerBytes),
      bytes: buffer.subarray(headerBytes),
    };
  } catch (error) {
    if (error instanceof FrameError) throw error;
    throw new FrameError('ledger or meta is not UTF-8');
  }
}

/** The header of an encoded frame, exactly as it is stored: a view. */
export function frameHeader(message: Uint8Array): Uint8Array {
  return message.subarray(0, new DataView(message.buffer, message.byteOffset).getUint32(0));
}

/** Whether a frame's hash is the hash of what it says. */
export function frameHashHolds(message: Uint8Array): boolean {
  const header = frameHeader(message);
  const computed = frameHash(message, header.byteLength, message.subarray(header.byteLength));
  return Buffer.compare(computed, header.subarray(header.byteLength - hashBytes)) === 0;
}

function frameHash(message: Uint8Array, headerBytes: number, bytes: Uint8Array): Buffer {
  const prevAt = headerBytes - 2 * hashBytes;
  const headerEnd = prevAt + hashBytes;
  const hashed = Buffer.allocUnsafe(hashBytes + headerEnd + hashBytes);
  hashed.set(message.subarray(prevAt, headerEnd));
  hashed.set(message.subarray(0, headerEnd), hashBytes);
  hashed.set(sha256(bytes), hashBytes + headerEnd);
  return sha256(hashed);
}

/** In one call: it takes half as long as a `Hash` that is made, fed and asked. */
function sha256(bytes: Uint8Array): Buffer {
  return hashOf('sha256', bytes, 'buffer');
}

/** In halves: a BigInt for each number costs more than the rest of a header. */
function writeUInt64(buffer: Buffer, value: number, at: number): void {
  buffer.writeUInt32BE(Math.floor(value / 2 ** 32), at);
  buffer.writeUInt32BE(value % 2 ** 32, at + 4);
}

function readUInt64(buffer: Buffer, at: number): number {
  const value = buffer.readUInt32BE(at) * 2 ** 32 + buffer.readUInt32BE(at + 4);
  if (!Number.isSafeInteger(value)) throw new FrameError('number exceeds 2^53');
  return value;
}

function uuid(hex: string): string {
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
