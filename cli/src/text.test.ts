import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CallRow } from '@sluice/model';
import { callsTable } from './calls.ts';
import { durationText, parseDuration, roughly } from './duration.ts';
import { onOneLine, printable, shortened, wrap } from './text.ts';

test('what could command a terminal is shown instead', () => {
  assert.equal(
    printable('a\u001b[2Jb\u0007\r\u202ec\u200bd\u009b'),
    'a\\u001b[2Jb\\u0007\\u000d\\u202ec\\u200bd\\u009b',
  );
  assert.equal(printable('Zürich\n\tok'), 'Zürich\n\tok');
});

test('sequences of terminals, overwriting and what nobody sees are all shown', () => {
  const hidden = {
    'a control sequence': '\u001b[31m',
    'an operating system command': '\u001b]52;c;AA==\u0007',
    'a device control string': '\u001bP$qm\u009c',
    'an eight-bit one': '\u009b6n\u009d0;x\u009c',
    'a line that is written over': 'rm -rf /\rls     ',
    'backspaces, deletions': 'rm\b\bls\u007f',
    'zero width': 'a\u200bb\u200cc\u200dd\u2060e\ufefff\u00adg\u180eh',
    'right to left': '\u202ea\u202c\u2067b\u2069\u200fc\u061c',
    'line separators': 'a\u2028b\u2029c\u0085d',
    'fillers, tags, notes': 'a\u3164b\u115fc\u{e0041}d\ufff9e',
  };
  for (const [what, text] of Object.entries(hidden)) {
    const shown = printable(text);
    assert.doesNotMatch(shown, /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\u3164\u115f]/u, what);
    assert.equal(JSON.parse(`"${shown}"`), text, 'nothing of it is lost');
  }
  for (const text of ['Zürich', '日本語', 'שלום', '🔑👩\ufe0f', 'é']) assert.equal(printable(text), text);
});

test('what is on one line stays there', () => {
  assert.equal(onOneLine('a\nb\tc\u001b'), 'a\\nb\\tc\\u001b');
});

test('lines are broken at blanks, and no blank and no word is lost', () => {
  assert.equal(wrap('', 5, '  '), '');
  assert.equal(wrap('ab cd ef', 5, '  '), 'ab cd\n  ef');
  assert.equal(wrap('ab cd ef', 8, '  '), 'ab cd ef');
  assert.equal(wrap('ab abcdefgh c', 5, '  '), 'ab\n  abcdefgh\n  c');
  assert.equal(wrap('  a  b', 20, ''), '  a  b');
});

test('a long text is shortened, and never to half a character', () => {
  assert.equal(shortened('abcd', 4), 'abcd');
  assert.equal(shortened('abcde', 4), 'abc…');
  assert.equal(shortened('ab\u{1f511}de', 4), 'ab…');
});

test('a time that has passed is told in its largest unit', () => {
  const told = [-5, 0, 999, 59_999, 60_000, 3_599_999, 3_600_000, 86_399_999, 86_400_000, 700_000_000].map(roughly);
  assert.deepEqual(told, ['0s', '0s', '0s', '59s', '1m', '59m', '1h', '23h', '1d', '8d']);
});

test('durations have one number and one unit', () => {
  assert.equal(parseDuration('90s'), 90_000);
  assert.equal(parseDuration('30m'), 1_800_000);
  assert.equal(parseDuration('1h'), 3_600_000);
  assert.equal(parseDuration('7d'), 604_800_000);
  for (const text of ['', '1', 'h', '1w', '-1h', '1h30m', '1 h']) assert.equal(parseDuration(text), null, text);
});

test('durations are written in the largest unit that fits, as policies write them', () => {
  const written = [0, 1_000, 60_000, 90_000, 1_800_000, 3_600_000, 5_400_000, 43_200_000].map(durationText);
  assert.deepEqual(written, ['0s', '1s', '1m', '90s', '30m', '1h', '90m', '12h']);
});

const call: CallRow = {
  id: '01a20850-635b-7dcb-abe1-3e7176b59372',
  at: '2026-11-23T12:10:16.123Z',
  agent: 'demo\u001b[31m',
  task: null,
  session: '00',
  connection: 'c',
  verb: 'get',
  resource: 'pods',
  namespace: '',
  name: 'p',
  effect: 'allow',
  reasonCode: 'AllowedByRule',
  status: null,
  outcome: null,
  command: null,
  exitCode: null,
  incomplete: false,
};

test('a call that runs says so, and no name reaches the terminal raw', () => {
  const [head, line] = callsTable([call]).split('\n');
  assert.match(head ?? '', /^TIME\s+AGENT\s+VERB/);
  assert.match(line ?? '', /^2026-11-23 12:10:16 {2}demo\\u001b\[31m {2}get {3}pods .* - {2}.*running/);
  assert.equal(callsTable([{ ...call, agent: 'a\nb\tc' }]).split('\n').length, 3, 'a head, one row, the end');
  assert.equal(callsTable([]), 'No calls.\n');
});

test('calls have their commands, where one ran', () => {
  assert.doesNotMatch(callsTable([call]), /COMMAND/);
  const ran = { ...call, command: ['sh', '-c', `echo \u202e; ${'x'.repeat(100)}`] };
  const [head, first, second] = callsTable([ran, call]).split('\n');
  assert.match(head ?? '', /ID +COMMAND$/);
  assert.match(first ?? '', / {2}sh -c \$'echo \\u202e; x{38}…$/);
  assert.match(second ?? '', / -$/);
});
