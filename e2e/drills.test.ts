// Tampering with a record that lies still, by somebody who has the database in hand: `sluice verify` names each with
// its place; and with the guard that sees it taken out of a copy of the program, it does not.
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { copyTree, removeScratch, repository, scratch, takeOut } from '@sluice/testing';
import {
  history,
  LedgerFixture,
  names,
  newRoot,
  newWriter,
  type Row,
  rowOf,
  sessionId,
} from '../cli/src/verify/fixtures.ts';
import { openStore } from '../services/recorder/src/store.ts';
import { type FoundFault, Hand, verify } from './hand.ts';

const dir = scratch();
const base = join(dir, 'base');
const mutant = join(dir, 'mutant');
const record = history();
const { old, rolled, drained, died, crashed, live, recorder } = names;

after(() => removeScratch(dir));

before(async () => {
  mkdirSync(join(base, 'keys'), { recursive: true });
  mkdirSync(join(base, 'seals'));
  writeFileSync(join(base, 'keys/root.pub'), record.roots.map((key) => `${key}\n`).join(''));
  writeFileSync(join(base, 'seals/seals-2026-11-23.jsonl'), record.lines.map((line) => `${line}\n`).join(''));
  await (await openStore({ kind: 'embedded', dir: join(base, 'database') })).close();
  await new Hand(base).insert(record.rows);
  copyTree(mutant);
});

/** A row of the untouched record. */
function row(ledger: string, seq: number): Row {
  const found = record.rows.find((each) => each.ledger === ledger && each.seq === seq);
  assert.ok(found);
  return found;
}

function rows(ledger: string): readonly Row[] {
  return record.rows.filter((each) => each.ledger === ledger);
}

/** The hash in a row's header. */
function hashOf(ledger: string, seq: number): Buffer {
  return row(ledger, seq).header.subarray(-32);
}

/** The frame at a place, written anew with something else in it, and hashed. */
function rewritten(ledger: string, seq: number, change: Partial<Parameters<typeof rowOf>[0]>): Row {
  return rowOf({ ...row(ledger, seq), prev: hashOf(ledger, seq - 1), ...change }).row;
}

/** The ledger `drained` with other calls in it: as its writer would have written it, with another key. */
function forgedLedger(writer: Parameters<typeof newLedger>[1]): readonly Row[] {
  const previous = { ledger: rolled, seq: 12, hash: hashOf(rolled, 12).toString('hex') };
  return newLedger(drained, writer).open(previous).calls(2).seal().calls(2).close().rows;
}

function newLedger(name: string, writer: ConstructorParameters<typeof LedgerFixture>[1]): LedgerFixture {
  return new LedgerFixture(name, writer);
}

/** The writer's certificate, which stands in every ledger, without the key it is about. */
const stolen = { ...newWriter(newRoot().privateKey, 'ingress'), key: record.ingress.key };

const verifier = 'cli/src/verify';
type Guard = readonly [file: string, guard: string, without: string];
const columnGuard = (line: string): Guard => [`${verifier}/row.ts`, line, ''];
const positionGuard: Guard = [`${verifier}/record.ts`, 'if (!isPosition(seq))', 'if (false)'];
const hashGuard: Guard = [`${verifier}/row.ts`, '|| !frameHashHolds(message)', ''];
const doubleGuard: Guard = [
  `${verifier}/ledger.ts`,
  "this.#fault(row.seq, 'double', 'this position has another row');",
  '',
];
const chainGuard: Guard = [`${verifier}/ledger.ts`, 'this.#tail !== null && !isConnected', 'false'];
const missingGuard: Guard = [`${verifier}/gaps.ts`, "seq <= recordedUpTo ? 'missing' : 'awaited'", "'awaited'"];
const goneGuard: Guard = [`${verifier}/record.ts`, 'if (!this.#there.has(ledger))', 'if (false)'];
const headGuard: Guard = [`${verifier}/judge.ts`, 'denied !== undefined', 'false'];
const sealGuard: Guard = [`${verifier}/ledger.ts`, '!sealHolds(this.#key, head, seal.signature)', 'false'];
const endGuard: Guard = [`${verifier}/ledger.ts`, 'if (isLastSeal || this.#isPastEnd) return;', 'return;'];
const certificateGuard: Guard = [`${verifier}/ledger.ts`, '!this.#trust.roots.vouchFor(key, this.name)', 'false'];
const keptGuard: Guard = [`${verifier}/record.ts`, 'if (first === undefined) return [];', 'return [];'];

interface Drill {
  readonly what: string;
  readonly tamper: (hand: Hand) => Promise<void>;
  /** All faults. */
  readonly finds: readonly FoundFault[];
  /** Without these it is not found. */
  readonly guards: readonly Guard[];
}

const edits: readonly (readonly [column: string, change: string, line: string])[] = [
  ['call', "call = '01a20850-635b-7dcb-abe1-000000000099'", "['call', row.call, frame.call],"],
  ['session', `session = '${sessionId(9)}'`, "['session', row.session, frame.session],"],
  ['kind', "kind = 'outcome'", "['kind', row.kind, frame.kind],"],
  ['at', 'at = at + INTERVAL 1 HOUR', "['at', row.atMicros, frame.atMicros],"],
  ['offset', 'offset = 7', "['offset', row.offset, frame.offset],"],
  ['meta', "meta = replace(meta, 'PATCH', 'GET')", "['meta', row.meta, frame.meta],"],
];

const drills: readonly Drill[] = [
  ...edits.map(
    ([column, change, line]): Drill => ({
      what: `the column "${column}" is edited`,
      tamper: (hand) => hand.update(drained, 2, change),
      finds: [[drained, 2, 'column']],
      guards: [columnGuard(line)],
    }),
  ),
  {
    what: 'a separator of lines is put into a column',
    tamper: (hand) => hand.update(drained, 2, "meta = meta || '\u2028'"),
    finds: [[drained, 2, 'column']],
    guards: [columnGuard("['meta', row.meta, frame.meta],")],
  },
  {
    what: 'bytes of a body are edited',
    tamper: (hand) => hand.update(drained, 2, "bytes = replace(bytes, 'called', 'dulled')"),
    finds: [[drained, 2, 'hash']],
    guards: [hashGuard],
  },
  {
    what: 'the header is edited, and the column with it',
    tamper: (hand) =>
      hand.update(drained, 2, "header = replace(header, 'PATCH', 'PLACE'), meta = replace(meta, 'PATCH', 'PLACE')"),
    finds: [[drained, 2, 'hash']],
    guards: [hashGuard],
  },
  {
    what: 'bytes are moved from the body to the header',
    tamper: (hand) => hand.update(drained, 2, 'header = header || substring(bytes, 1, 5), bytes = substring(bytes, 6)'),
    finds: [[drained, 2, 'header']],
    guards: [[`${verifier}/row.ts`, 'header.readUInt32BE(0) === header.length', 'true']],
  },
  {
    what: 'a frame is written anew, with a true hash',
    tamper: async (hand) => {
      await hand.delete(drained, 'seq = 4');
      await hand.insert([rewritten(drained, 4, { bytes: Buffer.from('something else') })]);
    },
    finds: [[drained, 5, 'chain']],
    guards: [chainGuard],
  },
  {
    what: 'a frame in the middle is deleted',
    tamper: (hand) => hand.delete(drained, 'seq = 4'),
    finds: [[drained, 4, 'missing']],
    guards: [missingGuard],
  },
  {
    what: 'a frame in the middle of the recorder’s own ledger is deleted',
    tamper: (hand) => hand.delete(recorder, 'seq = 9'),
    finds: [[recorder, 9, 'missing']],
    guards: [missingGuard],
  },
  {
    what: 'a whole session is deleted, and its ledger with it',
    tamper: (hand) => hand.delete(live, `session = '${sessionId(2)}'`),
    finds: [
      [live, 2, 'missing'],
      [live, 7, 'missing'],
    ],
    guards: [missingGuard],
  },
  {
    what: 'two frames are swapped',
    tamper: async (hand) => {
      await hand.copy([drained, 4], [drained, 1004]);
      await hand.delete(drained, 'seq = 4');
      await hand.copy([drained, 5], [drained, 4]);
      await hand.delete(drained, 'seq = 5');
      await hand.copy([drained, 1004], [drained, 5]);
      await hand.delete(drained, 'seq = 1004');
    },
    finds: [
      [drained, 4, 'column'],
      [drained, 5, 'column'],
    ],
    guards: [columnGuard("['seq', row.seq, frame.seq],")],
  },
  {
    what: 'two frames are swapped, and hashed anew',
    tamper: async (hand) => {
      const fourth = rewritten(drained, 5, { seq: 4, prev: hashOf(drained, 3) });
      const fifth = rewritten(drained, 4, { seq: 5, prev: fourth.header.subarray(-32) });
      await hand.delete(drained, 'seq IN (4, 5)');
      await hand.insert([fourth, fifth]);
    },
    finds: [[drained, 6, 'chain']],
    guards: [chainGuard],
  },
  {
    what: 'a frame is moved to another ledger',
    tamper: async (hand) => {
      await hand.copy([rolled, 4], [died, 8]);
      await hand.delete(rolled, 'seq = 4');
    },
    finds: [
      [rolled, 4, 'missing'],
      [died, 8, 'column'],
      [died, 8, 'column'],
    ],
    guards: [
      columnGuard("['ledger', ledger, frame.ledger],"),
      columnGuard("['seq', row.seq, frame.seq],"),
      missingGuard,
    ],
  },
  {
    what: 'a forged frame is put beside a true one',
    tamper: (hand) => hand.insert([rewritten(drained, 4, { bytes: Buffer.from('forged') })]),
    finds: [[drained, 4, 'double']],
    guards: [doubleGuard],
  },
  {
    what: 'a frame stands twice',
    tamper: (hand) => hand.insert([row(drained, 4)]),
    finds: [[drained, 4, 'double']],
    guards: [doubleGuard],
  },
  {
    what: 'a forged frame is put before all others',
    tamper: (hand) => hand.insert([{ ...row(drained, 4), seq: 0 }]),
    finds: [[drained, 0, 'column']],
    guards: [positionGuard],
  },
  {
    what: 'a frame is put at the highest position there can be',
    tamper: (hand) => hand.copy([live, 4], [live, '18446744073709551615']),
    finds: [[live, 2 ** 64, 'column']],
    guards: [positionGuard],
  },
  {
    what: 'a forged frame is put behind the end of a ledger',
    tamper: (hand) => hand.insert([rewritten(drained, 12, { kind: 'call', seq: 13, prev: hashOf(drained, 12) })]),
    finds: [[drained, 13, 'end']],
    guards: [endGuard],
  },
  {
    what: 'a forged frame is put behind the end of a ledger that its recorder closed',
    tamper: (hand) => hand.insert([rewritten(crashed, 6, { seq: 7, prev: hashOf(crashed, 6) })]),
    finds: [[crashed, 7, 'end']],
    guards: [[`${verifier}/judge.ts`, 'check.last > end', 'false']],
  },
  {
    what: 'a forged ledger is inserted, with a key of one’s own',
    tamper: (hand) =>
      hand.insert(
        newLedger(`ingress-20261123T090000000Z-0a1b2c3d-0`, newWriter(newRoot().privateKey, 'ingress'))
          .open()
          .calls(2)
          .seal().rows,
      ),
    finds: [['ingress-20261123T090000000Z-0a1b2c3d-0', 1, 'certificate']],
    guards: [certificateGuard, keptGuard],
  },
  {
    what: 'a forged ledger is inserted that passes for one of before seals',
    tamper: (hand) => hand.insert(newLedger('ingress-20261102T000000000Z-01234567', record.ingress).calls(2).rows),
    finds: [['ingress-20261102T000000000Z-01234567', 1, 'unlisted']],
    guards: [[`${verifier}/judge.ts`, '!claims.isOld(check.name)', 'false']],
  },
  {
    what: 'the newest frames are deleted, with their seals',
    tamper: (hand) => hand.delete(live, 'seq > 8'),
    finds: [[live, 9, 'missing']],
    guards: [missingGuard],
  },
  {
    what: 'the newest frames are deleted, without their seals',
    tamper: (hand) => hand.delete(drained, "seq > 8 AND kind != 'seal'"),
    finds: [[drained, 9, 'missing']],
    guards: [missingGuard],
  },
  {
    what: 'the newest frames of the recorder’s own ledger are deleted',
    tamper: (hand) => hand.delete(recorder, 'seq > 8'),
    finds: [[recorder, 9, 'missing']],
    guards: [missingGuard],
  },
  {
    what: 'a whole ledger is dropped',
    tamper: (hand) => hand.delete(rolled, '1'),
    finds: [[rolled, 1, 'gone']],
    guards: [goneGuard],
  },
  {
    what: 'the newest ledger is dropped',
    tamper: (hand) => hand.delete(live, '1'),
    finds: [[live, 1, 'gone']],
    guards: [goneGuard],
  },
  {
    what: 'the recorder’s own ledger is dropped',
    tamper: (hand) => hand.delete(recorder, '1'),
    finds: [[recorder, 1, 'gone']],
    guards: [goneGuard],
  },
  {
    what: 'a whole ledger is written anew, with a key of one’s own',
    tamper: async (hand) => {
      await hand.delete(drained, '1');
      await hand.insert(forgedLedger(newWriter(newRoot().privateKey, 'ingress')));
    },
    finds: [
      [drained, 1, 'certificate'],
      [drained, 11, 'head'],
    ],
    guards: [certificateGuard, headGuard, keptGuard],
  },
  {
    what: 'a whole ledger is written anew, with the writer’s certificate',
    tamper: async (hand) => {
      await hand.delete(drained, '1');
      await hand.insert(forgedLedger(stolen));
    },
    finds: [
      [drained, 6, 'seal'],
      [drained, 11, 'head'],
      [drained, 12, 'seal'],
    ],
    guards: [sealGuard, headGuard, keptGuard],
  },
  {
    what: 'a whole ledger is written anew, with the old seals',
    tamper: async (hand) => {
      const forged: Row[] = [];
      for (const { meta, ...frame } of rows(drained)) {
        const isCall = frame.kind === 'call';
        const prev = forged.at(-1)?.header.subarray(-32) ?? Buffer.alloc(32);
        forged.push(rowOf({ ...frame, meta: isCall ? meta.replace('PATCH', 'GET') : meta, prev }).row);
      }
      await hand.delete(drained, '1');
      await hand.insert(forged);
    },
    finds: [
      [drained, 8, 'seal'],
      [drained, 11, 'head'],
      [drained, 12, 'seal'],
    ],
    guards: [sealGuard, headGuard, keptGuard],
  },
  {
    what: 'an old copy of the database is put in its place',
    tamper: async (hand) => {
      await hand.delete(live, 'seq > 6');
      await hand.delete(died, '1');
      await hand.delete(recorder, 'seq > 3');
    },
    finds: [
      [died, 1, 'gone'],
      [live, 7, 'missing'],
      [recorder, 4, 'missing'],
    ],
    guards: [missingGuard, goneGuard],
  },
  {
    what: 'the second home is cut short',
    tamper: async (hand) =>
      hand.lines((lines) => lines.filter((line) => !line.includes(drained) || line.includes('"seq":7,'))),
    finds: [[drained, 11, 'second-home']],
    guards: [keptGuard],
  },
  {
    what: 'a line of the second home is taken out',
    tamper: async (hand) =>
      hand.lines((lines) => lines.filter((line) => !line.includes(live) || !line.includes('"seq":5,'))),
    finds: [[live, 5, 'second-home']],
    guards: [keptGuard],
  },
  {
    what: 'the second home is dropped',
    tamper: async (hand) => rmSync(join(hand.home, 'seals'), { recursive: true }),
    finds: [[live, 13, 'second-home']],
    guards: [[`${verifier}/record.ts`, 'newest !== undefined && newest.sealed > 0', 'false']],
  },
  {
    what: 'a line of the second home is forged',
    tamper: async (hand) =>
      hand.lines((lines) => lines.map((line) => (line.includes(died) ? line.replace('"seq":3', '"seq":2') : line))),
    finds: [
      [died, 2, 'second-home'],
      [died, 3, 'second-home'],
    ],
    guards: [[`${verifier}/second-home.ts`, '!sealHolds(key, head, signature)', 'false'], keptGuard, headGuard],
  },
];

test('a record as it was written has no fault; what is not proven is named', async () => {
  const { code, frames, faults, unproven } = await verify(base, repository);
  assert.deepEqual([code, frames, faults], [0, record.rows.length, []]);
  assert.deepEqual(
    unproven.map(({ ledger, first, last, why }) => [ledger, first, last, why]),
    [
      [old, 1, 6, 'before-seals'],
      [died, 8, 9, 'lost'],
      [died, 13, 14, 'unsealed'],
      [live, 14, 15, 'unsealed'],
    ],
  );
});

test('a session is proven by the ledgers that hold it, with what recorders say of them', async () => {
  const home = join(dir, 'session');
  cpSync(base, home, { recursive: true });
  const hand = new Hand(home);
  await hand.update(drained, 2, 'offset = 7');
  const flags = ['--session', sessionId(2)] as const;
  const { frames, faults } = await verify(home, repository, ...flags);
  const checked = [live, recorder, names.firstRecorder].flatMap((ledger) => rows(ledger));
  assert.deepEqual([frames, faults], [checked.length, []]);
  await hand.delete(live, 'seq = 2');
  assert.deepEqual((await verify(home, repository, ...flags)).faults, [[live, 2, 'missing']]);
});

test('root keys and a copy of the second home can be kept elsewhere; an older copy is no fault, and said to be older', async () => {
  const home = join(dir, 'elsewhere');
  cpSync(base, home, { recursive: true });
  const seals = join(dir, 'copy');
  cpSync(join(home, 'seals'), seals, { recursive: true });
  rmSync(join(home, 'seals'), { recursive: true });
  const stranger = newRoot();
  writeFileSync(join(home, 'keys/root.pub'), `${stranger.publicKey}\n`);
  const own = join(dir, 'own.pub');
  writeFileSync(own, `${stranger.publicKey}\n${record.roots.join('\n')}\n`);
  const file = join(seals, 'seals-2026-11-23.jsonl');
  writeFileSync(file, record.lines.filter((line) => !line.includes(live) || line.includes('"seq":5,')).join('\n'));
  const whole = await verify(home, repository, '--root', own, '--seals', seals);
  assert.deepEqual([whole.faults, whole.secondHome?.behind], [[], { ledger: live, seq: 12 }]);
  // By the root in the home, which somebody has exchanged, no key is the deployment's.
  const byStranger = await verify(home, repository, '--seals', seals);
  assert.ok(byStranger.faults.some(([ledger, seq, what]) => ledger === live && seq === 1 && what === 'certificate'));
});

for (const { what, tamper, finds, guards } of drills) {
  test(`${what}: it is found, and without its guard it is not`, async () => {
    const home = join(dir, 'home');
    cpSync(base, home, { recursive: true });
    try {
      await tamper(new Hand(home));
      const found = await verify(home, repository);
      assert.deepEqual(found.faults, finds);
      assert.equal(found.code, 1);
      for (const guard of guards) takeOut(mutant, ...guard);
      assert.deepEqual((await verify(home, mutant)).faults, []);
    } finally {
      removeScratch(home);
      cpSync(join(repository, verifier), join(mutant, verifier), { recursive: true });
    }
  });
}
