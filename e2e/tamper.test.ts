// Tampering with the record of a whole Sluice, by somebody who has its database in hand: `sluice verify` names the
// place, while Sluice is stopped, and when it was started again on what it found.
import assert from 'node:assert/strict';
import { cpSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openUpstream, removeScratch, repository, Sluice, scratch, type Upstream, until } from '@sluice/testing';
import { LedgerFixture, newRoot, newWriter } from '../cli/src/verify/fixtures.ts';
import { type Found, type FoundFault, Hand, verify } from './hand.ts';

const dir = scratch();
const base = join(dir, 'base');
/** Over what an answer about several frames holds. */
const large = 'x'.repeat(1_200_000);
let upstream: Upstream;

function start(home: string, port = 0): Promise<Sluice> {
  return Sluice.start({
    home,
    flags: ['--kubeconfig', upstream.kubeconfig, '--port', String(port)],
    env: { SLUICE_LEDGER_HEADS_MS: '1000', SLUICE_LEDGER_LEASE_MS: '2000', SLUICE_LEDGER_GRACE_MS: '4000' },
  });
}

/** Ledgers by writer, in the order in which they were opened. */
interface Ledgers {
  readonly ingress: readonly string[];
  readonly recorder: readonly string[];
}

async function ledgersOf(hand: Hand): Promise<Ledgers> {
  const found = await hand.select<{ ledger: string }>('SELECT DISTINCT ledger FROM record ORDER BY ledger');
  const of = (writer: string): string[] =>
    found.map(({ ledger }) => ledger).filter((ledger) => ledger.startsWith(`${writer}-`));
  return { ingress: of('ingress'), recorder: of('recorder') };
}

async function lastOf(hand: Hand, ledger: string): Promise<number> {
  const [row] = await hand.select<{ last: number }>(`SELECT max(seq) AS last FROM record WHERE ledger = '${ledger}'`);
  return row?.last ?? 0;
}

async function call(sluice: Sluice, name: string, data: string): Promise<void> {
  const body = JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data: { data } });
  const { status } = await sluice.call('POST', '/api/v1/namespaces/default/configmaps', body);
  assert.equal(status, 201);
  await sluice.call('DELETE', `/api/v1/namespaces/default/configmaps/${name}`);
}

before(async () => {
  upstream = await openUpstream(dir);
  for (const name of ['first', 'second']) {
    const sluice = await start(base);
    await call(sluice, name, 'small');
    await call(sluice, name, large);
    await until(
      'four calls that ended',
      async () =>
        (await sluice.calls()).filter(({ outcome }) => outcome !== null).length === (name === 'first' ? 4 : 8),
    );
    assert.equal(await sluice.stop(), 0);
  }
});

after(async () => {
  await upstream?.close();
  removeScratch(dir);
});

/** What is done with the ledgers, and which of the faults says so. */
interface Drill {
  readonly what: string;
  readonly tamper: (hand: Hand, ledgers: Ledgers) => Promise<FoundFault>;
}

const first = (ledgers: readonly string[]): string => ledgers[0] ?? '';
const newest = (ledgers: readonly string[]): string => ledgers.at(-1) ?? '';

const drills: readonly Drill[] = [
  {
    what: 'a row is edited',
    async tamper(hand, { ingress }) {
      await hand.update(first(ingress), 3, "meta = meta || ' '");
      return [first(ingress), 3, 'column'];
    },
  },
  {
    what: 'a body is edited',
    async tamper(hand, { ingress }) {
      const [row] = await hand.select<{ seq: number }>(
        `SELECT seq FROM record WHERE ledger = '${first(ingress)}' AND length(bytes) > 1000000 ORDER BY seq LIMIT 1`,
      );
      assert.ok(row);
      await hand.update(first(ingress), row.seq, "bytes = replaceOne(bytes, 'xxxxx', 'xxyxx')");
      return [first(ingress), row.seq, 'hash'];
    },
  },
  {
    what: 'a row is deleted',
    async tamper(hand, { ingress }) {
      await hand.delete(first(ingress), 'seq = 4');
      return [first(ingress), 4, 'missing'];
    },
  },
  {
    what: 'two rows are swapped',
    async tamper(hand, { ingress }) {
      const ledger = newest(ingress);
      await hand.copy([ledger, 3], ['aside', 3]);
      await hand.delete(ledger, 'seq = 3');
      await hand.copy([ledger, 4], [ledger, 3]);
      await hand.delete(ledger, 'seq = 4');
      await hand.copy(['aside', 3], [ledger, 4]);
      await hand.delete('aside', '1');
      return [ledger, 3, 'column'];
    },
  },
  {
    what: 'a row is inserted',
    async tamper(hand, { ingress }) {
      await hand.copy([first(ingress), 3], [newest(ingress), 3]);
      return [newest(ingress), 3, 'double'];
    },
  },
  {
    what: 'the newest rows are deleted',
    async tamper(hand, { ingress }) {
      const ledger = newest(ingress);
      const last = await lastOf(hand, ledger);
      await hand.delete(ledger, `seq > ${last - 4}`);
      return [ledger, last - 3, 'missing'];
    },
  },
  {
    what: 'the recorder’s newest rows are deleted',
    async tamper(hand, { recorder }) {
      const ledger = newest(recorder);
      const last = await lastOf(hand, ledger);
      await hand.delete(ledger, `seq > ${last - 2}`);
      return [ledger, last - 1, 'missing'];
    },
  },
  {
    what: 'a whole ledger is dropped',
    async tamper(hand, { ingress }) {
      await hand.delete(newest(ingress), '1');
      return [newest(ingress), 1, 'gone'];
    },
  },
  {
    what: 'the recorder’s whole ledger is dropped',
    async tamper(hand, { recorder }) {
      await hand.delete(newest(recorder), '1');
      return [newest(recorder), 1, 'gone'];
    },
  },
  {
    what: 'a whole ledger is written anew with fresh hashes',
    async tamper(hand, { ingress }) {
      const ledger = newest(ingress);
      const [opened] = await hand.select<{ meta: string }>(
        `SELECT meta FROM record WHERE ledger = '${ledger}' AND seq = 1`,
      );
      const { key } = JSON.parse(opened?.meta ?? '') as { key: ReturnType<typeof newWriter>['key'] };
      const thief = { ...newWriter(newRoot().privateKey, 'ingress'), key };
      await hand.delete(ledger, '1');
      await hand.insert(new LedgerFixture(ledger, thief).open().calls(2).seal().close().rows);
      return [ledger, 6, 'seal'];
    },
  },
];

test('the record of a Sluice has no fault: stopped, while calls come in, and when its parts were killed', async () => {
  const faults = [...(await verify(base, repository)).faults];
  const home = join(dir, 'live');
  cpSync(base, home, { recursive: true });
  // An ingress that is started again finds its port.
  const sluice = await start(home, await freePort());
  const over = new AbortController();
  const calls = (async () => {
    for (let n = 0; !over.signal.aborted; n++) {
      await call(sluice, `live-${n}`, n % 10 === 0 ? large : 'small').catch(() => undefined);
      await sleep(50);
    }
  })();
  try {
    const { frames } = await verify(home, repository);
    for (const part of ['ingress', 'recorder', 'broker']) {
      await sluice.kill(part);
      faults.push(...(await verifyWhenItCan(home)).faults);
      await until(`a call after the death of ${part}`, () =>
        call(sluice, 'alive', 'small').then(
          () => true,
          () => false,
        ),
      );
      faults.push(...(await verify(home, repository)).faults);
    }
    assert.ok((await verify(home, repository)).frames > frames);
  } finally {
    over.abort();
    await calls;
    await sluice.stop();
  }
  faults.push(...(await verify(home, repository)).faults);
  assert.deepEqual(faults, []);
});

/** Without a recorder nobody can be asked. */
function verifyWhenItCan(home: string): Promise<Found> {
  return until('an answer of the recorder', () => verify(home, repository).catch(() => null));
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

test('one session is proven by the ledgers that hold it', async () => {
  const hand = new Hand(base);
  const { ingress, recorder } = await ledgersOf(hand);
  const [row] = await hand.select<{ session: string }>(
    `SELECT session FROM record WHERE ledger = '${first(ingress)}' AND kind = 'call' LIMIT 1`,
  );
  const flags = ['--session', row?.session ?? ''] as const;
  const count = (ledgers: readonly string[]): Promise<readonly { frames: number }[]> =>
    hand.select(`SELECT count() AS frames FROM record WHERE ledger IN (${ledgers.map((name) => `'${name}'`).join()})`);
  const [held] = await count([...ingress, ...recorder]);
  const whole = await verify(base, repository, ...flags);
  assert.deepEqual([whole.code, whole.faults, whole.frames], [0, [], held?.frames]);
});

for (const { what, tamper } of drills) {
  test(`${what}: it is found in a stopped Sluice, and in one that was started on it`, async () => {
    const home = join(dir, 'home');
    cpSync(base, home, { recursive: true });
    const hand = new Hand(home);
    const expected = await tamper(hand, await ledgersOf(hand));
    const holds = (faults: readonly FoundFault[]): void =>
      assert.ok(
        faults.some((fault) => fault.join(' ') === expected.join(' ')),
        `${expected.join(' ')} is not among ${JSON.stringify(faults)}`,
      );
    const stopped = await verify(home, repository);
    holds(stopped.faults);
    assert.equal(stopped.code, 1);
    const sluice = await start(home);
    try {
      const running = await verify(home, repository);
      holds(running.faults);
      assert.equal(running.code, 1);
    } finally {
      await sluice.stop();
      rmSync(home, { recursive: true });
    }
  });
}
