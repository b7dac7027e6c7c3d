import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { type TarEntry, TarReader } from './tar.ts';

const long = `m/${'d'.repeat(60)}/`;
const members = [
  'directory 0 m/',
  `directory 0 ${long}`,
  `file 5 ${long}${'n'.repeat(60)}`,
  'file 3 m/f',
  'link 0 m/h',
  'symlink 0 m/s',
];
for (const format of ['gnu', 'posix', 'ustar']) {
  test(`the members of what GNU tar writes as ${format} are told, wherever it is cut`, () => {
    const archive = readFileSync(new URL(`../fuzz-corpus/tar/${format}.tar`, import.meta.url));
    assert.deepEqual(told([archive]), members);
    assert.deepEqual(told(Array.from(archive, (byte) => Buffer.of(byte))), members);
    for (let at = 1; at < archive.length; at += 1) {
      assert.deepEqual(told([archive.subarray(0, at), archive.subarray(at)]), members, `cut at ${at}`);
    }
  });
}

test('what follows the end of an archive, and its content, is not looked at', () => {
  const content = header({ name: 'inner' });
  const archive = [
    header({ name: 'outer', size: '00000001000' }),
    content,
    Buffer.alloc(512),
    header({ name: 'after' }),
  ];
  assert.deepEqual(told(archive), ['file 512 outer']);
});

test('a header says its name and size in each of the ways there are', () => {
  assert.deepEqual(told([header({ name: 'a', prefix: 'p/q' })]), ['file 0 p/q/a']);
  assert.deepEqual(told([header({ name: 'old', type: '\0' })]), ['file 0 old']);
  assert.deepEqual(told([header({ name: 'a', type: '5', size: '777' }), header({ name: 'b' })]), [
    'directory 0 a',
    'file 0 b',
  ]);
  const huge = Buffer.from('80000000000000020000000000'.slice(0, 24), 'hex').toString('latin1');
  assert.deepEqual(told([header({ name: 'a', size: huge })]), ['file 8589934592 a']);
  assert.deepEqual(told([header({ name: 'é', type: 'V' })]), ['other 0 é']);
  const pax = ['19 path=some/where\n', '12 size=512\n', '8 junk=\n'].join('');
  const records = Buffer.alloc(512, 0);
  records.write(pax);
  const extended = header({ name: 'x', type: 'x', size: pax.length.toString(8) });
  assert.deepEqual(
    told([extended, records, header({ name: 'short' }), Buffer.alloc(512, 1), header({ name: 'next' })]),
    ['file 512 some/where', 'file 0 next'],
  );
});

test('a long name of more than 64 KiB is read past', () => {
  const size = 70_000;
  const name = Buffer.alloc(Math.ceil(size / 512) * 512, 'n');
  assert.deepEqual(told([header({ name: 'L', type: 'L', size: size.toString(8) }), name, header({ name: 'short' })]), [
    'file 0 short',
  ]);
});

test('what is no archive is told once', () => {
  assert.deepEqual(told([Buffer.alloc(5000, 'tar: no such file\n')]), ['no tar']);
  assert.deepEqual(told([header({ name: 'a' }), Buffer.alloc(2000, 1)]), ['file 0 a', 'no tar']);
  assert.deepEqual(told([header({ name: 'a', size: '9' })]), ['no tar']);
  assert.deepEqual(told([header({ name: 'a', size: '\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff' })]), ['no tar']);
  assert.deepEqual(told([Buffer.from('too short to say')]), []);
  assert.deepEqual(told([Buffer.alloc(10_240)]), [], 'an empty archive');
});

function told(pieces: readonly Buffer[]): string[] {
  const events: string[] = [];
  const reader = new TarReader({
    entry: ({ type, size, name }: TarEntry) => events.push(`${type} ${size} ${name}`),
    notTar: () => events.push('no tar'),
  });
  for (const piece of pieces) reader.push(piece);
  return events;
}

interface Header {
  readonly name: string;
  readonly prefix?: string;
  /** As its field has it; one character is one byte. */
  readonly size?: string;
  readonly type?: string;
}

/** A POSIX header, with its checksum. */
function header({ name, prefix = '', size = '0', type = '0' }: Header): Buffer {
  const block = Buffer.alloc(512);
  block.write(name, 0);
  block.write(size, 124, 'latin1');
  block.write('        ', 148);
  block.write(type, 156);
  block.write('ustar\x0000', 257);
  block.write(prefix, 345);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}
