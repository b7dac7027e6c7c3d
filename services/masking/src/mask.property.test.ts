// Lists of anything with Secrets among them, cut anywhere: no planted value survives, and nothing else changes.
import assert from 'node:assert/strict';
import { createSecretKey } from 'node:crypto';
import { test } from 'node:test';
import { Splitter } from '@sluice/kube';
import fc from 'fast-check';
import { createMasker } from './mask.ts';

const masker = createMasker(createSecretKey(Buffer.alloc(32, 3)));
const call = {
  agent: { issuer: 'i', name: 'a' },
  apiGroup: '',
  resource: 'things',
  subresource: '',
  form: 'object',
  direction: 'shown',
  rules: [],
} as const;

/** Told apart from anything the generator makes by its length and its beginning. */
const planted = fc.uint8Array({ minLength: 12, maxLength: 40 }).map((bytes) => Buffer.from(bytes).toString('base64'));
const anything = fc
  .dictionary(
    fc.string().filter((key) => !['kind', '__proto__', 'data', 'stringData'].includes(key)),
    fc.jsonValue({ maxDepth: 3 }),
  )
  // Behind `-Pw` and `pwd:` stands a secret, by chance too.
  .filter((made) => !/"--?[a-z]|p(?:w|in|ass)|secret|token|key|auth/i.test(JSON.stringify(made)));
const secret = fc.record({
  before: anything,
  data: fc.dictionary(
    fc.string({ minLength: 1 }).filter((key) => key !== '__proto__'),
    planted,
    { minKeys: 1, maxKeys: 4 },
  ),
  kind: fc.constant('Secret'),
  after: anything,
});
const item = fc.oneof(anything, secret);

function masked(text: string, cuts: readonly number[]): string {
  const splitter = new Splitter('document', 1 << 20);
  const bytes = Buffer.from(text);
  const out: Buffer[] = [];
  const take = (pieces: ReturnType<Splitter['end']>): void => {
    for (const piece of pieces) out.push(piece.kind === 'value' ? masker.mask(call, piece.bytes).bytes : piece.bytes);
  };
  let at = 0;
  for (const cut of [...cuts.map((share) => Math.floor(share * bytes.length)).sort((a, b) => a - b), bytes.length]) {
    take(splitter.push(Buffer.from(bytes.subarray(at, cut))));
    at = cut;
  }
  take(splitter.end());
  return Buffer.concat(out).toString();
}

/** What the text must have become, by the plain reading of JSON: every value in a Secret's data is some mask. */
function assertMasked(was: unknown, is: unknown): void {
  const { data: before = {}, ...rest } = was as { data?: Record<string, string> };
  const { data: after = {}, ...others } = is as { data?: Record<string, string> };
  assert.deepEqual(others, rest);
  assert.deepEqual(Object.keys(after), Object.keys(before));
  for (const value of Object.values(after)) assert.match(Buffer.from(value, 'base64').toString(), /^sluice-mask:v1:/);
}

test('no planted value survives any cut, and everything else stays as it was', () => {
  const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 6 });
  fc.assert(
    fc.property(fc.array(item, { maxLength: 6 }), cuts, fc.constantFrom(0, 1), (items, where, indent) => {
      const list = { kind: 'ThingList', apiVersion: 'v1', metadata: {}, items };
      const text = masked(JSON.stringify(list, null, indent), where);
      const result = JSON.parse(text) as typeof list;
      assert.deepEqual({ ...result, items: [] }, { ...list, items: [] });
      assert.equal(result.items.length, items.length);
      for (const [index, was] of (JSON.parse(JSON.stringify(items)) as unknown[]).entries()) {
        assertMasked(was, result.items[index]);
      }
      for (const one of items) {
        if ('data' in one)
          for (const value of Object.values(one.data as object)) assert.ok(!text.includes(String(value)));
      }
    }),
    { numRuns: 400 },
  );
});
