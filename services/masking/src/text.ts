// Masks secrets in a text that comes in pieces: what the pieces come out as is what the whole text would have. What has to
// be known of the pieces before travels with the next one, so any worker can take it. Pure.

import { type OpenFinding, type Scan, scan, united } from './detect.ts';
import { endOf, sets, type Until } from './detectors.ts';
import type { Finding } from './finding.ts';
import type { NewMask } from './mask-values.ts';

/** The next bytes of a text. */
export interface TextPiece {
  /** What the piece before gave; empty at the beginning of the text. */
  readonly carry: Buffer;
  readonly bytes: Buffer;
  /** Nothing follows soon, or ever: what is only the beginning of what might be a secret goes out. */
  readonly flush: boolean;
}

/** Finds values that were shown masked before. `decided`: see `Scan`. */
export type FindKnown = (
  text: Buffer,
  isEnd: boolean,
) => { readonly findings: readonly Finding[]; readonly decided: number };

export interface MaskedText {
  readonly bytes: Buffer;
  readonly carry: Buffer;
  readonly masks: number;
  /** So many of the last bytes given are held back in the carry. */
  readonly held: number;
}

/** A secret is masked by its first bytes, and so is what of it is held back. */
const maxHeldBytes = 4096;
/** Bytes that went out already, and tell what the next ones are. */
const contextBytes = 128;

/** Throws `RangeError` for a carry that is none. */
export function maskText(newMask: NewMask, findKnown: FindKnown, { carry, bytes, flush }: TextPiece): MaskedText {
  const state = decode(carry);
  const text = Buffer.concat([state.context, state.held, bytes]);
  const base = state.context.length;
  let from = base;
  if (state.inside !== null) {
    const end = endOf(state.inside, text, base);
    if (end === -1) return { bytes: Buffer.alloc(0), ...carried(text, text.length, state.inside), masks: 0, held: 0 };
    from = end;
  }
  const look = (isEnd: boolean): Scan => both(scan(text, isEnd), findKnown(text, isEnd));
  let { findings, decided } = look(flush);
  // Too much for a beginning: whatever it is has been seen by now.
  if (!flush && text.length - decided > maxHeldBytes) ({ findings, decided } = look(true));
  // Where older bytes were cut off nobody knows whether a word begins.
  const isWhole = ({ start }: OpenFinding): boolean => start > 0 || base < contextBytes;
  const ahead = findings.filter((finding) => finding.end > from && isWhole(finding));
  const last = ahead.at(-1);
  const isOpen = last !== undefined && last.end === text.length && last.until !== 'nothing';

  let cut = Math.max(decided, from);
  if (isOpen && !flush && text.length - last.start <= maxHeldBytes) cut = Math.min(cut, last.start);
  for (const { start, end } of ahead) {
    // A secret goes out as a whole, so that nobody sees where it was cut.
    if (start < cut && cut < end && !(isOpen && end === text.length)) cut = Math.max(start, from);
  }
  const goesOn = isOpen && last.start < cut;
  if (goesOn) cut = text.length;

  const parts: Buffer[] = [];
  let masks = 0;
  let at = from;
  for (const { start, end } of ahead) {
    if (start >= cut) break;
    const secret = text.subarray(start, Math.min(end, start + maxHeldBytes));
    parts.push(text.subarray(at, Math.max(at, start)), Buffer.from(newMask(secret)));
    masks++;
    at = Math.max(at, end);
  }
  if (at < cut) parts.push(text.subarray(at, cut));
  return {
    bytes: Buffer.concat(parts),
    ...carried(text, cut, goesOn ? last.until : null),
    masks,
    held: text.length - cut,
  };
}

function both({ findings, decided }: Scan, known: ReturnType<FindKnown>): Scan {
  if (known.findings.length === 0 && known.decided >= decided) return { findings, decided };
  const whole = known.findings.map((finding): OpenFinding => ({ ...finding, until: 'nothing' }));
  return { findings: united([...findings, ...whole]), decided: Math.min(decided, known.decided) };
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
