// The recorder on a real broker, when things go wrong around it: every frame is there exactly once, and memory holds.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from '@clickhouse/client';
import { consumerOf, partitionOf, type RecordsAnswer, type RecordsQuestion, streams, subjects } from '@sluice/model';
import {
  type Broker,
  consumeFrames,
  createLogger,
  ensureKeys,
  type Ledger,
  openBroker,
  openLedger,
  provision,
  type ServiceMessage,
} from '@sluice/runtime';
import { newSealer, removeScratch, scratch, TestBroker, until } from '@sluice/testing';
import { createChdbConnection } from 'chdb/connection';
import { openStore } from './store.ts';

const log = createLogger('test', '/dev/null');
const main = join(import.meta.dirname, 'main.ts');
const session = '0123456789abcdef0123456789abcdef';
const call = '019a4c1e-7d2b-7c3a-9f10-2b6d8e5a4c71';

interface Bench {
  readonly dir: string;
  readonly server: TestBroker;
  readonly broker: Broker;
  readonly ledger: Ledger;
  /** Starts a recorder; it is killed with the test. */
  readonly recorder: () => Promise<ChildProcess>;
}

async function bench(t: TestContext): Promise<Bench> {
  const dir = scratch();
  const server = await TestBroker.start();
  const env = {
    ...server.env,
    SLUICE_DATABASE_DIR: join(dir, 'database'),
    SLUICE_KEYS_DIR: join(dir, 'keys'),
    SLUICE_SEALS_DIR: join(dir, 'seals'),
  };
  ensureKeys(env.SLUICE_KEYS_DIR);
  const broker = await openBroker(env, 'test', log);
  await provision(broker);
  const ledger = await openLedger({ broker, sealer: newSealer('test'), log, onLost: assert.fail });
  const recorders: ChildProcess[] = [];
  t.after(async () => {
    await Promise.all(recorders.map((recorder) => end(recorder, 'SIGKILL')));
    await ledger.drain(0);
    await broker.nats.close();
    await server.close();
    removeScratch(dir);
  });
  const recorder = async (): Promise<ChildProcess> => {
    const child = spawn(process.execPath, [main], { env, stdio: ['ignore', 'ignore', 'ignore', 'ipc'] });
    recorders.push(child);
    const [said] = (await once(child, 'message')) as [ServiceMessage];
    assert.deepEqual(said, { kind: 'ready', facts: {} });
    return child;
  };
  return { dir, server, broker, ledger, recorder };
}

async function end(child: ChildProcess, signal: 'SIGTERM' | 'SIGKILL'): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) {
    const gone = once(child, 'exit');
    child.kill(signal);
    await gone;
  }
  return child.exitCode;
}

/** Appends frames of both streams in turn, bodies among them; resolves when the broker has them all. */
async function append(ledger: Ledger, count: number): Promise<void> {
  const meta = { status: 200, contentType: 'application/json' };
  const acked: Promise<void>[] = [];
  for (let i = 0; i < count; i++) {
    const bytes = Buffer.alloc(i % 10 === 0 ? 20_000 : 20, i);
    acked.push(ledger.append(i % 2 === 0 ? 'calls' : 'bytes', { kind: 'response', call, session, meta, bytes }));
    if (i % 50 === 49) await sleep(50);
  }
  await Promise.all(acked);
}

/** Frames that the broker still holds, seals among them: not one is acknowledged before it is in the record. */
async function held(broker: Broker): Promise<number> {
  const counts = await Promise.all(
    Object.values(streams).map(async ({ name }) => {
      const info = await broker.nats.request(`$JS.API.STREAM.INFO.${name}`, undefined, { timeout: 20_000 });
      return info.json<{ readonly state: { readonly messages: number } }>().state.messages;
    }),
  );
  return counts.reduce((sum, count) => sum + count, 0);
}

async function ask(broker: Broker, question: RecordsQuestion): Promise<RecordsAnswer> {
  const answer = await broker.request(subjects.records, Buffer.from(JSON.stringify(question)), 20_000);
  return JSON.parse(Buffer.from(answer).toString()) as RecordsAnswer;
}

interface Counted {
  readonly rows: number;
  readonly frames: number;
  readonly last: number;
}

/** Every frame once: those that were appended, the first one, and seals. */
function assertWhole([counted]: Counted[], appended: number): void {
  assert.ok(counted !== undefined && counted.last > appended);
  assert.deepEqual(counted, { rows: counted.last, frames: counted.last, last: counted.last });
}

/** Rows of a ledger, from the database itself; no recorder may run. */
async function rows(dir: string, ledger: string): Promise<Counted[]> {
  const connection = createChdbConnection({ path: join(dir, 'database') });
  const client = createClient({ connection } as unknown as Parameters<typeof createClient>[0]);
  try {
    const query =
      'SELECT count() AS rows, uniqExact(seq) AS frames, max(seq) AS last FROM record WHERE ledger = {ledger:String}';
    return await (await client.query({ query, query_params: { ledger }, format: 'JSONEachRow' })).json();
  } finally {
    await client.close();
  }
}

test('frames that were stored but not acknowledged when a recorder died are not stored twice', async (t) => {
  const { dir, server, broker, ledger, recorder } = await bench(t);
  const count = 200;
  const dying = await openBroker(server.env, 'test dying', log);
  const store = await openStore({ kind: 'embedded', dir: join(dir, 'database') });
  const inserted = Promise.withResolvers<void>();
  const intake = await consumeFrames(dying, log, async (frames) => {
    await store.insert(frames);
    inserted.resolve();
    // Here it dies: it never comes to the acks.
    await new Promise(() => undefined);
  });
  await intake.take(partitionOf(ledger.name));
  await append(ledger, count);
  await inserted.promise;
  await dying.nats.close();
  await store.close();
  assert.ok((await held(broker)) >= 1 + count);

  const running = await recorder();
  await until('the broker to be empty', async () => (await held(broker)) === 0);
  assert.equal(await end(running, 'SIGTERM'), 0);
  assertWhole(await rows(dir, ledger.name), count);
});

test('a broker that is killed and comes back is drained again, without a loss or a copy', async (t) => {
  const { dir, server, broker, ledger, recorder } = await bench(t);
  const count = 1_000;
  const running = await recorder();
  const appended = append(ledger, count);
  await sleep(50);
  await server.kill();
  await sleep(300);
  await server.resume();
  await appended;
  await until('the broker to be empty', async () => broker.connected() && (await held(broker)) === 0);
  assert.equal(await end(running, 'SIGTERM'), 0);
  assertWhole(await rows(dir, ledger.name), count);
});

test('a recorder answers what it has, in messages the broker carries, and takes poison aside', async (t) => {
  const { broker, ledger, recorder } = await bench(t);
  await recorder();
  broker.nats.publish(`${streams.calls.prefix}.0`, Buffer.from('no frame'));
  const bytes = Buffer.alloc(1_000_000, 7);
  const meta = { status: 200, contentType: 'application/json' };
  for (let i = 0; i < 5; i++) await ledger.append('bytes', { kind: 'response', call, session, meta, bytes });
  await until('the broker to be empty', async () => (await held(broker)) === 0);

  const seqs: number[] = [];
  for (let more = true; more; ) {
    const answer = await ask(broker, { kind: 'frames', call, after: { ledger: ledger.name, seq: seqs.at(-1) ?? 0 } });
    assert.equal(answer.kind, 'frames');
    if (answer.kind !== 'frames') return;
    for (const { seq, bytesBase64 } of answer.frames) {
      seqs.push(seq);
      assert.ok(Buffer.from(bytesBase64, 'base64').equals(bytes));
    }
    more = answer.more;
  }
  assert.equal(seqs.length, 5);
  assert.deepEqual(
    seqs,
    [...new Set(seqs)].sort((a, b) => a - b),
  );
  assert.deepEqual(await ask(broker, { kind: 'calls', limit: 5 }), { kind: 'calls', calls: [] });
  const strange = { kind: 'frames', call, after: 'x' } as unknown as RecordsQuestion;
  assert.equal((await ask(broker, strange)).kind, 'error');
});

test('an answer has what the broker had before the question', async (t) => {
  const { broker, ledger, recorder } = await bench(t);
  await recorder();
  // It waits for a second at most, so one that took as long may lack something.
  const inTime = async (question: RecordsQuestion): Promise<RecordsAnswer> => {
    for (;;) {
      const startMs = performance.now();
      const answer = await ask(broker, question);
      if (performance.now() - startMs < 900) return answer;
    }
  };
  for (const appended of [3, 6]) {
    await append(ledger, 3);
    const answer = await inTime({ kind: 'frames', call, after: null });
    assert.ok(answer.kind === 'frames');
    assert.equal(answer.frames.length, appended);
  }
  await append(ledger, 3);
  const answer = await inTime({ kind: 'ledgers' });
  assert.ok(answer.kind === 'ledgers');
  const { last = 0 } = answer.ledgers.find((row) => row.ledger === ledger.name) ?? {};
  assert.ok(last > 9);
});

test('a drain finishes the batch in hand and acknowledges it', async (t) => {
  const { broker, ledger } = await bench(t);
  const started = Promise.withResolvers<void>();
  const disk = Promise.withResolvers<void>();
  const consuming = await consumeFrames(broker, log, async () => {
    started.resolve();
    await disk.promise;
  });
  await consuming.take(partitionOf(ledger.name));
  await append(ledger, 1);
  await started.promise;
  const drained = consuming.drain();
  // An ack that should not have gone out takes its time.
  await sleep(300);
  assert.ok((await held(broker)) >= 2);
  disk.resolve();
  await drained;
  await until('the broker to be empty', async () => (await held(broker)) === 0);
});

test('a database that does not answer holds up the broker, and does not fill the memory', async (t) => {
  const { broker, ledger } = await bench(t);
  const started = Promise.withResolvers<void>();
  const disk = Promise.withResolvers<void>();
  const consuming = await consumeFrames(broker, log, async () => {
    started.resolve();
    await disk.promise;
  });
  await consuming.take(partitionOf(ledger.name));
  // 80 MB: ten batches.
  const meta = { status: 200, contentType: 'application/json' };
  for (let i = 0; i < 2_000; i += 50) {
    const bytes = Buffer.alloc(40_000, i);
    await Promise.all(
      Array.from({ length: 50 }, () => ledger.append('bytes', { kind: 'response', call, session, meta, bytes })),
    );
  }
  await started.promise;
  const taken = await broker.nats.request(
    `$JS.API.CONSUMER.INFO.${streams.bytes.name}.${consumerOf(partitionOf(ledger.name))}`,
    undefined,
    { timeout: 20_000 },
  );
  const { num_ack_pending } = taken.json<{ readonly num_ack_pending: number }>();
  disk.resolve();
  await until('the broker to be empty', async () => (await held(broker)) === 0);
  await consuming.drain();
  assert.ok(num_ack_pending > 0 && num_ack_pending < 800, `${num_ack_pending} of 2000 frames were taken`);
});

test('a frame that no answer holds is shown without its body, which is read in parts', async (t) => {
  const { broker, ledger, recorder } = await bench(t);
  await recorder();
  const bytes = Buffer.alloc(3_500_000, 7);
  const meta = { status: 200, contentType: 'application/json' };
  await ledger.append('bytes', { kind: 'response', call, session, meta, bytes });
  await until('the broker to be empty', async () => (await held(broker)) === 0);
  const answer = await ask(broker, { kind: 'frames', call, after: null });
  assert.ok(answer.kind === 'frames');
  assert.deepEqual(
    answer.frames.map(({ size, bytesBase64 }) => [size, bytesBase64]),
    [[bytes.length, '']],
  );
  const seq = answer.frames[0]?.seq ?? 0;
  const part = await ask(broker, { kind: 'part', ledger: ledger.name, seq, row: 0, offset: 3_000_000 });
  assert.ok(part.kind === 'part');
  assert.ok(Buffer.from(part.bytesBase64, 'base64').equals(bytes.subarray(3_000_000)));
});
