// Masks secrets in a text that comes in pieces: what the pieces come out as is what the whole text would have. What has to
// be known of the pieces before travels with the next one, so any worker can take it. Pure.

import { type OpenFinding, type Pace, type Scan, scan, united } from './detect.ts';
import type { Finding } from './finding.ts';
import type { NewMask } from './mask-values.ts';
import { endOf, sets, type Until } from './secret-bytes.ts';

/** The next bytes of a text. */
export interface TextPiece {
  /** What the piece before gave; empty at the beginning of the text. */
  readonly carry: Buffer;
  readonly bytes: Buffer;
  /** Nothing follows soon, or ever: what is only the beginning of what might be a secret goes out. */
  readonly flush: boolean;
  /**
   * Somebody types it or reads it as it comes: what might be a secret is held from its fourth byte on, and names not at all.
   * Up to 3 leading bytes of a secret pass.
   */
  readonly isTyped?: boolean;
  /**
   * Places count, as in a tar: each mask is cut, or filled up with `*`, to the length of what it replaces, so as many bytes
   * come out as went in. What looks like a secret inside a header of a tar is masked as well; its checksum is wrong then,
   * and tar refuses the archive: better than a name that is a token.
   */
  readonly keepsLength?: boolean;
}

/** Finds what no detector does: values that were shown masked before, patterns of policies. `decided`: see `Scan`. */
export type FindMore = (
  text: Buffer,
  pace: Pace,
) => { readonly findings: readonly Finding[]; readonly decided: number };

export interface MaskedText {
  readonly bytes: Buffer;
  readonly carry: Buffer;
  readonly masks: number;
  /** So many of the last bytes given are held back in the carry. */
  readonly held: number;
  /** `bytes` is what was held back before, and what was given, without what is held back now. */
  readonly isUnchanged: boolean;
}

/** A secret is masked by its first bytes, and so is what of it is held back. */
const maxHeldBytes = 4096;
/** Bytes that went out already, and tell what the next ones are. */
const contextBytes = 256;

/** Throws `RangeError` for a carry that is none. */
export function maskText(newMask: NewMask, find: readonly FindMore[], piece: TextPiece): MaskedText {
  const { carry, bytes, flush, isTyped = false, keepsLength = false } = piece;
  const state = decode(carry);
  const text = Buffer.concat([state.context, state.held, bytes]);
  const base = state.context.length;
  const parts: Buffer[] = [];
  let from = base;
  if (state.inside !== null) {
    const end = endOf(state.inside, text, base);
    from = end === -1 ? text.length : end;
    // Its mask has gone out already.
    if (keepsLength) parts.push(Buffer.alloc(from - base, filler));
    if (end === -1) {
      const swallowed = { bytes: Buffer.concat(parts), masks: 0, held: 0, isUnchanged: from === base };
      return { ...swallowed, ...carried(text, from, state.inside) };
    }
  }
  const look = (isEnd: boolean): Scan =>
    find.reduce<Scan>((all, more) => both(all, more(text, { isEnd, isTyped })), scan(text, { isEnd, isTyped }));
  let { findings, decided } = look(flush);
  // Too much for a beginning: whatever it is has been seen by now.
  if (!flush && text.length - decided > maxHeldBytes) ({ findings, decided } = look(true));
  // Where older bytes were cut off nobody knows whether a word begins.
  const isWhole = ({ start, by }: OpenFinding): boolean => start > 0 || base < contextBytes || by === 'known';
  const ahead = findings.filter((finding) => finding.end > from && isWhole(finding));
  const last = ahead.at(-1);
  const isOpen = last !== undefined && last.end === text.length && last.until !== 'nothing';

  let cut = Math.max(decided, from);
  // What has gone out of it already cannot be held.
  if (isOpen && !flush && text.length - last.start <= maxHeldBytes) cut = Math.min(cut, Math.max(last.start, from));
  for (const { start, end } of ahead) {
    // A secret goes out as a whole, so that nobody sees where it was cut.
    if (start < cut && cut < end && !(isOpen && end === text.length)) cut = Math.max(start, from);
  }
  const goesOn = isOpen && last.start < cut && cut > from;
  if (goesOn) cut = text.length;

  let masks = 0;
  let at = from;
  for (const { start, end } of ahead) {
    if (start >= cut || at >= cut) break;
    const begin = Math.max(at, start);
    const mask = Buffer.from(newMask(text.subarray(start, Math.min(end, start + maxHeldBytes))));
    parts.push(text.subarray(at, begin), keepsLength ? fitted(mask, end - begin) : mask);
    masks++;
    at = end;
  }
  if (at < cut) parts.push(text.subarray(at, cut));
  return {
    bytes: parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts),
    ...carried(text, cut, goesOn ? last.until : null),
    masks,
    held: text.length - cut,
    isUnchanged: masks === 0 && from === base,
  };
}

const filler = '*';

/** A mask in as many bytes as there were. */
function fitted(mask: Buffer, length: number): Buffer {
  return Buffer.concat([mask.subarray(0, length), Buffer.alloc(Math.max(0, length - mask.length), filler)]);
}

function both({ findings, decided }: Scan, more: ReturnType<FindMore>): Scan {
  if (more.findings.length === 0 && more.decided >= decided) return { findings, decided };
  const whole = more.findings.map((finding): OpenFinding => ({ ...finding, until: 'nothing' }));
  return { findings: united([...findings, ...whole]), decided: Math.min(decided, more.decided) };
}

interface State {
  readonly context: Buffer;
  readonly held: Buffer;
  /** A secret that has been masked goes on. */
  readonly inside: Until | null;
}

const untils: readonly (Until | null)[] = [null, 'pem', ...(Object.keys(sets) as (keyof typeof sets)[])];
const version = 1;
const headBytes = 4;

/** version ‖ index of what the text is inside of ‖ length of the context (2 bytes) ‖ context ‖ held. */
function carried(text: Buffer, cut: number, inside: Until | null): { readonly carry: Buffer } {
  const context = text.subarray(Math.max(0, cut - contextBytes), cut);
  const head = Buffer.from([version, untils.indexOf(inside), context.length >> 8, context.length & 0xff]);
  return { carry: Buffer.concat([head, context, text.subarray(cut)]) };
}

function decode(carry: Buffer): State {
  if (carry.length === 0) return { context: Buffer.alloc(0), held: Buffer.alloc(0), inside: null };
  const inside = untils[carry[1] ?? 0xff];
  const split = headBytes + (carry.length < headBytes ? 0 : carry.readUInt16BE(2));
  if (carry[0] !== version || inside === undefined || split > carry.length)
    throw new RangeError('not a carry of a text');
  return { context: carry.subarray(headBytes, split), held: carry.subarray(split), inside };
}
