// What was shown is found again, written in any of the ways listed, at any place, cut anywhere; and nothing else is.
import assert from 'node:assert/strict';
import { createSecretKey } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { Fingerprints } from './fingerprint.ts';
import { decodeFingerprints, encodeFingerprints, KnownSet } from './known-set.ts';
import { type FindMore, maskText } from './text.ts';

const prints = new Fingerprints(createSecretKey(Buffer.alloc(32, 5)));
const mask = (): string => '«mask»';

function masked(pieces: readonly Buffer[], values: readonly Buffer[]): string {
  const known = new KnownSet(decodeFingerprints(encodeFingerprints(values.flatMap((value) => prints.of(value)))));
  let carry = Buffer.alloc(0);
  const out: Buffer[] = [];
  for (const [index, bytes] of pieces.entries()) {
    const find: FindMore = (text, { isEnd }) => prints.find(text, known, isEnd);
    const done = maskText(mask, [find], { carry, bytes, flush: index === pieces.length - 1 });
    out.push(done.bytes);
    carry = Buffer.from(done.carry);
  }
  return Buffer.concat(out).toString();
}

function cutAt(bytes: Buffer, shares: readonly number[]): Buffer[] {
  const places = [0, ...shares.map((share) => Math.floor(share * bytes.length)).sort((a, b) => a - b), bytes.length];
  return places.slice(1).map((place, index) => bytes.subarray(places[index], place));
}

const ways: Readonly<Record<string, (value: string) => string>> = {
  'as it is': (value) => value,
  'in base64': (value) => Buffer.from(value).toString('base64'),
  'in base64 behind one byte': (value) => Buffer.from(`x${value}y`).toString('base64'),
  'in base64 behind two bytes': (value) => Buffer.from(`xy${value}z`).toString('base64'),
  'in base64url': (value) => Buffer.from(value).toString('base64url'),
  'in hex': (value) => Buffer.from(value).toString('hex'),
  'in upper-case hex': (value) => Buffer.from(value).toString('hex').toUpperCase(),
  'escaped as JSON': (value) => JSON.stringify(value),
  'escaped in a URL': (value) => encodeURIComponent(value),
};
const value = fc.stringMatching(/^[ -~]{12,80}$/);
const around = fc.stringMatching(/^[a-z .\n]{0,30}$/);
const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 30 });

for (const [way, write] of Object.entries(ways)) {
  test(`a value written ${way} is found, wherever the text is cut`, () => {
    fc.assert(
      fc.property(value, around, around, cuts, (secret, before, after, where) => {
        const written = write(secret);
        const text = masked(cutAt(Buffer.from(`${before} ${written} ${after}`), where), [Buffer.from(secret)]);
        assert.ok(text.includes('«mask»'), text);
        assert.ok(!text.includes(written.slice(4, -4)), text);
      }),
      { numRuns: 60 },
    );
  });
}

test('a long value is found in its parts, and by its lines', () => {
  const long = Array.from({ length: 60 }, (_, line) => `line ${line} of a long value, ${line * 7919}`).join('\n');
  const all = masked([Buffer.from(`before ${long} after`)], [Buffer.from(long)]);
  assert.match(all, /^before («mask»\s?)+ after$/);
  assert.equal(masked([Buffer.from('x line 7 of a long value, 55433 y')], [Buffer.from(long)]), 'x «mask» y');
});

/** As `base64` (76 characters a line), `openssl` (64), and a terminal write it. */
const wraps: readonly (readonly [characters: number, end: string])[] = [
  [76, '\n'],
  [64, '\n'],
  [76, '\r\n'],
];

function wrappedBase64(bytes: Buffer, characters: number, end: string): string {
  return `${bytes
    .toString('base64')
    .match(new RegExp(`.{1,${characters}}`, 'g'))
    ?.join(end)}${end}`;
}

test('a value in base64 that is printed in lines is found whole, wherever the lines and the pieces are cut', () => {
  const long = fc.stringMatching(/^[ -~]{12,400}$/);
  const file = fc.stringMatching(/^[a-z .]{0,120}$/);
  fc.assert(
    fc.property(long, file, file, fc.constantFrom(...wraps), cuts, (secret, before, after, [size, end], where) => {
      const written = wrappedBase64(Buffer.from(`${before}${secret}${after}`), size, end);
      const text = masked(cutAt(Buffer.from(`$ base64 file\r\n${written}$ `), where), [Buffer.from(secret)]);
      const plain = Buffer.from(`${before}${secret}${after}`).toString('base64');
      // The characters that are of the secret alone, but for three that may pass.
      const from = Math.ceil((before.length * 4) / 3) + 3;
      const own = plain.slice(from, Math.floor(((before.length + secret.length) * 4) / 3));
      assert.ok(text.includes('«mask»'), text);
      assert.ok(!text.replaceAll(/[\r\n]/g, '').includes(own), text);
    }),
    { numRuns: 200 },
  );
});

test('a value alone comes out as one mask and the end of its last line', () => {
  const secret = Buffer.from('a secret of more than one line of base64, '.repeat(4));
  assert.match(masked([Buffer.from(wrappedBase64(secret, 76, '\n'))], [secret]), /^«mask».?=?=?\n$/);
});

test('lines of words are not joined: what begins in one and ends in another is no value', () => {
  assert.equal(
    masked([Buffer.from('known-va\nlue-of-nobody')], [Buffer.from('known-value-of-nobody')]),
    'known-va\nlue-of-nobody',
  );
});

test('a value under 8 bytes is not kept', () => {
  assert.deepEqual(prints.of(Buffer.from('1234567')), []);
  assert.equal(masked([Buffer.from('pin 1234567')], [Buffer.from('1234567')]), 'pin 1234567');
});

test('what is not known passes, also where it begins alike', () => {
  fc.assert(
    fc.property(fc.stringMatching(/^[a-z ]{0,200}$/), cuts, (text, where) => {
      const cut = cutAt(Buffer.from(`${text} known-be `), where);
      assert.equal(masked(cut, [Buffer.from('known-beginning-of-a-value')]), `${text} known-be `);
    }),
  );
});

test('of a value that is cut in two, no more than three leading bytes pass', () => {
  const known = 'known-value-of-nobody';
  for (let cut = 1; cut < known.length; cut++) {
    const pieces = [`x ${known.slice(0, cut)}`, `${known.slice(cut)} y`].map((piece) => Buffer.from(piece));
    assert.match(masked(pieces, [Buffer.from(known)]), /^x (k|kn|kno)?«mask» y$/);
  }
});

test('only what may be the beginning is held, from its fourth byte on', () => {
  const known = new KnownSet(prints.of(Buffer.from('known-value-of-nobody')));
  const decided = (text: string): number => prints.find(Buffer.from(text), known, false).decided;
  assert.deepEqual(
    ['typing', 'x kno', 'x know', 'x known-va', 'x knob'].map((text) => text.length - decided(text)),
    [0, 0, 4, 8, 0],
  );
});
