import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { cut, FuzzError, type FuzzTarget, fuzz, Random } from './fuzz.ts';

test('a fault two mutations away from the corpus is found, made small, and found again by its seed', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-fuzz-'));
  t.after(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'seed.hex'), '616263 # abc\n00 01 02 03');
  const target: FuzzTarget = {
    name: 'faulty',
    corpus: pathToFileURL(`${folder}/`),
    run(input) {
      const at = input.indexOf(0xff);
      assert.ok(at === -1 || !input.includes(0x80, at));
      return at === -1 ? 'plain' : 'half way';
    },
  };
  const finding = async (): Promise<FuzzError> => {
    try {
      await fuzz(target, 7, (runs) => runs >= 100_000);
    } catch (error) {
      assert.ok(error instanceof FuzzError);
      return error;
    }
    throw new Error('nothing was found');
  };
  const { input, message } = await finding();
  assert.equal(input.toString('hex'), 'ff80');
  assert.match(message, /^faulty, seed 7: .*\ninput ff80$/s);
  assert.deepEqual((await finding()).message, message);
});

test('the pieces of an input are the input', () => {
  const input = Buffer.from('abcdefghijklmnopqrstuvwxyz');
  const random = new Random(3);
  const counts = Array.from({ length: 100 }, () => {
    const pieces = cut(input, random);
    assert.deepEqual(Buffer.concat(pieces), input);
    return pieces.length;
  });
  assert.ok(counts.includes(1) && counts.includes(26) && new Set(counts).size > 5);
});
