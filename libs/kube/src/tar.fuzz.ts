import assert from 'node:assert/strict';
import { cut, type FuzzTarget } from '@sluice/testing/fuzz';
import { TarReader } from './tar.ts';

export const tar: FuzzTarget = {
  name: 'tar',
  corpus: new URL('../fuzz-corpus/tar/', import.meta.url),
  maxBytes: 8192,
  words: [
    Buffer.alloc(512),
    Buffer.from('ustar\x0000'),
    Buffer.from('19 path=some/where\n'),
    Buffer.from('00000001000'),
  ],
  run(input, random) {
    // A changed byte breaks the checksum of its header, and little would be read: so every second input is mended.
    const archive = random.below(2) === 0 ? input : mended(input);
    const whole = told([archive]);
    assert.deepEqual(told(cut(archive, random)), whole);
    return whole.map((event) => event.split(' ')[0]).join(' ');
  },
};

function told(pieces: readonly Buffer[]): string[] {
  const events: string[] = [];
  const reader = new TarReader({
    entry({ type, size, name }) {
      assert.ok(Number.isSafeInteger(size) && size >= 0);
      assert.ok(!events.includes('notTar') && name.length <= 64 * 1024);
      events.push(`${type} ${size} ${name}`);
    },
    notTar() {
      assert.ok(!events.includes('notTar'));
      events.push('notTar');
    },
  });
  for (const piece of pieces) reader.push(piece);
  assert.ok(events.length <= Buffer.concat(pieces).length / 512, 'an entry without a header');
  return events;
}

/** The same with a right checksum in every block that is not empty. */
function mended(input: Buffer): Buffer {
  const archive = Buffer.from(input);
  for (let at = 0; at + 512 <= archive.length; at += 512) {
    const block = archive.subarray(at, at + 512);
    if (block.every((byte) => byte === 0)) continue;
    block.fill(' ', 148, 156);
    const sum = block.reduce((total, byte) => total + byte, 0);
    block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  }
  return archive;
}
