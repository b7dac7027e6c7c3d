import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compileMaskPattern, MaskPatternError } from './mask-pattern.ts';

const faults: readonly (readonly [expression: string, message: RegExp, at: number])[] = [
  ['a(bcd', /missing closing \)/, 0],
  ['abcd[z-a]', /invalid character class range/, 5],
  ['abcd(?<=x)', /RE2/, 4],
  ['(?=abcd)abcd', /RE2/, 0],
  ['(abcd)\\1', /RE2/, 6],
  ['ACME-é{4}', /ASCII/, 5],
  ['ab', /less than 4/, 0],
  ['(abcd)?', /less than 4/, 0],
  ['ACME-[A-Z]+', /more than 256/, 0],
  ['(ab|cdef)*abcd', /more than 256/, 0],
  ['[a-z]{257}', /more than 256/, 0],
  ['\\Aabcd', /beginning and end/, 0],
  ['abcd\\z', /beginning and end/, 0],
  ['((a{9}){9}){9}', /more than 256/, 0],
  ['(\\w{30}){30}', /too large|more than 256/, 0],
  ['a'.repeat(257), /at most 256/, 256],
];

for (const [expression, message, at] of faults) {
  test(`${expression.slice(0, 30)} is refused`, () => {
    assert.throws(
      () => compileMaskPattern(expression),
      (error) => error instanceof MaskPatternError && message.test(error.message) && error.at === at,
    );
  });
}

test('all matches are found, in bytes that are no text as well', () => {
  const bytes = Buffer.concat([Buffer.from('é ACME-AB12 '), Buffer.from([0xff, 0xfe]), Buffer.from('ACME-CD34.')]);
  assert.deepEqual(
    compileMaskPattern('ACME-[A-Z0-9]{4}')
      .find(bytes)
      .map(({ start, end }) => bytes.toString('latin1', start, end)),
    ['ACME-AB12', 'ACME-CD34'],
  );
});

/** A text, and what of its end may be the beginning of a match. */
const open: readonly (readonly [expression: string, text: string, rest: string])[] = [
  ['ACME-[A-Z0-9]{4}', 'x ACME', 'ACME'],
  ['ACME-[A-Z0-9]{4}', 'x ACME-A', 'ACME-A'],
  ['ACME-[A-Z0-9]{4}', 'x ACME-a', ''],
  ['ACME-[A-Z0-9]{4}', 'x ACME-AB12', ''],
  ['ACME-[A-Z0-9]{4,8}', 'x ACME-AB12', 'ACME-AB12'],
  ['ACME-[A-Z0-9]{4}\\b', 'x ACME-AB12', 'ACME-AB12'],
  ['\\bACME-[A-Z0-9]{4}', 'xACME-', ''],
  ['^ACME-[A-Z0-9]{4}', 'x\nACME-', 'ACME-'],
  ['^ACME-[A-Z0-9]{4}', 'xACME-', ''],
  ['ACME-[A-Z]{4}$', 'x ACME-ABCD', 'ACME-ABCD'],
  ['(?i)acme-.{4}', 'ACME-\u0001', 'ACME-\u0001'],
  ['aaab', 'xaaaaa', 'aaa'],
  ['(ab|cde){2,4}f', 'abcdeab', 'abcdeab'],
  ['[a-z]{4,256}', 'z'.repeat(300), 'z'.repeat(255)],
];

for (const [expression, text, rest] of open) {
  test(`${expression} may go on from ${JSON.stringify(rest).slice(0, 20)} in ${JSON.stringify(text).slice(0, 20)}`, () => {
    const bytes = Buffer.from(text);
    assert.equal(text.slice(compileMaskPattern(expression).open(bytes)), rest);
  });
}

test('whatever a match begins with is open, at each place where it is cut', () => {
  const made = fc.constantFrom(
    ['ACME-[A-Z0-9]{4,16}x', /^ACME-[A-Z0-9]{4,16}x$/],
    ['\\b(key|id)_[0-9a-f]{6}\\b', /^(key|id)_[0-9a-f]{6}$/],
    ['(?i)tok(en)?[:=][a-z]{4,8}!', /^tok(en)?[:=][a-z]{4,8}!$/],
  ) as fc.Arbitrary<[string, RegExp]>;
  const both = made.chain(([expression, form]) =>
    fc.tuple(fc.constant(expression), fc.stringMatching(form), fc.stringMatching(/^([a-z .]{0,20} )?$/)),
  );
  fc.assert(
    fc.property(both, ([expression, match, before]) => {
      const pattern = compileMaskPattern(expression);
      for (let cut = 1; cut < match.length; cut++)
        assert.ok(pattern.open(Buffer.from(before + match.slice(0, cut))) <= before.length);
      assert.deepEqual(pattern.find(Buffer.from(`${before + match} `)), [
        { start: before.length, end: before.length + match.length },
      ]);
    }),
  );
});
