import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { Ledgers, type Link } from './ledgers.ts';

const noHash = '0'.repeat(64);

/** A chain of a ledger, as a writer makes it. */
function chain(ledger: string, length: number): Link[] {
  const links: Link[] = [];
  for (let seq = 1; seq <= length; seq++) {
    const prev = links.at(-1)?.hash ?? noHash;
    links.push({ ledger, seq, prev, hash: createHash('sha256').update(`${prev}${seq}`).digest('hex') });
  }
  return links;
}

const ledgers = { a: chain('a', 12), b: chain('b', 12) };
const arrivals = fc.array(fc.tuple(fc.constantFrom('a' as const, 'b' as const), fc.nat(11)), { maxLength: 60 });

test('in any order, with any repeats, each frame is new once, and the head stands before the first gap', () => {
  fc.assert(
    fc.property(arrivals, (frames) => {
      const known = new Ledgers();
      const news = frames.filter(([ledger, at]) => known.place(ledgers[ledger][at] as Link) === 'new');
      const all = new Set(frames.map(([ledger, at]) => `${ledger}${at}`));
      assert.deepEqual(new Set(news.map(([ledger, at]) => `${ledger}${at}`)), all);
      assert.equal(news.length, all.size);
      for (const ledger of ['a', 'b'] as const) {
        let connected = 0;
        while (all.has(`${ledger}${connected}`)) connected++;
        assert.equal(known.head(ledger).seq, connected);
        assert.equal(known.head(ledger).hash, ledgers[ledger][connected - 1]?.hash ?? noHash);
      }
    }),
  );
});

test('another frame at a place that is taken is a conflict; below the head only the table knows', () => {
  const known = new Ledgers();
  const [first, second, third, fourth] = ledgers.a as [Link, Link, Link, Link];
  assert.equal(known.place(first), 'new');
  assert.equal(known.place(fourth), 'new');
  assert.equal(known.place(fourth), 'repeat');
  assert.equal(known.place({ ...fourth, hash: third.hash }), 'conflict');
  assert.equal(known.place(first), 'below');
  assert.equal(known.place({ ...second, prev: third.hash }), 'new', 'that it is not connected shows in the head');
  assert.equal(known.head('a').seq, 1);
});

test('what is missing between the head and the last frame is known by its positions', () => {
  const known = new Ledgers();
  const [first, , , fourth, , sixth, seventh, , , tenth] = ledgers.a;
  for (const link of [tenth, fourth, seventh, sixth, first]) known.place(link as Link);
  assert.deepEqual(known.missing('a'), [
    [2, 3],
    [5, 5],
    [8, 9],
  ]);
  assert.deepEqual(known.missing('b'), []);
});

test('a ledger that was restored is known up to its head', () => {
  const known = new Ledgers();
  const [, , , , fifth, sixth] = ledgers.a;
  known.restore({ ledger: 'a', seq: 5, hash: fifth?.hash ?? '' });
  assert.equal(known.place(fifth as Link), 'below');
  assert.equal(known.place(sixth as Link), 'new');
  assert.equal(known.head('a').seq, 6);
});
