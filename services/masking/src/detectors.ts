// The detectors: one row each, with the texts they begin with and how they tell where a secret stands. Pure. None goes
// back over what it has read: from its anchor on, each looks at a bounded number of bytes, or at a run that is then a secret.
import { type DetectorName, isSecretName, secretStems } from '@sluice/model';
import {
  allBut,
  type ByteClass,
  base64Bytes,
  byteClass,
  nameBytes,
  runEnd,
  spaceBytes,
  wordBytes,
} from './byte-class.ts';

/** How a secret goes on, when the bytes end before it does: for as long as bytes are of a set, or to the end of a PEM block. */
export type Until = keyof typeof sets | 'pem';

/** What an anchor turns out to be. `more`: that depends on bytes that are not there yet. */
export type Verdict = null | 'more' | { readonly start: number; readonly end: number; readonly until: Until };

/** Looks at what stands around an anchor at `[start, end)`. `isEnd`: nothing comes after the bytes. */
export type Check = (bytes: Buffer, start: number, end: number, isEnd: boolean) => Verdict;

export interface Detector {
  readonly name: DetectorName;
  readonly anchors: readonly string[];
  readonly ignoreCase: boolean;
  readonly check: Check;
}

const plainValue = allBut(' \t\r\n"\'`,;&)}]<>|\\');
const tokenBytes = byteClass('A-Za-z0-9._~+/=-');

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

export const detectors: readonly Detector[] = [
  { name: 'jwt', anchors: ['eyJ'], ignoreCase: false, check: jwt },
  { name: 'private-key', anchors: ['-----BEGIN '], ignoreCase: false, check: privateKey },
  { name: 'aws-access-key', anchors: ['AKIA', 'ASIA'], ignoreCase: false, check: prefixed('word', 16, 16) },
  ...(
    [
      [['ghp_', 'gho_', 'ghu_', 'ghs_', 'ghr_'], 'word', 36],
      [['github_pat_'], 'word', 22],
      [['glpat-', 'gldt-', 'glrt-'], 'word', 20],
      [['xoxb-', 'xoxp-', 'xoxa-', 'xoxr-', 'xoxs-', 'xapp-'], 'word', 10],
      [['hooks.slack.com/services/'], 'path', 20],
      [['sk_live_', 'rk_live_', 'sk_test_', 'rk_test_', 'whsec_'], 'word', 16],
      [['AIza'], 'word', 35],
      [['ya29.'], 'word', 20],
      [['npm_'], 'word', 36],
      [['pypi-'], 'word', 50],
      [['sk-ant-', 'sk-proj-'], 'word', 20],
      [['sk-'], 'word', 40],
      [['SG.'], 'jwt', 40],
      [['hvs.', 'hvb.'], 'word', 24],
      [['glsa_', 'dop_v1_', 'doo_v1_', 'dckr_pat_', 'shpat_', 'shpss_'], 'word', 20],
      [['AGE-SECRET-KEY-1'], 'word', 40],
    ] as const
  ).map(
    ([anchors, set, min]): Detector => ({
      name: 'service-token',
      anchors,
      ignoreCase: false,
      check: prefixed(set, min),
    }),
  ),
  { name: 'url-password', anchors: ['://'], ignoreCase: false, check: urlPassword },
  { name: 'authorization', anchors: ['authorization'], ignoreCase: true, check: authorization },
  { name: 'authorization', anchors: ['bearer '], ignoreCase: true, check: bearer },
  { name: 'docker-auth', anchors: ['"auth"', '"auth\\"'], ignoreCase: false, check: dockerAuth },
  { name: 'assigned', anchors: [...secretStems, 'pwd', '_pass', 'dsn'], ignoreCase: true, check: assigned },
  {
    name: 'encoded',
    anchors: [
      'PRIVATE KEY',
      'eyJhbGciOi',
      'github_pat_',
      'client-key-data',
      'aws_secret_access_key',
      'AGE-SECRET-KEY',
    ].flatMap(inBase64),
    ignoreCase: false,
    check: encoded,
  },
];

/** Whether a mask begins there. */
export function isMask(bytes: Buffer, start: number): boolean {
  return masks.some((mask) => bytes.toString('latin1', start, start + mask.length) === mask);
}

/** Where a secret that has not ended goes on to; -1: beyond the bytes. */
export function endOf(until: Until, bytes: Buffer, from: number): number {
  const end = until === 'pem' ? pemEnd(bytes, from) : runEnd(bytes, from, sets[until]);
  return end === bytes.length ? -1 : end;
}

/** The part of a text that its base64 has at each alignment, whatever stands around it. */
function inBase64(text: string): string[] {
  return [0, 1, 2].map((shift) => {
    const encodedText = Buffer.from(' '.repeat(shift) + text)
      .toString('base64')
      .replace(/=+$/, '');
    const whole = Math.floor(((shift + text.length) * 4) / 3);
    return encodedText.slice(Math.ceil((shift * 4) / 3), whole);
  });
}

/** A run of so many bytes behind a prefix that begins a word. */
function prefixed(set: keyof typeof sets, min: number, max = Number.POSITIVE_INFINITY): Check {
  return (bytes, start, end, isEnd) => {
    if (isInWord(bytes, start)) return null;
    const last = runEnd(bytes, end, sets[set]);
    if (last === bytes.length && !isEnd && last - end < min) return 'more';
    if (last - end < min || last - end > max) return null;
    if (max !== Number.POSITIVE_INFINITY && last === bytes.length && !isEnd) return 'more';
    return { start, end: last, until: set };
  };
}

function isInWord(bytes: Buffer, start: number): boolean {
  return start > 0 && wordBytes[bytes[start - 1] as number] === 1;
}

const maxJwtHeader = 2048;

/** RFC 7519: base64url, three parts; RFC 7516 has five. */
function jwt(bytes: Buffer, start: number, end: number, isEnd: boolean): Verdict {
  if (isInWord(bytes, start) || bytes[start - 1] === dot) return null;
  const header = runEnd(bytes, end, wordBytes, start + maxJwtHeader);
  if (header === bytes.length) return isEnd ? null : 'more';
  if (header - start < 10 || bytes[header] !== dot) return null;
  const payload = runEnd(bytes, header + 1, wordBytes, header + 5);
  if (payload === bytes.length && !isEnd) return 'more';
  if (payload - header < 3) return null;
  return { start, end: runEnd(bytes, payload, sets.jwt), until: 'jwt' };
}

const maxPemLabel = 48;
const pemBytes = byteClass('A-Za-z0-9+/=\\:,. \t\r\n-');
const pemEndMark = Buffer.from('-----END ');
/** A block is swallowed to its end, but no further than its bytes can be a block's. */
function privateKey(bytes: Buffer, start: number, end: number, isEnd: boolean): Verdict {
  const label = runEnd(bytes, end, byteClass('A-Z0-9 '), end + maxPemLabel);
  if (label + 5 > bytes.length) return isEnd ? null : 'more';
  if (!bytes.toString('latin1', end, label).endsWith('PRIVATE KEY')) return null;
  return { start, end: pemEnd(bytes, label + 5), until: 'pem' };
}

/** Behind the line that ends a block; where bytes come that are of no block; or the end of the bytes. */
function pemEnd(bytes: Buffer, from: number): number {
  const last = runEnd(bytes, from, pemBytes);
  // The end mark may have begun in bytes that went before.
  const mark = bytes.subarray(0, last).indexOf(pemEndMark, Math.max(0, from - pemEndMark.length - maxPemLabel));
  if (mark === -1) return last;
  const close = bytes.subarray(0, last).indexOf('-----', mark + pemEndMark.length);
  return close === -1 ? last : Math.max(from, close + 5);
}

const userinfoBytes = allBut(' \t\r\n"\'`<>/?#\\@');
const maxUserinfo = 512;

function urlPassword(bytes: Buffer, _: number, end: number, isEnd: boolean): Verdict {
  const limit = end + maxUserinfo;
  let at = runEnd(bytes, end, userinfoBytes, limit);
  // A password may hold an @ that ought to have been escaped: the last one is the host's.
  let host = -1;
  while (at < limit && bytes[at] === atSign) {
    host = at;
    at = runEnd(bytes, at + 1, userinfoBytes, limit);
  }
  if (at === bytes.length && at < limit && !isEnd) return 'more';
  if (host === -1) return null;
  const colon = bytes.subarray(0, host).indexOf(':', end);
  if (colon === -1 || colon + 1 === host || isPlaceholder(bytes, colon + 1, host)) return null;
  return { start: colon + 1, end: host, until: 'nothing' };
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
function authorization(bytes: Buffer, _: number, end: number, isEnd: boolean): Verdict {
  const value = afterSeparator(bytes, end, isEnd);
  if (typeof value !== 'object' || value === null) return value;
  const word = runEnd(bytes, value.at, headerValue, value.at + maxScheme);
  if (word === bytes.length && !isEnd) return 'more';
  const isScheme = schemes.has(bytes.toString('latin1', value.at, word).toLowerCase());
  const start = isScheme ? runEnd(bytes, word, spaceBytes, word + 8) : value.at;
  if (start === bytes.length && !isEnd) return 'more';
  if (beginsPlaceholder(bytes, start)) return null;
  const until = value.quote === '' ? 'token' : value.quote;
  const last = trimmed(bytes, start, runEnd(bytes, start, sets[until]));
  return last - start < 4 ? null : { start, end: last, until };
}

function bearer(bytes: Buffer, start: number, end: number, isEnd: boolean): Verdict {
  if (isInWord(bytes, start)) return null;
  const last = runEnd(bytes, end, tokenBytes);
  if (last === bytes.length && !isEnd && last - end < 16) return 'more';
  if (last - end < 16 || isPlaceholder(bytes, end, last) || !/\d/.test(bytes.toString('latin1', end, end + 64)))
    return null;
  return { start: end, end: last, until: 'token' };
}

function dockerAuth(bytes: Buffer, _: number, end: number, isEnd: boolean): Verdict {
  const at = runEnd(bytes, end, byteClass(' \t:\\"'), end + 16);
  const last = runEnd(bytes, at, base64Bytes);
  if (last === bytes.length && !isEnd && last - at < 8) return 'more';
  return last - at < 8 || isPlaceholder(bytes, at, last) ? null : { start: at, end: last, until: 'base64' };
}

/** The rest of a text in base64 that begins like this. What stands before it tells nothing. */
function encoded(bytes: Buffer, start: number, end: number): Verdict {
  return { start, end: runEnd(bytes, end, sets.wrapped), until: 'wrapped' };
}

const maxName = 64;
/** Values that cannot be mistaken for a word any more. */
const surelySecret = 16;

function assigned(bytes: Buffer, start: number, end: number, isEnd: boolean): Verdict {
  const nameEnd = runEnd(bytes, end, nameBytes, end + maxName);
  if (nameEnd === bytes.length && !isEnd) return 'more';
  let nameStart = start;
  while (nameStart > 0 && start - nameStart < maxName && nameBytes[bytes[nameStart - 1] as number] === 1) nameStart--;
  const name = bytes.toString('latin1', nameStart, nameEnd);
  if (!isSecretName(name.replace(/[.-]+$/, ''))) return null;
  const value = afterSeparator(bytes, nameEnd, isEnd, /^--?[a-z]/i.test(name) ? 'flag' : 'name');
  if (typeof value !== 'object' || value === null) return value;
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
  if (runsTo === bytes.length && !isEnd && runsTo - value.at < surelySecret) return 'more';
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
const newline = 0x0a;
const dot = 0x2e;
const atSign = 0x40;
const backslash = 0x5c;

/**
 * Goes from the end of a name to the value that is given to it: `=`, `:`, `=>`, in quotes or not; `","value":"` and a line
 * `value:`, as Kubernetes writes environments and headers; behind a flag also a space.
 */
function afterSeparator(
  bytes: Buffer,
  nameEnd: number,
  isEnd: boolean,
  form: 'flag' | 'name' = 'name',
): Value | 'more' | null {
  const limit = nameEnd + maxSpace;
  let at = runEnd(bytes, nameEnd, byteClass('\\'), limit);
  if (bytes[at] === 0x22 || bytes[at] === 0x27) at++;
  const spaced = runEnd(bytes, at, spaceBytes, limit);
  // As many bytes as any separator has.
  if (bytes.length - spaced < maxSpace && !isEnd && !isDecided(bytes, spaced)) return 'more';
  const around = bytes.toString('latin1', spaced, Math.min(bytes.length, spaced + maxSpace));
  const [separator = ''] =
    /^(?:[=:][=>]?|%3[ADad])|^,\s{0,16}\\{0,3}["']?value\\{0,3}["']?\s{0,8}[:=]|^\r?\n\s{0,24}value:/.exec(around) ??
    [];
  if (separator !== '') at = spaced + separator.length;
  else if (form === 'flag' && anySpace[bytes[at] ?? 0] === 1) at = runEnd(bytes, at, anySpace, at + 4);
  else return null;
  const value = runEnd(bytes, at, spaceBytes, at + maxSpace);
  const isProse = separator === ':' && value > at;
  let open = runEnd(bytes, value, byteClass('\\'), value + 4);
  const block = /^[|>][+-]?\r?\n[ \t]{1,32}/.exec(bytes.toString('latin1', value, value + maxSpace));
  if (block !== null) return { at: value + block[0].length, quote: '', isEscaped: false, isProse: false };
  const byte = bytes[open];
  if (byte === undefined) return isEnd ? null : 'more';
  if (byte === newline || byte === 0x0d) return null;
  const quote = byte === 0x22 ? 'doubleQuoted' : byte === 0x27 ? 'singleQuoted' : '';
  if (quote !== '') return { at: open + 1, quote, isEscaped: open > value, isProse };
  open = value;
  if (form === 'flag' && separator === '' && bytes[open] === 0x2d) return null;
  return { at: open, quote, isEscaped: false, isProse };
}

/** Whether the separator is there already, so that nobody has to wait for more. */
function isDecided(bytes: Buffer, at: number): boolean {
  const byte = bytes[at];
  if (byte === undefined) return false;
  if (byte === 0x3d || byte === 0x3a) return bytes.length - at > 4;
  return byte !== 0x2c && byte !== newline && byte !== 0x0d && byte !== 0x25;
}

/** What only stands for a value, or is masked already. */
function isPlaceholder(bytes: Buffer, start: number, end: number): boolean {
  if (beginsPlaceholder(bytes, start)) return true;
  const text = bytes.toString('latin1', start, Math.min(end, start + 32));
  return end - start < 16 && /^(true|false|null|none|nil|undefined|yes|no|x{3,}|\.{3}|redacted|omitted)$/i.test(text);
}

function beginsPlaceholder(bytes: Buffer, start: number): boolean {
  return isMask(bytes, start) || /^(\$|<|\{|\(|\[|%[({%]|\*|`|&)/.test(bytes.toString('latin1', start, start + 2));
}

function trimmed(bytes: Buffer, start: number, end: number): number {
  let last = end;
  while (last > start && (spaceBytes[bytes[last - 1] as number] === 1 || bytes[last - 1] === backslash)) last--;
  return last;
}
