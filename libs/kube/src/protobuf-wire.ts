import { BodyError } from './body-error.ts';

/** How a value is written: 0 varint, 1 eight bytes, 2 a length and as many bytes, 5 four bytes. Groups (3, 4) are refused. */
export type WireType = 0 | 1 | 2 | 5;

/** Where a value stands: of wire type 2 without its length. */
export interface Span {
  readonly wire: WireType;
  readonly start: number;
  readonly end: number;
}

/** A varint carries seven bits a byte, of 64. */
const longestVarintBytes = 10;

/**
 * Reads the fields of a message in their order (protobuf.dev/programming-guides/encoding), each in constant time.
 * Throws `BodyError` at what Kubernetes' own readers refuse, and at numbers that are longer than any real ones, which
 * they would cut to size.
 */
export function eachField(bytes: Buffer, { start, end }: Span, visit: (number: number, value: Span) => void): void {
  for (let at = start; at < end; ) {
    const tagEnd = varintEnd(bytes, at, end);
    const tag = unsigned(bytes, at, tagEnd);
    const number = Math.floor(tag / 8);
    if (number === 0 || tag > 0xffff_ffff) throw new BodyError(`no field has such a number, at byte ${at}`);
    const value = valueAt(bytes, tag % 8, tagEnd, end);
    visit(number, value);
    at = value.end;
  }
}

/** The values of a list that is packed: varints one after the other. */
export function unpacked(bytes: Buffer, { start, end }: Span): Span[] {
  const values: Span[] = [];
  for (let at = start; at < end; ) {
    const next = varintEnd(bytes, at, end);
    values.push({ wire: 0, start: at, end: next });
    at = next;
  }
  return values;
}

/** The varint as a two's complement integer of that many bits: higher ones are dropped, as in Go. */
export function integer(bytes: Buffer, { start, end }: Span, bits: 32 | 64): bigint {
  let value = 0n;
  for (let at = end - 1; at >= start; at--) value = (value << 7n) | BigInt((bytes[at] as number) & 0x7f);
  return BigInt.asIntN(bits, value);
}

function valueAt(bytes: Buffer, wire: number, at: number, end: number): Span {
  switch (wire) {
    case 0:
      return { wire, start: at, end: varintEnd(bytes, at, end) };
    case 1:
      return { wire, start: at, end: within(at + 8, end) };
    case 2: {
      const start = varintEnd(bytes, at, end);
      return { wire, start, end: within(start + unsigned(bytes, at, start), end) };
    }
    case 5:
      return { wire, start: at, end: within(at + 4, end) };
    default:
      throw new BodyError(`wire type ${wire} before byte ${at}`);
  }
}

function varintEnd(bytes: Buffer, start: number, end: number): number {
  const limit = Math.min(end, start + longestVarintBytes);
  for (let at = start; at < limit; at++) if ((bytes[at] as number) < 0x80) return at + 1;
  throw new BodyError(`a number without an end, at byte ${start}`);
}

/** Exact up to 2^53; anything above is too much for whoever asks. */
function unsigned(bytes: Buffer, start: number, end: number): number {
  let value = 0;
  for (let at = end - 1; at >= start; at--) value = value * 128 + ((bytes[at] as number) & 0x7f);
  return value;
}

function within(at: number, end: number): number {
  if (at > end) throw new BodyError('it stops half way');
  return at;
}
