import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FrameMeta, Head } from '@sluice/model';
import { Faults } from './faults.ts';
import { type History, history, LedgerFixture, names, newWriter, type Row, rowOf } from './fixtures.ts';
import { RecordCheck, type Verdict } from './record.ts';
import { Roots, SecondHomeReader } from './second-home.ts';
import { WholeStream } from './streams.ts';

interface Checked extends Verdict {
  readonly faults: readonly (readonly [ledger: string, seq: number, what: string])[];
}

/** Checks a record whose rows are given; `places`: as if they had been looked up. */
function check({ rows, lines, roots }: Pick<History, 'rows' | 'lines' | 'roots'>): Checked {
  const faults = new Faults();
  const trusted = new Roots(roots);
  const reader = new SecondHomeReader(trusted, faults);
  for (const line of lines) reader.line(line);
  const secondHome = reader.end();
  const byLedger = Map.groupBy(rows, ({ ledger }) => ledger);
  const ledgers = [...byLedger].map(([ledger, of]) => {
    const seqs = of.map(({ seq }) => seq);
    return { ledger, rows: of.length, first: Math.min(...seqs), last: Math.max(...seqs), bytes: 0 };
  });
  const record = new RecordCheck(ledgers, { roots: trusted, secondHome, secondHomeIs: 'own', faults });
  for (const [ledger, of] of byLedger) {
    const each = record.ledger(ledger);
    for (const { header, bytes, ...row } of of.toSorted((a, b) => a.seq - b.seq)) {
      each.row({ ...row, headerBase64: header.toString('base64'), size: bytes.length, bytesBase64: '' }, bytes);
    }
    each.end();
  }
  for (const place of record.unsettled()) {
    const there = rows.filter(({ ledger, seq }) => ledger === place.ledger && seq === place.seq);
    record.settle(
      place,
      there.map(({ header }) => header.subarray(-32).toString('hex')),
    );
  }
  for (const end of record.doubtfulStreams()) {
    const whole = new WholeStream();
    for (const row of rows) if (row.call === end.call) whole.hear(row);
    record.judgeStream(end, whole);
  }
  const verdict = record.verdict(secondHome);
  return { ...verdict, faults: faults.sorted().map(({ ledger, seq, what }) => [ledger, seq, what] as const) };
}

/** A record to which ledgers are added, or in whose place others are put. */
function withLedgers(record: History, ...ledgers: readonly LedgerFixture[]): History {
  const replaced = new Set(ledgers.map(({ name }) => name));
  return {
    ...record,
    rows: [...record.rows.filter(({ ledger }) => !replaced.has(ledger)), ...ledgers.flatMap(({ rows }) => rows)],
    lines: [...record.lines, ...ledgers.flatMap(({ lines }) => lines)],
  };
}

function without(record: History, isGone: (row: Row) => boolean): History {
  return { ...record, rows: record.rows.filter((row) => !isGone(row)) };
}

/** The last frame of a ledger that is connected with the first, as its rows have it. */
function headOf({ rows }: History, name: string): Head {
  const last = rows.filter(({ ledger }) => ledger === name).findLast(({ seq }, index) => seq === index + 1);
  return { ledger: name, seq: last?.seq ?? 0, hash: last?.header.subarray(-32).toString('hex') ?? '' };
}

const nextRecorder = names.recorder.replace('T02', 'T05');
const nextIngress = names.live.replace('T03', 'T05');

/** What a recorder writes that was started on this record: it names the heads it finds there. */
function restarted(record: History): History {
  const known = [...new Set(record.rows.map(({ ledger }) => ledger))];
  const ledger = new LedgerFixture(nextRecorder, record.recorder).open();
  ledger.say('heads', { heads: known.map((name) => headOf(record, name)) }).seal();
  return withLedgers(record, ledger);
}

test('what a recorder finds in a database that was tampered with, and names, does not make it true', () => {
  const record = history();
  const thief = { ...newWriter(record.rootKey, 'ingress'), key: record.ingress.key };
  const rewritten = new LedgerFixture(names.crashed, thief).open().calls(1);
  const genuine = record.rows.filter(({ ledger, seq }) => ledger === names.crashed && seq < 5);
  const tampered: readonly History[] = [
    withLedgers(record, rewritten),
    without(record, ({ ledger, seq }) => ledger === names.drained && seq > 9),
    without(record, ({ ledger, seq }) => ledger === names.crashed && seq === 6),
    { ...record, rows: [...record.rows.filter(({ ledger }) => ledger !== names.crashed), ...genuine] },
  ];
  for (const each of tampered) {
    const { faults } = check(each);
    assert.notDeepEqual(faults, []);
    assert.deepEqual(check(restarted(each)).faults, faults);
  }
  assert.deepEqual(check(restarted(record)).faults, []);
});

test('a frame behind the end that a recorder gave a ledger is not proven by a later list', () => {
  const record = history();
  const crashed = record.rows.filter(({ ledger }) => ledger === names.crashed);
  const grown = new LedgerFixture(names.crashed, record.ingress).open().calls(1).seal().calls(2);
  const late = grown.rows.filter(({ seq }) => seq > crashed.length);
  const longer = { ...record, rows: [...record.rows, ...late] };
  const closing = new LedgerFixture(nextRecorder, record.recorder).open();
  closing.say('ledger-closed', { head: grown.head, cause: 'lease-ended', missing: [], presumed: 0 });
  closing.say('heads', { heads: [grown.head] }).seal();
  assert.deepEqual(check(longer).faults, [[names.crashed, 7, 'end']]);
  const { faults, unproven } = check(withLedgers(longer, closing));
  assert.deepEqual(faults, []);
  assert.deepEqual(
    unproven.filter(({ ledger }) => ledger === names.crashed).map(({ first, last, why }) => [first, last, why]),
    [[7, 8, 'unsealed']],
  );
});

test('a ledger whose writer never signed it is not proven by the lists that name it', () => {
  const record = history();
  const thief = { ...newWriter(record.rootKey, 'ingress'), key: record.ingress.key };
  const { faults, unproven } = check(
    restarted(withLedgers(record, new LedgerFixture(nextIngress, thief).open().calls(1))),
  );
  assert.deepEqual(faults, []);
  assert.deepEqual(
    unproven.filter(({ ledger }) => ledger === nextIngress).map(({ first, last, why }) => [first, last, why]),
    [[1, 3, 'unsigned']],
  );
});

test('positions that no list speaks for are awaited, also below a seal: bodies travel by another stream', () => {
  const record = history();
  const unproven = (isGone: (row: Row) => boolean): unknown => {
    const checked = check(without(record, (row) => row.ledger === names.live && isGone(row)));
    assert.deepEqual(checked.faults, []);
    const runs = checked.unproven.filter(({ ledger }) => ledger === names.live);
    return runs.map(({ first, last, why }) => [first, last, why]);
  };
  assert.deepEqual(
    unproven(({ seq }) => seq === 14),
    [
      [14, 14, 'awaited'],
      [15, 15, 'unsealed'],
    ],
  );
  // The seal over frame 12 is there, at 13. Frames 9 and 10 were listed nowhere; of the others the seal speaks.
  assert.deepEqual(
    unproven(({ seq }) => seq === 9 || seq === 10),
    [
      [9, 10, 'awaited'],
      [14, 15, 'unsealed'],
    ],
  );
});

test('a recorder’s word that positions were lost counts when it is sealed, and for no position that one saw before', () => {
  const record = history();
  const cut = without(record, ({ ledger, seq }) => ledger === names.live && seq === 7);
  const missing = [[7, 7]] as const;
  const say = (ledger: LedgerFixture): LedgerFixture =>
    ledger.say('ledger-closed', {
      head: { ...headOf(record, names.live), seq: 6 },
      cause: 'lease-ended',
      missing,
      presumed: 0,
    });
  const recorder = new LedgerFixture(nextRecorder, record.recorder).open();
  assert.deepEqual(check(withLedgers(cut, say(recorder).seal())).faults.at(-1), [names.live, 7, 'missing']);
  const word = new LedgerFixture(names.recorder, record.recorder).open();
  word.say('ledger-closed', { head: headOf(record, names.died), cause: 'lease-ended', missing: [[8, 9]], presumed: 0 });
  const why = (ledger: LedgerFixture): unknown => {
    const lines = record.lines.filter((line) => !line.includes(names.recorder));
    const { faults, unproven } = check(withLedgers({ ...record, lines }, ledger));
    return [faults, unproven.find(({ ledger: name }) => name === names.died)];
  };
  const run = { ledger: names.died, first: 8, last: 9, sinceMicros: 0 };
  assert.deepEqual(why(word), [[], { ...run, why: 'awaited' }]);
  assert.deepEqual(why(word.seal()), [[], { ...run, why: 'lost' }]);
});

test('a key may sign for the service it is certified for, and no other', () => {
  const record = history();
  const posing = new LedgerFixture(nextRecorder, record.ingress).open().seal();
  assert.deepEqual(check(withLedgers(record, posing)).faults, [
    [nextRecorder, 1, 'second-home'],
    [nextRecorder, 1, 'opened'],
  ]);
});

const approvalLedger = nextIngress.replace('ingress', 'approval');

/** A record with an approval: its events in a ledger of the service that keeps them, the decision by it in that of its call. */
function approved(): History {
  const record = history();
  const event = (seq: number, state: 'pending' | 'approved'): string => {
    const reviewer = { name: 'local:alice', groups: [] };
    const voted = { id: `e${seq}`, kind: 'voted', vote: 'approve', reviewer, reason: '', more: 0 } as const;
    return JSON.stringify({ approval: 'a1', seq, atMs: seq, event: voted, state } satisfies FrameMeta['approval']);
  };
  const told = new LedgerFixture(approvalLedger, newWriter(record.rootKey, 'approval')).open();
  told.write('approval', event(1, 'pending'), 1).write('approval', event(2, 'approved'), 1).seal();
  const again: FrameMeta['decision'] = {
    decision: {
      effect: 'allow',
      policy: 'p',
      rule: 'r',
      reasonCode: 'AllowedByApproval',
      reason: '',
      policyVersion: 'v',
      authority: 1,
      impersonate: null,
    },
    approval: 'a1',
    reviewers: ['local:alice'],
    precondition: { kind: 'absent' },
  };
  const ingress = new LedgerFixture(nextIngress, record.ingress).open().write('call', '{}', 1);
  ingress.write('decision', JSON.stringify(again), 1).write('outcome', '{}', 1).close();
  return restarted(withLedgers(record, told.close(), ingress));
}

test('approvals are proven as calls are: their ledgers by a key of their own, second decisions in the ledgers of calls', () => {
  const record = approved();
  const { faults, unproven, frames } = check(record);
  assert.deepEqual([faults, unproven], [[], check(restarted(history())).unproven]);
  assert.equal(frames, record.rows.length);
});

test('a vote or a second decision that was changed, hidden or taken away is named', () => {
  const record = approved();
  const others = (ledger: string, seq: number, put: (row: Row) => readonly Row[]): History => ({
    ...record,
    rows: record.rows.flatMap((row) => (row.ledger === ledger && row.seq === seq ? put(row) : [row])),
  });
  const rewritten = (row: Row): readonly Row[] => {
    const meta = row.meta.replace('local:alice', 'local:mallory');
    return [rowOf({ ...row, meta, prev: row.header.subarray(-64, -32) }).row];
  };
  for (const [ledger, seq] of [
    [approvalLedger, 3],
    [nextIngress, 3],
  ] as const) {
    const faultsOf = (put: (row: Row) => readonly Row[]) => check(others(ledger, seq, put)).faults;
    const renamed = faultsOf((row) => [{ ...row, meta: row.meta.replace('alice', 'mallory') }]);
    assert.deepEqual(renamed, [[ledger, seq, 'column']]);
    assert.deepEqual(
      faultsOf((row) => [{ ...row, kind: 'response' }]),
      [[ledger, seq, 'column']],
    );
    assert.deepEqual(
      faultsOf(() => []),
      [[ledger, seq, 'missing']],
    );
    assert.deepEqual(faultsOf(rewritten)[0], [ledger, seq + 1, 'chain']);
  }
  assert.ok(
    check(without(record, ({ ledger }) => ledger === approvalLedger)).faults.some(([, , what]) => what === 'gone'),
  );
});

test('no other service may write approvals with its key', () => {
  const record = approved();
  const posing = new LedgerFixture(approvalLedger, record.ingress).open().calls(1).seal();
  assert.ok(
    check(withLedgers(record, posing)).faults.some((fault) => fault.join(' ') === `${approvalLedger} 1 opened`),
  );
});

test('a first frame names the ledger before its own', () => {
  const record = history();
  const forgetful = new LedgerFixture(nextIngress.replace(/0$/, '1'), record.ingress).open().calls(1).seal();
  assert.deepEqual(check(withLedgers(record, forgetful)).faults, [[forgetful.name, 1, 'opened']]);
  const next = new LedgerFixture(nextIngress.replace(/0$/, '2'), record.ingress).open(forgetful.head).calls(1).seal();
  assert.deepEqual(check(withLedgers(record, next)).faults, [[forgetful.name, 1, 'gone']]);
});

test('a ledger is opened once, and one that was not opened says nothing of itself', () => {
  const record = history();
  const { key } = record.ingress;
  const twice = new LedgerFixture(nextIngress, record.ingress).open();
  twice.say('opened', { writer: 'ingress', instance: nextIngress.slice(0, -2), previous: null, key }).seal();
  assert.deepEqual(check(withLedgers(record, twice)).faults, [[nextIngress, 2, 'opened']]);
  const old = new LedgerFixture(names.old, record.ingress).calls(3).seal();
  assert.ok(check(withLedgers(record, old)).faults.some((fault) => fault.join(' ') === `${names.old} 1 opened`));
});

test('of a record that no seal is in, nothing is proven, and nothing is wrong', () => {
  const record = history();
  const rows = record.rows.filter(({ ledger }) => ledger === names.old);
  const { faults, unproven, provenMicros } = check({ rows, lines: [], roots: [] });
  assert.deepEqual([faults, provenMicros], [[], 0]);
  assert.deepEqual(
    unproven.map(({ first, last, why }) => [first, last, why]),
    [[1, 6, 'before-seals']],
  );
});

test('a second home may begin later than the record: old files were cleared away', () => {
  const record = history();
  const young = new LedgerFixture(nextIngress, record.ingress).open().calls(20).seal();
  const { faults } = check({ ...withLedgers(record, young), lines: young.lines });
  assert.deepEqual(faults, []);
});

test('keys of an earlier root still prove what they signed', () => {
  const record = history();
  const later = history();
  const both = { ...record, rows: record.rows, roots: [...later.roots, ...record.roots] };
  assert.deepEqual(check(both).faults, []);
  assert.ok(check({ ...record, roots: later.roots }).faults.some(([, , what]) => what === 'certificate'));
});

/** A ledger with one stream, of call 7. */
const streamLedger = (record: History, name = nextIngress): LedgerFixture =>
  new LedgerFixture(name, record.ingress)
    .open()
    .write('call', '{}', 7)
    .channel(7, 'stdin', 'ls\n', 0)
    .channel(7, 'stdout', 'bin ', 0)
    .write('channel', '{"channel":"port","connection":1,"port":80,"event":"opened"}', 7)
    .channel(7, 'stdout', 'etc', 4);
const whole = { stdin: 'ls\n', stdout: 'bin etc' };

test('a stream whose channels are those that its outcome sums up is whole', () => {
  const record = history();
  assert.deepEqual(check(withLedgers(record, streamLedger(record).streamEnd(7, whole).seal())).faults, []);
  const empty = streamLedger(record)
    .streamEnd(7, { ...whole, stderr: '' })
    .seal();
  assert.deepEqual(check(withLedgers(record, empty)).faults, []);
});

test('a writer that says otherwise of a channel than it wrote is found out', () => {
  const record = history();
  const said: readonly Readonly<Record<string, string>>[] = [
    { ...whole, stdout: 'bin etd' },
    { ...whole, stdout: 'bin etc ' },
    { ...whole, stdout: 'bin' },
    { ...whole, stderr: 'no' },
    { stdin: 'ls\n' },
  ];
  for (const carried of said) {
    const ledger = streamLedger(record).streamEnd(7, carried).seal();
    assert.deepEqual(check(withLedgers(record, ledger)).faults, [[nextIngress, 7, 'stream']], JSON.stringify(carried));
  }
  const twice = streamLedger(record).channel(7, 'stdout', '', 3).streamEnd(7, whole).seal();
  assert.deepEqual(
    check(withLedgers(record, twice)).faults,
    [[nextIngress, 8, 'stream']],
    'offsets that do not follow',
  );
});

test('a frame of a channel whose bytes were exchanged is two faults: of the frame, and of its stream', () => {
  const record = history();
  const ledger = streamLedger(record).streamEnd(7, whole).seal();
  for (const row of ledger.rows) if (row.seq === 4) row.bytes = Buffer.from('BIN ');
  assert.deepEqual(check(withLedgers(record, ledger)).faults, [
    [nextIngress, 4, 'hash'],
    [nextIngress, 7, 'stream'],
  ]);
});

test('a frame of a channel that is not there is told as what it is: missing, or awaited', () => {
  const record = history();
  const ledger = streamLedger(record).streamEnd(7, whole).seal();
  const gone = without(withLedgers(record, ledger), (row) => row.ledger === nextIngress && row.seq === 6);
  assert.deepEqual(check(gone).faults, []);
  const { unproven } = check(gone);
  assert.ok(unproven.some(({ ledger: name, first, why }) => name === nextIngress && first === 6 && why === 'awaited'));
  const listed = new LedgerFixture(nextRecorder, record.recorder)
    .open()
    .say('heads', { heads: [ledger.head] })
    .seal();
  assert.deepEqual(check(withLedgers(gone, listed)).faults, [[nextIngress, 6, 'missing']]);
});

test('a stream that goes on in its writer’s next ledger is looked at as a whole', () => {
  const record = history();
  const next = nextIngress.replace(/0$/, '1');
  const first = streamLedger(record).close('rolled');
  const rolled = (carried: Readonly<Record<string, string>>): History => {
    const ledger = new LedgerFixture(next, record.ingress).open(first.head);
    return withLedgers(record, first, ledger.channel(7, 'stdout', ' usr', 7).streamEnd(7, carried).seal());
  };
  assert.deepEqual(check(rolled({ ...whole, stdout: 'bin etc usr' })).faults, []);
  assert.deepEqual(check(rolled({ ...whole, stdout: 'bin etc lib' })).faults, [[next, 3, 'stream']]);
});
