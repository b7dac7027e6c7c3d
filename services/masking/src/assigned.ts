// Secrets that stand behind a name: `password=…`, `"token": "…"`, `--password …`, `Authorization: Bearer …`. Pure.
import { isSecretName } from '@sluice/model';
import { allBut, byteClass, nameBytes, runEnd, spaceBytes } from './byte-class.ts';
import {
  backslash,
  beginsPlaceholder,
  blankEnd,
  controlStart,
  isPlaceholder,
  sets,
  type Undecided,
  type Verdict,
} from './secret-bytes.ts';

const maxName = 64;
/** Values that cannot be mistaken for a word any more. */
const surelySecret = 16;

/** What is given to a name that means a secret. */
export function assigned(bytes: Buffer, start: number, end: number, isEnd: boolean): Verdict {
  const nameEnd = runEnd(bytes, end, nameBytes, end + maxName);
  if (nameEnd === bytes.length && !isEnd) return { from: bytes.length };
  let nameStart = start;
  while (nameStart > 0 && start - nameStart < maxName && nameBytes[bytes[nameStart - 1] as number] === 1) nameStart--;
  // The end of a colour is no part of it.
  for (let at = nameStart + 1; at <= start; at++) if (controlStart(bytes, at) < nameStart) nameStart = at;
  const name = bytes.toString('latin1', nameStart, nameEnd);
  if (!isSecretName(name.replace(/[.-]+$/, ''))) return null;
  const value = afterSeparator(bytes, nameEnd, isEnd, /^--?[a-z]/i.test(name) ? 'flag' : 'name');
  if (value === null || 'from' in value) return value;
  const until = value.quote === '' ? 'plain' : value.quote;
  // Before the run is read: what is no secret may be asked about at each of its bytes.
  if (beginsPlaceholder(bytes, value.at)) return null;
  const runsTo = runEnd(bytes, value.at, sets[until]);
  let last = runsTo;
  if (value.quote !== '') {
    // An escaped quote belongs to the value, unless the value itself stands in an escaped text.
    while (!value.isEscaped && last < bytes.length && bytes[last - 1] === backslash && bytes[last] !== 0x0a)
      last = runEnd(bytes, last + 1, sets[until]);
    if (value.isEscaped) while (last > value.at && bytes[last - 1] === backslash) last--;
  }
  if (runsTo === bytes.length && !isEnd && runsTo - value.at < surelySecret) return { from: value.at };
  const isPassword = /pass|pwd|pin|pw/i.test(name);
  const text = bytes.toString('latin1', value.at, Math.min(last, value.at + 64));
  if (last === value.at || isPlaceholder(bytes, value.at, last) || (!isPassword && last - value.at < 4)) return null;
  if (/^\d{1,5}$/.test(text) && !isPassword) return null;
  if (value.quote === '' && value.isProse && prose.has(text.toLowerCase())) return null;
  // The shell's working directory.
  if (/^(old)?pwd$/i.test(name) && text.startsWith('/')) return null;
  return { start: value.at, end: last, until };
}

/** What follows `password: ` in sentences. */
const prose: ReadonlySet<string> = new Set(
  'not must is was has be expired invalid required missing expected the a an and or for from to with failed denied unauthorized unable cannot incorrect wrong mismatch found given empty unknown'.split(
    ' ',
  ),
);

interface Value {
  readonly at: number;
  readonly quote: '' | 'doubleQuoted' | 'singleQuoted';
  /** The quote itself was escaped: the text stands in another one. */
  readonly isEscaped: boolean;
  /** A colon and a space stand before it. */
  readonly isProse: boolean;
}

const maxSpace = 64;
const anySpace = byteClass(' \t\r\n');
const backslashes = byteClass('\\');
const noBytes = byteClass('');
const newline = 0x0a;

/**
 * Goes from the end of a name to the value that is given to it: `=`, `:`, `=>`, in quotes or not; `","value":"` and a line
 * `value:`, as Kubernetes writes environments and headers; behind a flag also a space.
 */
function afterSeparator(
  bytes: Buffer,
  nameEnd: number,
  isEnd: boolean,
  form: 'flag' | 'name' = 'name',
): Value | Undecided | null {
  const limit = nameEnd + maxSpace;
  let at = runEnd(bytes, nameEnd, backslashes, limit);
  const closing = blankEnd(bytes, at, limit, noBytes);
  if (bytes[closing] === 0x22 || bytes[closing] === 0x27) at = closing + 1;
  const spaced = blankEnd(bytes, at, limit);
  // As many bytes as any separator has.
  const isOpen = bytes.length - spaced < maxSpace && !isEnd && !isDecided(bytes, spaced);
  const value = separated(bytes, at, spaced, form);
  if (value === null) return isOpen ? { from: bytes.length } : null;
  if (value.at < bytes.length) return isOpen ? { from: value.at } : value;
  return isEnd ? null : { from: bytes.length };
}

/** The value behind what is a separator as far as it is there. */
function separated(bytes: Buffer, nameEnd: number, spaced: number, form: 'flag' | 'name'): Value | null {
  let at = nameEnd;
  const around = bytes.toString('latin1', spaced, Math.min(bytes.length, spaced + maxSpace));
  const [separator = ''] =
    /^(?:[=:][=>]?|%3[ADad])|^,\s{0,16}\\{0,3}["']?value\\{0,3}["']?\s{0,8}[:=]|^\r?\n\s{0,24}value:/.exec(around) ??
    [];
  if (separator !== '') at = spaced + separator.length;
  else if (form === 'flag' && anySpace[bytes[at] ?? 0] === 1) at = runEnd(bytes, at, anySpace, at + 4);
  else return null;
  const value = blankEnd(bytes, at, at + maxSpace);
  const isProse = separator === ':' && value > at;
  const open = runEnd(bytes, value, backslashes, value + 4);
  const block = /^[|>][+-]?\r?\n[ \t]{1,32}/.exec(bytes.toString('latin1', value, value + maxSpace));
  if (block !== null) return { at: value + block[0].length, quote: '', isEscaped: false, isProse: false };
  const byte = bytes[open];
  if (byte === newline || byte === 0x0d) return null;
  const quote = byte === 0x22 ? 'doubleQuoted' : byte === 0x27 ? 'singleQuoted' : '';
  if (quote !== '') return { at: open + 1, quote, isEscaped: open > value, isProse };
  if (form === 'flag' && separator === '' && bytes[value] === 0x2d) return null;
  return { at: byte === undefined ? bytes.length : value, quote, isEscaped: false, isProse };
}

/** Whether the separator is there already, so that nobody has to wait for more. */
function isDecided(bytes: Buffer, at: number): boolean {
  const byte = bytes[at];
  if (byte === undefined) return false;
  if (byte === 0x3d || byte === 0x3a) return bytes.length - at > 4;
  return byte !== 0x2c && byte !== newline && byte !== 0x0d && byte !== 0x25;
}

const schemes: ReadonlySet<string> = new Set([
  'basic',
  'bearer',
  'token',
  'digest',
  'negotiate',
  'apikey',
  'aws4-hmac-sha256',
]);
/** Longer than any scheme. */
const maxScheme = 32;
const headerValue = allBut(' \t\r\n"\'\\,');

/** RFC 9110, 11.6.2, in a head, in JSON, or as a name with a value. */
export function authorization(bytes: Buffer, _: number, end: number, isEnd: boolean): Verdict {
  const value = afterSeparator(bytes, end, isEnd);
  if (value === null || 'from' in value) return value;
  const word = runEnd(bytes, value.at, headerValue, value.at + maxScheme);
  if (word === bytes.length && !isEnd) return { from: value.at };
  const isScheme = schemes.has(bytes.toString('latin1', value.at, word).toLowerCase());
  const start = isScheme ? runEnd(bytes, word, spaceBytes, word + 8) : value.at;
  if (start === bytes.length && !isEnd) return { from: start };
  if (beginsPlaceholder(bytes, start)) return null;
  const until = value.quote === '' ? 'token' : value.quote;
  const runsTo = runEnd(bytes, start, sets[until]);
  const last = trimmed(bytes, start, runsTo);
  if (runsTo === bytes.length && !isEnd && last - start < 4) return { from: start };
  return last - start < 4 ? null : { start, end: last, until };
}

function trimmed(bytes: Buffer, start: number, end: number): number {
  let last = end;
  while (last > start && (spaceBytes[bytes[last - 1] as number] === 1 || bytes[last - 1] === backslash)) last--;
  return last;
}
