// The detectors: one row each, with the texts they begin with and how they tell where a secret stands. Pure. None goes
// back over what it has read: from its anchor on, each looks at a bounded number of bytes, or at a run that is then a secret.
import { type DetectorName, secretStems } from '@sluice/model';
import { assigned, authorization } from './assigned.ts';
import { allBut, base64Bytes, byteClass, runEnd, wordBytes } from './byte-class.ts';
import { isInWord, isPlaceholder, maxPemLabel, pemEnd, sets, tokenBytes, type Verdict } from './secret-bytes.ts';

/** Looks at what stands around an anchor at `[start, end)`. `isEnd`: nothing comes after the bytes. */
export type Check = (bytes: Buffer, start: number, end: number, isEnd: boolean) => Verdict;

export interface Detector {
  readonly name: DetectorName;
  readonly anchors: readonly string[];
  readonly ignoreCase: boolean;
  readonly check: Check;
}

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
    if (last === bytes.length && !isEnd && last - end < min) return { from: start };
    if (last - end < min || last - end > max) return null;
    if (max !== Number.POSITIVE_INFINITY && last === bytes.length && !isEnd) return { from: start };
    return { start, end: last, until: set };
  };
}

const maxJwtHeader = 2048;
const dot = 0x2e;

/** RFC 7519: base64url, three parts; RFC 7516 has five. */
function jwt(bytes: Buffer, start: number, end: number, isEnd: boolean): Verdict {
  if (isInWord(bytes, start) || bytes[start - 1] === dot) return null;
  const header = runEnd(bytes, end, wordBytes, start + maxJwtHeader);
  if (header === bytes.length) return isEnd ? null : { from: start };
  if (header - start < 10 || bytes[header] !== dot) return null;
  const payload = runEnd(bytes, header + 1, wordBytes, header + 5);
  if (payload === bytes.length && !isEnd) return { from: start };
  if (payload - header < 3) return null;
  return { start, end: runEnd(bytes, payload, sets.jwt), until: 'jwt' };
}

const labelBytes = byteClass('A-Z0-9 ');

/** A block is swallowed to its end, but no further than its bytes can be a block's. */
function privateKey(bytes: Buffer, start: number, end: number, isEnd: boolean): Verdict {
  const label = runEnd(bytes, end, labelBytes, end + maxPemLabel);
  if (label + 5 > bytes.length) return isEnd ? null : { from: bytes.length };
  if (!bytes.toString('latin1', end, label).endsWith('PRIVATE KEY')) return null;
  return { start, end: pemEnd(bytes, label + 5), until: 'pem' };
}

const userinfoBytes = allBut(' \t\r\n"\'`<>/?#\\@');
const maxUserinfo = 512;
const atSign = 0x40;

function urlPassword(bytes: Buffer, _: number, end: number, isEnd: boolean): Verdict {
  const limit = end + maxUserinfo;
  let at = runEnd(bytes, end, userinfoBytes, limit);
  // A password may hold an @ that ought to have been escaped: the last one is the host's.
  let host = -1;
  while (at < limit && bytes[at] === atSign) {
    host = at;
    at = runEnd(bytes, at + 1, userinfoBytes, limit);
  }
  const colon = bytes.subarray(0, at).indexOf(':', end);
  if (at === bytes.length && at < limit && !isEnd) return { from: colon === -1 ? at : colon + 1 };
  if (colon === -1 || colon > host || colon + 1 === host || isPlaceholder(bytes, colon + 1, host)) return null;
  return { start: colon + 1, end: host, until: 'nothing' };
}

function bearer(bytes: Buffer, start: number, end: number, isEnd: boolean): Verdict {
  if (isInWord(bytes, start)) return null;
  const last = runEnd(bytes, end, tokenBytes);
  if (last === bytes.length && !isEnd && last - end < 16) return { from: end };
  if (last - end < 16 || isPlaceholder(bytes, end, last) || !/\d/.test(bytes.toString('latin1', end, end + 64)))
    return null;
  return { start: end, end: last, until: 'token' };
}

const beforeAuth = byteClass(' \t:\\"');

function dockerAuth(bytes: Buffer, _: number, end: number, isEnd: boolean): Verdict {
  const at = runEnd(bytes, end, beforeAuth, end + 16);
  const last = runEnd(bytes, at, base64Bytes);
  if (last === bytes.length && !isEnd && last - at < 8) return { from: at };
  return last - at < 8 || isPlaceholder(bytes, at, last) ? null : { start: at, end: last, until: 'base64' };
}

/** The rest of a text in base64 that begins like this. What stands before it tells nothing. */
function encoded(bytes: Buffer, start: number, end: number): Verdict {
  return { start, end: runEnd(bytes, end, sets.wrapped), until: 'wrapped' };
}
