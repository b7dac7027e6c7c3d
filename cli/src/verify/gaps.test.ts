import assert from 'node:assert/strict';
import { test } from 'node:test';
import { explainGap } from './gaps.ts';
import type { Run } from './words.ts';

const closing = (seq: number, missing: readonly Run[], isProven = true) => ({
  head: { ledger: 'l', seq, hash: '' },
  missing,
  isProven,
});

test('what is not there was there, or was lost, or is awaited', () => {
  const vectors = [
    // Nothing is known of it.
    [[5, 9], { wholeUpTo: 0, recordedUpTo: 0, closings: [] }, [['awaited', [5, 9]]]],
    // Up to 7 it was recorded.
    [
      [5, 9],
      { wholeUpTo: 0, recordedUpTo: 7, closings: [] },
      [
        ['missing', [5, 7]],
        ['awaited', [8, 9]],
      ],
    ],
    [
      [5, 9],
      { wholeUpTo: 7, recordedUpTo: 7, closings: [] },
      [
        ['missing', [5, 7]],
        ['awaited', [8, 9]],
      ],
    ],
    // A recorder says that some was lost, with frames behind it.
    [[5, 9], { wholeUpTo: 4, recordedUpTo: 12, closings: [closing(4, [[5, 9]])] }, [['lost', [5, 9]]]],
    [
      [5, 9],
      { wholeUpTo: 4, recordedUpTo: 12, closings: [closing(4, [[6, 7]])] },
      [
        ['missing', [5, 5]],
        ['lost', [6, 7]],
        ['missing', [8, 9]],
      ],
    ],
    [
      [5, 9],
      { wholeUpTo: 4, recordedUpTo: 0, closings: [closing(4, [[6, 7]])] },
      [
        ['awaited', [5, 5]],
        ['lost', [6, 7]],
        ['awaited', [8, 9]],
      ],
    ],
    // No seal covers its word.
    [[5, 9], { wholeUpTo: 4, recordedUpTo: 12, closings: [closing(4, [[5, 9]], false)] }, [['missing', [5, 9]]]],
    // An earlier list names frame 7: up to there nothing can have been lost.
    [
      [5, 9],
      { wholeUpTo: 7, recordedUpTo: 12, closings: [closing(4, [[5, 9]])] },
      [
        ['missing', [5, 7]],
        ['lost', [8, 9]],
      ],
    ],
    // An earlier closing saw frame 6.
    [
      [5, 9],
      { wholeUpTo: 4, recordedUpTo: 12, closings: [closing(4, [[5, 9]]), closing(4, [[5, 5]])] },
      [
        ['lost', [5, 5]],
        ['missing', [6, 6]],
        ['lost', [7, 9]],
      ],
    ],
    // A later one says more of what is behind the reach of the first.
    [
      [8, 9],
      { wholeUpTo: 4, recordedUpTo: 12, closings: [closing(4, [[5, 5]]), closing(6, [[8, 9]])] },
      [['lost', [8, 9]]],
    ],
  ] as const;
  for (const [gap, evidence, expected] of vectors) {
    assert.deepEqual(
      explainGap(gap, evidence).map(({ kind, run }) => [kind, run]),
      expected,
    );
  }
});
