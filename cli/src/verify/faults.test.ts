import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Faults, faultCodes } from './faults.ts';
import { unprovenReasons } from './judge.ts';

test('the page on proofs explains every fault and every reason, and no other', () => {
  const page = readFileSync(join(import.meta.dirname, '../../../docs/proof.md'), 'utf8');
  const codes = (title: string): string[] => {
    const section = page.split(`\n## ${title}\n`)[1]?.split('\n## ')[0] ?? '';
    return [...section.matchAll(/^\| `([a-z-]+)` \|/gm)].map(([, code = '']) => code);
  };
  assert.deepEqual(codes('Faults'), Object.keys(faultCodes));
  assert.deepEqual(codes('What is not proven, without being wrong'), Object.keys(unprovenReasons));
});

test('of a record that is wrong from end to end, a thousand faults are kept and the others counted', () => {
  const faults = new Faults();
  for (let seq = 1_500; seq > 0; seq--) faults.add(seq % 2 === 0 ? 'b' : 'a', seq, 'hash', '');
  const sorted = faults.sorted();
  assert.deepEqual([sorted.length, faults.leftOff], [1_000, 500]);
  assert.deepEqual([sorted[0]?.ledger, sorted[0]?.seq, sorted[999]?.ledger, sorted[999]?.seq], ['a', 501, 'b', 1_500]);
});
