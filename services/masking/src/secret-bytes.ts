// What detectors share: what secrets are made of, how they go on, and what only looks like one. Pure.
import { allBut, type ByteClass, base64Bytes, byteClass, runEnd, spaceBytes, wordBytes } from './byte-class.ts';

/** How a secret goes on, when the bytes end before it does: for as long as bytes are of a set, or to the end of a PEM block. */
export type Until = keyof typeof sets | 'pem';

/** A secret as far as it is there. */
export interface Secret {
  readonly start: number;
  readonly end: number;
  readonly until: Until;
}

/** What it is depends on bytes that are not there yet. */
export interface Undecided {
  /** The first byte that may be one of the secret; behind the last where nothing of it is there. */
  readonly from: number;
}

/** What an anchor turns out to be. */
export type Verdict = null | Undecided | Secret;

const plainValue = allBut(' \t\r\n\x1b"\'`,;&)}]<>|\\');
export const tokenBytes = byteClass('A-Za-z0-9._~+/=-');

/** What secrets are made of. */
export const sets = {
  base64: base64Bytes,
  wrapped: byteClass('A-Za-z0-9+/=_\r\n-'),
  word: wordBytes,
  token: tokenBytes,
  jwt: byteClass('A-Za-z0-9_.-'),
  path: byteClass('A-Za-z0-9_/-'),
  plain: plainValue,
  line: allBut('\r\n'),
  doubleQuoted: allBut('"\r\n'),
  singleQuoted: allBut("'\r\n"),
  nothing: byteClass(''),
} as const satisfies Record<string, ByteClass>;

/** A mask, as it stands in texts and in base64: what has been masked is not a secret any more. */
const masks = ['sluice-mask:v1:', Buffer.from('sluice-mask:v1:').toString('base64')];

/** Whether a mask begins there. */
export function isMask(bytes: Buffer, start: number): boolean {
  return masks.some((mask) => bytes.toString('latin1', start, start + mask.length) === mask);
}

/** Where a secret that has not ended goes on to; -1: beyond the bytes. */
export function endOf(until: Until, bytes: Buffer, from: number): number {
  const end = until === 'pem' ? pemEnd(bytes, from) : runEnd(bytes, from, sets[until]);
  return end === bytes.length ? -1 : end;
}

const pemBeginMark = Buffer.from('-----BEGIN ');
const pemEndMark = Buffer.from('-----END ');
export const maxPemLabel = 48;
const pemBytes = byteClass('A-Za-z0-9+/=\\:,. \t\r\n-');

/** Behind the line that ends a block; where bytes come that are of no block; or the end of the bytes. */
export function pemEnd(bytes: Buffer, from: number): number {
  const last = runEnd(bytes, from, pemBytes);
  // The end mark may have begun in bytes that went before; one before the block's own beginning is another's.
  const back = Math.max(0, from - pemEndMark.length - maxPemLabel);
  const begun = bytes.subarray(back, from).lastIndexOf(pemBeginMark);
  const mark = bytes.subarray(0, last).indexOf(pemEndMark, back + Math.max(0, begun));
  if (mark === -1) return last;
  const close = bytes.subarray(0, last).indexOf('-----', mark + pemEndMark.length);
  return close === -1 ? last : Math.max(from, close + 5);
}

export const backslash = 0x5c;
const escapeByte = 0x1b;
const maxControl = 16;

/** Behind blanks, and the control sequences that colour a text (ECMA-48); behind the last byte where one is not whole. */
export function blankEnd(bytes: Buffer, from: number, limit: number, blanks = spaceBytes): number {
  let at = runEnd(bytes, from, blanks, limit);
  while (at < limit && bytes[at] === escapeByte) {
    const parameters = runEnd(bytes, at + 2, controlParameters, at + maxControl);
    if (parameters >= bytes.length) return bytes.length;
    if (bytes[at + 1] !== 0x5b || controlEnds[bytes[parameters] as number] === 0) break;
    at = runEnd(bytes, parameters + 1, blanks, limit);
  }
  return at;
}

/** Where the control sequence begins that ends there; the same place where none does. */
export function controlStart(bytes: Buffer, end: number): number {
  let at = end - 2;
  while (at > end - maxControl && at > 0 && controlParameters[bytes[at] as number] === 1) at--;
  return at > 0 && bytes[at] === 0x5b && bytes[at - 1] === escapeByte ? at - 1 : end;
}

const controlParameters = byteClass('0-9;?');
const controlEnds = byteClass('@-~');

/** Whether what begins there goes on a word. Colours end one, and so do `\\n` and its like in an escaped text. */
export function isInWord(bytes: Buffer, start: number): boolean {
  if (start === 0 || wordBytes[bytes[start - 1] as number] === 0) return false;
  if (controlStart(bytes, start) < start) return false;
  return !(start > 1 && bytes[start - 2] === backslash && blanksWhenEscaped[bytes[start - 1] as number] === 1);
}

const blanksWhenEscaped = byteClass('nrt');

/** What only stands for a value, or is masked already. */
export function isPlaceholder(bytes: Buffer, start: number, end: number): boolean {
  if (beginsPlaceholder(bytes, start)) return true;
  const text = bytes.toString('latin1', start, Math.min(end, start + 32));
  return end - start < 16 && /^(true|false|null|none|nil|undefined|yes|no|x{3,}|\.{3}|redacted|omitted)$/i.test(text);
}

/** What begins like a place to be filled, or a mask. */
export function beginsPlaceholder(bytes: Buffer, start: number): boolean {
  return isMask(bytes, start) || /^(\$|<|\{|\(|\[|%[({%]|\*|`|&)/.test(bytes.toString('latin1', start, start + 2));
}

/** A NUL says nothing: archives fill up with it. */
const noTextBytes = byteClass('\x01-\x06\x0e-\x1a\x1c-\x1f\x7f');

/** Whether bytes are of an image, an archive or the like: at least three among them stand in no text, in UTF-8 or ASCII. */
export function isBinary(bytes: Buffer, from: number, to: number): boolean {
  let odd = 0;
  for (let at = from; at < to && odd < 3; at++) {
    const byte = bytes[at] as number;
    if (byte < 0x80) {
      odd += noTextBytes[byte] as number;
      continue;
    }
    const more = byte >= 0xf5 ? 0 : byte >= 0xf0 ? 3 : byte >= 0xe0 ? 2 : byte >= 0xc2 ? 1 : 0;
    const end = Math.min(runEnd(bytes, at + 1, continuing, at + 1 + more), to);
    // A character may have begun before the first byte, and may end behind the last.
    if (more > 0 && (end === at + 1 + more || end === to)) at = end - 1;
    else if (at >= from + 3 || continuing[byte] === 0) odd++;
  }
  return odd >= 3;
}

const continuing = byteClass('\x80-\xbf');
