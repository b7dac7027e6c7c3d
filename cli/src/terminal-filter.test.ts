// What of a recorded terminal reaches another one: what draws, and nothing else.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TerminalFilter } from './terminal-filter.ts';

const pass = (...texts: readonly string[]): string => {
  const filter = new TerminalFilter();
  return texts.map((text) => filter.pass(text)).join('');
};

const drawing = [
  'plain text, ünïcödé, 🔑\r\n\tand a bell\u0007',
  '\u001b[1;31mred\u001b[0m\u001b[38:2::1:2:3mtrue\u001b[m',
  '\u001b[2J\u001b[H\u001b[10;20Hat\u001b[K\u001b[?2J\u001b[3A\u001b[1;24r',
  '\u001b7\u001b8\u001bD\u001bM\u001b(0lqk\u001b(B',
  '\u001b[?1049h\u001b[?25l\u001b[?7l\u001b[4h\u001b[2 q\u001b[!p',
];

const dropped: Readonly<Record<string, string>> = {
  'the title': '\u001b]0;owned\u0007',
  'the clipboard': '\u001b]52;c;ZWNobyBvd25lZA==\u001b\\',
  'a hyperlink': '\u001b]8;;https://example\u0007',
  'a colour that is asked for': '\u001b]11;?\u0007',
  'who are you': '\u001b[c\u001b[>c\u001b[=c\u001bZ\u001b[>q\u0005',
  'where is the cursor, are you well': '\u001b[6n\u001b[5n\u001b[?6n',
  'what is this setting': '\u001bP$qm\u001b\\\u001b[?25$p\u001bP+q544e\u001b\\\u001b[x',
  'the size, and the title, of the window': '\u001b[18t\u001b[21t\u001b[14;2t',
  'the mouse, the focus, pasting': '\u001b[?1000h\u001b[?1006h\u001b[?1004h\u001b[?2004h\u001b[?1003h',
  'what keys send': '\u001b[?1h\u001b=\u001b[>4;2m\u001b[>1u\u001b[?u\u001b[2h',
  printing: '\u001b[5i\u001b[?5i',
  'a full reset, another encoding': '\u001bc\u001b%G',
  'a rectangle’s checksum': '\u001b[1;1;1;1;1;1*y',
  'strings of applications': '\u001b_G\u001b\\\u001b^x\u001b\\\u001bXx\u001b\\',
  'an eight-bit control sequence': '\u009b6n\u009d52;c;AAAA\u009c\u0090+q\u009c',
};

for (const text of drawing) {
  test(`what draws goes through, wherever it is cut: ${JSON.stringify(text)}`, () => {
    assert.equal(pass(text), text);
    assert.equal(pass(...Array.from(text)), text);
  });
}

for (const [what, text] of Object.entries(dropped)) {
  test(`dropped, wherever it is cut: ${what}`, () => {
    assert.equal(pass(`a${text}b`), 'ab');
    assert.equal(pass('a', ...Array.from(text), 'b'), 'ab');
    for (let at = 1; at < text.length; at++) assert.equal(pass(text.slice(0, at), text.slice(at)), '');
  });
}

test('of several modes at once those are kept that draw', () => {
  assert.equal(pass('\u001b[?1049;1000;25h'), '\u001b[?1049;25h');
});

test('what is cancelled, endless or left open ends nowhere', () => {
  assert.equal(pass('a\u001b[31\u0018mb'), 'amb');
  assert.equal(pass(`\u001b[${'1;'.repeat(60)}6nA`).includes('\u001b'), false);
  assert.equal(pass('\u001b]52;c;AAAA', '\u001b[31mred'), '\u001b[31mred');
  assert.equal(pass('\u001b'), '');
});

test('in the end a terminal is as it was, and leaves the other screen only where it is on it', () => {
  const filter = new TerminalFilter();
  assert.ok(!filter.reset().includes('1049'));
  filter.pass('\u001b[?1049h\u001b[31');
  const reset = filter.reset();
  for (const ends of ['\u001b[?1049l', '\u001b[0m', '\u001b[?25h', '\u001b[?1000l', '\u001b[?2004l', '\u001b(B'])
    assert.ok(reset.includes(ends), JSON.stringify(ends));
  assert.equal(filter.pass('m'), 'm', 'the sequence that was held is gone');
  filter.pass('\u001b[?1049h\u001b[?1049l');
  assert.ok(!filter.reset().includes('1049'));
});
