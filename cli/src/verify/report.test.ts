import assert from 'node:assert/strict';
import { test } from 'node:test';
import { progressLine } from './progress.ts';
import { type Report, reportJson, reportText } from './report.ts';

/** 2026-11-23T12:09:47.932Z. */
const nowMs = 1_795_435_787_932;

const report: Report = {
  verdict: {
    ledgers: 2,
    frames: 20_113,
    provenMicros: (nowMs - 5_000) * 1000,
    unproven: [
      { ledger: 'ingress-a-0', first: 20_001, last: 20_003, why: 'unsealed', sinceMicros: (nowMs - 3_000) * 1000 },
      { ledger: 'ingress-a-0', first: 20_000, last: 20_000, why: 'lost', sinceMicros: 0 },
    ],
    behind: { ledger: 'ingress-a-0', seq: 19_990 },
  },
  faults: [
    { ledger: 'ingress-a-0', seq: 7, what: 'column', message: 'column kind says "\u001b[2K", the header "call"' },
  ],
  faultsLeftOff: 0,
  secondHome: {
    ledgers: new Map(),
    seals: 1,
    oldest: '2026-11-22T00:00:00.000Z',
    newest: '2026-11-23T12:09:00.000Z',
    unreadable: 0,
  },
  sealsDir: '/home/seals',
  sharesDisk: true,
  nowMs,
};

test('people read what was checked, what is not proven and why, what the second home is worth, and the place of each fault', () => {
  assert.equal(
    reportText(report),
    `2 ledgers, 20,113 frames.
The newest seal is of 2026-11-23T12:09:42.932Z; what is older is proven, but for what is listed here.

Not proven: 4 frames.
LEDGER       FRAMES          AGE  WHY
ingress-a-0  20001 to 20003  3 s  no seal covers them
ingress-a-0  20000                lost with their writer, as the recorder says

The second home /home/seals has 1 seal, the newest of 2026-11-23T12:09:00.000Z.
It is older than the record: it lacks the seal of ingress-a-0 over frame 19990.
It shares its disk with the record: who can write to this disk can change both.

1 fault:
LEDGER       SEQ  WHAT    MESSAGE
ingress-a-0  7    column  column kind says "\\u001b[2K", the header "call"
`,
  );
});

test('programs read the same as one JSON object', () => {
  assert.deepEqual(JSON.parse(reportJson(report)), {
    ledgers: 2,
    frames: 20_113,
    provenAt: '2026-11-23T12:09:42.932Z',
    unproven: [
      {
        ledger: 'ingress-a-0',
        first: 20_001,
        last: 20_003,
        why: 'unsealed',
        frames: 3,
        since: '2026-11-23T12:09:44.932Z',
      },
      { ledger: 'ingress-a-0', first: 20_000, last: 20_000, why: 'lost', frames: 1, since: null },
    ],
    secondHome: {
      dir: '/home/seals',
      seals: 1,
      oldest: '2026-11-22T00:00:00.000Z',
      newest: '2026-11-23T12:09:00.000Z',
      unreadableLines: 0,
      behind: { ledger: 'ingress-a-0', seq: 19_990 },
      sharesDisk: true,
    },
    faults: report.faults,
  });
});

test('a record without a second home, or without any seal, is said to be so', () => {
  const text = reportText({
    ...report,
    secondHome: null,
    verdict: { ...report.verdict, provenMicros: 0, unproven: [] },
  });
  assert.match(text, /^Nothing is proven: no seal holds\.$/m);
  assert.match(text, /^There is no second home of seals in \/home\/seals: whole ledgers may be missing unnoticed\.$/m);
});

test('progress is a share of the frames, also when more come in', () => {
  assert.equal(progressLine(500, 1_000, 33.33), '████████████░░░░░░░░░░░░  50 %  500 of 1,000 frames  33.3 MB/s');
  assert.equal(progressLine(1_001, 1_000, 1), '████████████████████████ 100 %  1,001 of 1,000 frames  1.0 MB/s');
});
