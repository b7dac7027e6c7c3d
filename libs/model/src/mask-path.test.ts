import assert from 'node:assert/strict';
import { test } from 'node:test';
import { globMatcher } from './globs.ts';
import { MaskPathError, parseMaskPath } from './mask-path.ts';

const paths: readonly (readonly [path: string, steps: readonly string[]])[] = [
  ['.spec.password', ['spec', 'password']],
  ['$.spec.password', ['spec', 'password']],
  ['.spec.users[*].token', ['spec', 'users', '[]', 'token']],
  [".data['tls.key']", ['data', 'tls.key']],
  [".data['it\\'s']", ['data', "it's"]],
  ['.data.*', ['data', '*']],
  ['..token', ['..', 'token']],
  ["..['a b']", ['..', 'a b']],
];

for (const [path, expected] of paths) {
  test(`the path ${path} is read`, () => {
    const words = { each: '[]', deep: '..' } as const;
    assert.deepEqual(
      parseMaskPath(path).map((step) => (step.kind === 'key' ? step.text : words[step.kind])),
      expected,
    );
  });
}

const faulty: readonly (readonly [path: string, at: number])[] = [
  ['', 0],
  ['spec', 0],
  ['.spec.', 6],
  ['.spec[0]', 5],
  ['.spec[?(@.a)]', 5],
  ['.spec..', 7],
  [".spec['']", 5],
  ['.a'.repeat(65), 130],
];

for (const [path, at] of faulty) {
  test(`the path ${path.slice(0, 20) || '""'} is refused, with the place`, () => {
    assert.throws(
      () => parseMaskPath(path),
      (error) => error instanceof MaskPathError && error.at === at,
    );
  });
}

const globs: readonly (readonly [glob: string, name: string, matches: boolean])[] = [
  ['password', 'password', true],
  ['password', 'Password', false],
  ['*-password', 'db-password', true],
  ['*-password', '-password', true],
  ['*-password', 'password', false],
  ['a*b*c', 'abc', true],
  ['a*b*c', 'axxbyyc', true],
  ['a*b*c', 'acb', false],
  ['ab*ba', 'aba', false],
  ['a*bc*c', 'abc', false],
  ['*', '', true],
  ['**', 'x', true],
];

for (const [glob, name, matches] of globs) {
  test(`${glob} ${matches ? 'matches' : 'does not match'} "${name}"`, () => {
    assert.equal(globMatcher([glob])(name), matches);
  });
}

test('case is of no matter where it is said so', () => {
  assert.ok(globMatcher(['*Token'], { ignoreCase: true })('MYTOKEN'));
});
