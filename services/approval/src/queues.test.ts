// The queues on a real Redis that is flushed, killed, emptied and frozen.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { createLogger } from '@sluice/runtime';
import { removeScratch, scratch, TestRedis, until, within } from '@sluice/testing';
import { Worker } from 'bullmq';
import { type ApprovalNotice, openQueues, type Queues, type QueuesOptions } from './queues.ts';

const dir = scratch();
const logFile = join(dir, 'log');
const log = createLogger('test', logFile);
let redis: TestRedis;
let closers: (() => Promise<unknown>)[] = [];

before(async () => {
  redis = await TestRedis.start();
});
beforeEach(() => redis.flush());
afterEach(async () => {
  for (const close of closers.reverse()) await close();
  closers = [];
});
after(async () => {
  await redis.close();
  removeScratch(dir);
});

const nothing: QueuesOptions = {
  url: '',
  log,
  consumers: [],
  onDue: async () => undefined,
  open: () => [],
  refill: () => [],
};

async function opened(options: Partial<QueuesOptions>): Promise<Queues> {
  const queues = await openQueues({ ...nothing, url: redis.url, ...options });
  closers.push(() => within('the drain', queues.drain()));
  return queues;
}

/** The same, once Redis is known to answer. */
async function healthy(options: Partial<QueuesOptions>): Promise<Queues> {
  const queues = await opened(options);
  await until('Redis to answer', () => queues.healthy());
  return queues;
}

/** What the test file's queues have logged so far, one object a line. */
function logged(): { readonly msg: string; readonly why?: string }[] {
  const lines = readFileSync(logFile, 'utf8').split('\n').filter(Boolean);
  return lines.map((line) => JSON.parse(line) as { msg: string });
}

const unavailable = { code: 'unavailable' };
const notice = (approval: string, seq: number): ApprovalNotice => ({
  approval,
  seq,
  kind: 'requested',
  state: 'pending',
  summary: `delete pod ${approval}`,
  expiresAtMs: 1_900_000_000_000,
});

/** An outside consumer: BullMQ, and nothing of Sluice. */
function consumer(name: string): ApprovalNotice[] {
  const { hostname: host, port } = new URL(redis.url);
  const got: ApprovalNotice[] = [];
  const worker = new Worker<ApprovalNotice>(
    `sluice-${name}`,
    async (job) => {
      got.push(job.data);
    },
    {
      prefix: 'sluice',
      connection: { host, port: Number(port), password: redis.password, maxRetriesPerRequest: null },
    },
  );
  worker.on('error', () => undefined);
  closers.push(() => worker.close());
  return got;
}

test('what is due comes once, in the order of its time and not before it', async () => {
  const came: { readonly approval: string; readonly atMs: number }[] = [];
  const queues = await healthy({
    onDue: async (approval) => {
      came.push({ approval, atMs: Date.now() });
    },
  });
  const startMs = Date.now();
  await queues.schedule('over', -5);
  await queues.schedule('late', 4_000);
  await queues.schedule('soon', 1_000);
  await until('all three', () => came.length === 3);
  assert.deepEqual(
    came.map(({ approval }) => approval),
    ['over', 'soon', 'late'],
  );
  for (const [i, dueInMs] of [0, 1_000, 4_000].entries()) assert.ok((came[i]?.atMs ?? 0) >= startMs + dueInMs);
});

test('the same approval twice is once, and free to be scheduled again when it has come', async () => {
  const came: string[] = [];
  const queues = await healthy({
    onDue: async (approval) => {
      came.push(approval);
    },
  });
  for (const dueInMs of [1_500, 1_500, 1_600]) await queues.schedule('a', dueInMs);
  await queues.schedule('last', 3_000);
  await until('the last', () => came.includes('last'));
  assert.deepEqual(came, ['a', 'last']);
  await queues.schedule('a', 0);
  await until('it once more', () => came.length === 3);
});

test('an approval that could not be looked at is looked at again', async () => {
  let calls = 0;
  const queues = await healthy({
    onDue: async () => {
      if (++calls < 3) throw new Error('not now');
    },
  });
  await queues.schedule('a', 0);
  await until('a third look', () => calls === 3);
});

test('an approval that is not over yet may be scheduled again while it is looked at', async () => {
  let calls = 0;
  const queues: Queues = await healthy({
    onDue: async (approval) => {
      if (++calls < 3) await queues.schedule(approval, 100);
    },
  });
  await queues.schedule('a', 0);
  await until('a third look', () => calls === 3);
});

test('a flush loses nothing: 50 pending approvals come all the same, and nobody is told twice', async () => {
  const dueAt = new Map<string, number>();
  const came: string[] = [];
  const got = consumer('tickets');
  const queues = await healthy({
    consumers: ['tickets'],
    onDue: async (approval) => {
      came.push(approval);
      dueAt.delete(approval);
    },
    open: () => [...dueAt].map(([approval, atMs]) => ({ approval, dueInMs: atMs - Date.now() })),
    refill: () => [...dueAt.keys()].map((approval) => notice(approval, 1)),
  });
  const names = Array.from({ length: 50 }, (_, i) => `p${i}`);
  for (const approval of names) {
    dueAt.set(approval, Date.now() + 10_000);
    await queues.schedule(approval, 10_000);
  }
  await redis.flush();
  assert.equal(came.length, 0);
  await until('all of them', () => came.length >= 50);
  assert.deepEqual(came.sort(), names.sort());
  assert.deepEqual(got.map(({ approval }) => approval).sort(), names);
});

test('a Redis that was killed and comes back empty is filled again, consumers\u2019 queues too', async () => {
  let isPending = true;
  const came: string[] = [];
  const queues = await healthy({
    consumers: ['tickets'],
    onDue: async (approval) => {
      came.push(approval);
      isPending = false;
    },
    open: () => (isPending ? [{ approval: 'a', dueInMs: 0 }] : []),
    refill: () => [notice('a', 7)],
  });
  await until('the first', () => came.length === 1);
  await redis.kill();
  redis.loseData();
  isPending = true;
  await redis.resume();
  await until('it once more', () => came.length === 2);
  const got = consumer('tickets');
  await until('the notice', () => got.length === 1);
  assert.deepEqual(got, [notice('a', 7)]);
  assert.ok(queues.healthy());
});

test('a Redis that crashed and kept its data is filled again: its last second may be gone', async () => {
  let fills = 0;
  const queues = await healthy({
    open: () => {
      fills++;
      return [];
    },
  });
  assert.equal(fills, 1);
  await redis.kill();
  await redis.resume();
  await until('a second time', () => fills === 2);
  await until('its health', () => queues.healthy());
});

test('while Redis is away jobs are refused, said so once, and all heals; the log has no password', async () => {
  const came: string[] = [];
  const queues = await healthy({
    consumers: ['tickets'],
    onDue: async (approval) => {
      came.push(approval);
    },
  });
  const before = logged().length;
  await redis.kill();
  await until('the end of the connection', () => !queues.healthy());
  for (let i = 0; i < 20; i++) {
    await assert.rejects(queues.schedule(`a${i}`, 0), unavailable);
    await assert.rejects(queues.notify('tickets', notice('a', i)), unavailable);
  }
  // Longer than many tries to connect.
  await new Promise((resolve) => setTimeout(resolve, 4_000));
  assert.equal(queues.healthy(), false);
  const lines = logged().slice(before);
  assert.equal(lines.length, 1, JSON.stringify(lines));
  assert.match(lines[0]?.msg ?? '', /^Redis does not answer/);
  await redis.resume();
  await until('its health', () => queues.healthy());
  await queues.schedule('b', 0);
  await until('the job', () => came.length > 0);
  assert.deepEqual(came, ['b']);
  assert.ok(!readFileSync(logFile, 'utf8').includes(redis.password));
});

test('a Redis that takes commands and answers none is away', async () => {
  const came: string[] = [];
  const queues = await healthy({
    onDue: async (approval) => {
      came.push(approval);
    },
  });
  redis.freeze();
  try {
    await assert.rejects(within('a refusal', queues.schedule('a', 0)), unavailable);
    await until('it is noticed', () => !queues.healthy());
  } finally {
    redis.thaw();
  }
  await until('its health', () => queues.healthy());
  await queues.schedule('b', 0);
  await until('the job', () => came.includes('b'));
});

test('without Redis it opens, refuses and drains; a wrong password is no end, and is not logged', async () => {
  const before = logged().length;
  const nowhere = await opened({ url: 'redis://:secret-word@127.0.0.1:1/0' });
  await assert.rejects(nowhere.schedule('a', 0), unavailable);
  const wrong = await opened({ url: redis.url.replace(redis.password, 'wrong-word') });
  await until('both to be told', () => logged().length >= before + 2);
  assert.deepEqual([nowhere.healthy(), wrong.healthy()], [false, false]);
  const said = logged()
    .slice(before)
    .map(({ why }) => why);
  assert.ok(said.some((why) => why?.includes('WRONGPASS')));
  assert.doesNotMatch(readFileSync(logFile, 'utf8'), /secret-word|wrong-word/);
});

test('a notice reaches a consumer that knows only BullMQ; the same twice is once', async () => {
  const got = consumer('tickets');
  const queues = await healthy({ consumers: ['tickets', 'chat'] });
  await queues.notify('tickets', notice('a', 1));
  await until('the first', () => got.length === 1);
  await queues.notify('tickets', notice('a', 1));
  await queues.notify('chat', notice('b', 1));
  await queues.notify('tickets', notice('a', 2));
  await until('the second', () => got.length === 2);
  assert.deepEqual(got, [notice('a', 1), notice('a', 2)]);
  await assert.rejects(queues.notify('nobody', notice('a', 1)), { code: 'unknown-consumer' });
});

test('a job in the hands of a process that is killed comes again', async () => {
  const script = `
    import { createLogger } from '@sluice/runtime';
    import { openQueues } from ${JSON.stringify(join(import.meta.dirname, 'queues.ts'))};
    const queues = await openQueues({
      url: process.env.SLUICE_REDIS_URL, log: createLogger('child', '/dev/null'), consumers: [], refill: () => [],
      open: () => [{ approval: 'a', dueInMs: 0 }],
      onDue: (approval) => new Promise(() => console.log(approval)),
    });`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    cwd: import.meta.dirname,
    env: { ...process.env, ...redis.env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [begun] = (await within('the job to begin', once(createInterface(child.stdout), 'line'))) as [string];
  assert.equal(begun, 'a');
  const came: string[] = [];
  await healthy({
    onDue: async (approval) => {
      came.push(approval);
    },
  });
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
  assert.deepEqual(came, []);
  await until('the job', () => came.length > 0);
  assert.deepEqual(came, ['a']);
});

test('a drain ends the jobs in hand first', async () => {
  let release = (): void => undefined;
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const came: string[] = [];
  const queues = await openQueues({
    ...nothing,
    url: redis.url,
    open: () => [{ approval: 'a', dueInMs: 0 }],
    onDue: async () => {
      came.push('begun');
      await held;
      came.push('done');
    },
  });
  await until('the job to begin', () => came.length === 1);
  const drained = queues.drain().then(() => came.push('drained'));
  release();
  await within('the drain', drained);
  assert.deepEqual(came, ['begun', 'done', 'drained']);
});

test('a drain ends with Redis away, in the middle of a job', async () => {
  let begun = 0;
  const queues = await openQueues({
    ...nothing,
    url: redis.url,
    open: () => [{ approval: 'a', dueInMs: 0 }],
    onDue: () => {
      begun++;
      return new Promise(() => undefined);
    },
  });
  await until('the job to begin', () => begun === 1);
  await redis.kill();
  await within('the drain', queues.drain());
  await redis.resume();
});

test('a name that is none and a URL that is none are refused, without a word of the password', async () => {
  const badNames = ['', 'expire', 'A', 'a:b', 'a b'];
  for (const name of badNames) {
    await assert.rejects(openQueues({ ...nothing, url: redis.url, consumers: [name] }), { code: 'BadConfig' });
  }
  for (const url of ['', 'http://:word@h:1', 'redis//:word@h']) {
    await assert.rejects(
      openQueues({ ...nothing, url }),
      (error: Error & { code?: string }) => error.code === 'BadConfig' && !error.message.includes('word@'),
    );
  }
});
