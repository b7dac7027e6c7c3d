// Expressions of policies: in objects, and in texts that come in pieces.
import assert from 'node:assert/strict';
import { createSecretKey } from 'node:crypto';
import { test } from 'node:test';
import type { MaskRule } from '@sluice/model';
import fc from 'fast-check';
import { createMasker } from './mask.ts';
import { findPatterns, patternsOf } from './patterns.ts';
import { maskText } from './text.ts';

const masker = createMasker(createSecretKey(Buffer.alloc(32, 3)));
const rule: MaskRule = { resources: ['pods'], paths: [], keys: [], detectors: [], patterns: ['ACME-[A-Z0-9]{8,16}'] };

function maskedObject(object: unknown, resource = 'pods'): string {
  const request = {
    agent: { issuer: 'i', name: 'a' },
    apiGroup: '',
    resource,
    subresource: '',
    form: 'object',
    direction: 'shown',
    rules: [rule],
  } as const;
  return masker.mask(request, Buffer.from(JSON.stringify(object))).bytes.toString();
}

test('what a pattern matches is masked in every string of the resources it is for, and nowhere else', () => {
  const object = { metadata: { annotations: { note: 'é license ACME-AAAA1111, "ACME-BBBB2222" ACME-no' } } };
  assert.match(maskedObject(object), /é license sluice-mask:\S+, \\"sluice-mask:[^"]+\\" ACME-no/);
  assert.equal(maskedObject(object, 'services'), JSON.stringify(object));
});

function inPieces(text: Buffer, cuts: readonly number[], isTyped: boolean): { out: string; held: number[] } {
  const find = [findPatterns(patternsOf(rule.patterns ?? []))];
  const places = [0, ...cuts.map((share) => Math.floor(share * text.length)).sort((a, b) => a - b), text.length];
  const held: number[] = [];
  let out = '';
  let carry = Buffer.alloc(0);
  for (const [index, place] of places.entries()) {
    const bytes = text.subarray(places[index - 1] ?? 0, place);
    const done = maskText(() => '«mask»', find, { carry, bytes, flush: index === places.length - 1, isTyped });
    carry = Buffer.from(done.carry);
    held.push(done.held);
    out += done.bytes.toString();
  }
  return { out, held };
}

const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 30 });
const value = fc.stringMatching(/^ACME-[A-Z0-9]{8,16}$/);

test('in a text a match is masked wherever the text is cut', () => {
  fc.assert(
    fc.property(value, fc.stringMatching(/^[a-z A-Z]{0,40} $/), cuts, (secret, before, where) => {
      const text = Buffer.from(`${before}${secret} after`);
      assert.equal(inPieces(text, where, false).out, `${before}«mask» after`);
      const typed = inPieces(text, where, true).out;
      assert.ok(typed.startsWith(before) && /^(A|AC|ACM)?«mask» after$/.test(typed.slice(before.length)), typed);
    }),
  );
});

test('only what may be the beginning of a match is held', () => {
  const every = (text: string): number[] => Array.from(text, (_, index) => (index + 1) / text.length);
  const text = 'ACE ACM1 ACME ';
  assert.deepEqual(
    inPieces(Buffer.from(text), every(text), true).held.slice(1),
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0],
  );
});
