import assert from 'node:assert/strict';
import { createSecretKey } from 'node:crypto';
import { cut, type FuzzTarget } from '@sluice/testing/fuzz';
import { Fingerprints } from './fingerprint.ts';
import { label } from './fixtures.ts';
import { KnownSet } from './known-set.ts';
import { findPatterns, patternsOf } from './patterns.ts';
import { type FindMore, maskText, type TextPiece } from './text.ts';

const prints = new Fingerprints(createSecretKey(Buffer.alloc(32, 5)));
const value = 'known/value+of "nobody"\\7';
const longer = 'Q7wE9rT1yU3iO5pA'.repeat(6);
const known = new KnownSet([value, longer].flatMap((one) => prints.of(Buffer.from(one))));
const findKnown: FindMore = (text, { isEnd }) => prints.find(text, known, isEnd);
const findMatches = findPatterns(patternsOf(['ACME-[A-Z0-9]{8,16}', '\\bkey_[0-9a-f]{12}\\b']));

const core = 'zX8cV6bN4mL2kJ0hG9fD';
const base64 = (text: string): string => Buffer.from(text).toString('base64');
const pem = `-----BEGIN ${label}-----\n${core}${core}${core}\n${core}\n-----END ${label}-----`;
const jwt = [base64('{"alg":"none","kid":"a"}'), base64('{"iss":"nobody"}'), core].join('.').replaceAll('=', '');

/** What is planted, and what of it must not come out: the whole, or where typing lets a beginning pass all but 3 bytes. */
const secrets: readonly (readonly [text: string, secret: string])[] = [
  [`ghp_${core}${core}`, core],
  [`AKIA${'Q7'.repeat(8)}`, 'Q7'.repeat(8)],
  [jwt, core],
  [pem, core],
  [base64(`x${pem}`), base64(`x${pem}`).slice(60, 100)],
  [`postgres://shop:${core}@db:5432/shop`, core],
  [`Authorization: Bearer ${core}`, core],
  [`{"auths":{"r":{"auth":"${core}"}}}`, core],
  [`DB_PASSWORD=${core}`, core],
  [`{"name":"API_KEY","value":"${core}"}`, core],
  [`login --password ${core} --name a`, core],
  [`\x1b[34mtoken\x1b[0m: \x1b[32m${core}\x1b[0m`, core],
  [value, value],
  [`x ${base64(`a${value}`)}`, base64(value.slice(2)).slice(0, 24)],
  [`{"v":${JSON.stringify(value)}}`, JSON.stringify(value).slice(1, -1)],
  [`v=${encodeURIComponent(value)}`, encodeURIComponent(value)],
  [Buffer.from(value).toString('hex'), Buffer.from(value).toString('hex')],
  [base64(`ab${longer}`).replaceAll(/.{76}/g, '$&\n'), base64(`ab${longer}`).slice(8, 72)],
  ['ACME-ABCDEFGH12345678', 'ABCDEFGH12345678'],
  ['key_0123456789ab', '0123456789ab'],
];

/** A secret of the table above, by the byte behind it. */
const plant = 0x01;
/** More could be called a secret before it ends, and then what a mask stands for is not all it replaces. */
const maxText = 800;

/** The input with secrets planted where it says, each on a line of its own. */
function planted(input: Buffer): { readonly text: Buffer; readonly gone: readonly string[] } {
  const parts: Buffer[] = [];
  const gone: string[] = [];
  let size = 0;
  for (let at = 0; at < input.length && size < maxText; at++) {
    let part = input.subarray(at, at + 1);
    if (input[at] === plant && at + 1 < input.length) {
      const [text, secret] = secrets[(input[++at] as number) % secrets.length] as readonly [string, string];
      // In bytes that are no text a name is none.
      part = Buffer.from(`${' '.repeat(16)}\n${text}\n`);
      gone.push(secret);
    }
    parts.push(part);
    size += part.length;
  }
  return { text: Buffer.concat(parts), gone };
}

interface Masked {
  readonly out: string;
  /** What each mask stands for. */
  readonly stands: readonly string[];
}

function masked(
  pieces: readonly Buffer[],
  how: Pick<TextPiece, 'isTyped' | 'keepsLength'> = {},
  find = [findKnown, findMatches],
): Masked {
  const stands: string[] = [];
  const newMask = (secret: Buffer): string => `\u0002${stands.push(secret.toString('latin1')) - 1}\u0003`;
  const out: Buffer[] = [];
  let carry = Buffer.alloc(0);
  let given = 0;
  for (const [index, bytes] of pieces.entries()) {
    const done = maskText(newMask, find, { carry, bytes, flush: index === pieces.length - 1, ...how });
    given += bytes.length;
    assert.ok(done.held <= given);
    out.push(done.bytes);
    carry = Buffer.from(done.carry);
  }
  return { out: Buffer.concat(out).toString('latin1'), stands };
}

const masks = /\u0002\d+\u0003/;

/** Whether what came out is the text again, with what masks stand for; of which so many bytes may have come out before. */
function isWhole({ out, stands }: Masked, given: string, early: number): boolean {
  const between = out.split(masks);
  const goesOn = (index: number, at: number): boolean => {
    const part = between[index] ?? '';
    const next = at + part.length;
    if (!given.startsWith(part, at)) return false;
    if (index === stands.length) return next === given.length;
    const secret = stands[index] as string;
    for (let before = 0; before <= Math.min(early, part.length, secret.length - 1); before++) {
      const isThere = given.startsWith(secret, next - before);
      if (isThere && goesOn(index + 1, next - before + secret.length)) return true;
    }
    return false;
  };
  return goesOn(0, 0);
}

/** The input is a text in which secrets are planted: none comes out, however it is cut, and all else does. */
export const masker: FuzzTarget = {
  name: 'masking',
  corpus: new URL('../fuzz-corpus/text/', import.meta.url),
  maxBytes: 512,
  words: [
    ...secrets.map((_, index) => Buffer.of(plant, index)),
    ...[
      'password',
      'token: ',
      '--secret ',
      'name: ',
      'value: ',
      '"',
      "'",
      '\\"',
      '\\n',
      '=',
      '%3D',
      '\r\n',
      'eyJ',
      'ghp_',
      '-----BEGIN ',
      `-----END ${label}-----`,
      '://',
      '@',
      'bearer ',
      'ACME-',
      'know',
      '\x1b[31m',
      'sluice-mask:v1:01234567:AAAAAAAAAAAAAAAA',
      `${'Zm9v'.repeat(19)}\n`,
    ].map((word) => Buffer.from(word)),
  ],
  run(input, random) {
    const { text, gone } = planted(Buffer.from(input.map((byte) => (byte === 2 || byte === 3 ? 0 : byte))));
    const given = text.toString('latin1');

    const whole = masked([text]);
    for (const secret of gone) assert.ok(!whole.out.includes(secret), 'a secret came out');
    assert.ok(isWhole(whole, given, 0), 'unmasked, the text is another');

    const pieces = masked(cut(text, random));
    for (const secret of gone) assert.ok(!pieces.out.includes(secret), 'a secret came out in pieces');
    assert.ok(isWhole(pieces, given, 3), 'unmasked, the pieces are another text');
    const [atOnce, inPieces] = [[text], cut(text, random)].map((all) => masked(all, {}, [findMatches]));
    assert.deepEqual(inPieces, atOnce, 'pieces come out as the whole does not');

    const typed = masked(cut(text, random), { isTyped: true });
    for (const secret of gone) assert.ok(!typed.out.includes(secret.slice(3)), 'a secret came out as it was typed');
    assert.ok(isWhole(typed, given, given.length), 'unmasked, what was typed is another text');

    const kept = masked(cut(text, random), { keepsLength: true });
    for (const secret of gone) assert.ok(!kept.out.includes(secret), 'a secret came out');
    assert.equal(kept.out.length, given.length);
    return `${gone.length} planted, ${whole.stands.length} masked, ${Math.log2(given.length + 1).toFixed(0)}`;
  },
};
