import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLogger } from '@sluice/runtime';
import { Budget, type Share } from './budget.ts';

const log = createLogger('test', '/dev/null');
const mebibyte = 1024 * 1024;
const maxBytes = 600 * mebibyte;
const agent = (name: string, issuer = 'i') => ({ issuer, name, groups: [] });
const never = new AbortController().signal;

/** A store with so much in it; the broker takes everything at once. */
class Store {
  readonly budget = new Budget(log);
  usedBytes = 0;
  look(): Promise<void> {
    return this.budget.look(async () => ({ usedBytes: this.usedBytes, maxBytes }));
  }

  /** Has an agent store a mebibyte at a time until it must wait; returns how many it stored. */
  async fill(share: Share): Promise<number> {
    const enough = new AbortController();
    for (let count = 0; count < 1_000; count++) {
      const claim = this.claim(share, enough.signal);
      if ((await settled(claim)) === 'waits') {
        enough.abort();
        await assert.rejects(claim);
        return count;
      }
      this.store(share, mebibyte);
    }
    throw new Error('there is room without end');
  }

  claim(share: Share, signal = never): Promise<'has room'> {
    return share.claim(mebibyte, signal).then(() => 'has room' as const);
  }

  store(share: Share, bytes: number): void {
    this.usedBytes += bytes;
    share.stored(bytes);
  }
}

const turn = <T>(value: T): Promise<T> => new Promise((resolve) => setImmediate(resolve, value));
const settled = (promise: Promise<unknown>): Promise<'has room' | 'waits'> =>
  Promise.race([promise.then(() => 'has room' as const), turn('waits' as const)]);

test('a heavy agent comes to half of the store, and others go on', async () => {
  const store = new Store();
  await store.look();
  assert.equal(await store.fill(store.budget.share(agent('heavy'))), 300);
  await store.look();
  assert.equal(await store.fill(store.budget.share(agent('heavy'))), 0, 'it is one agent, whatever its calls');
  const other = store.budget.share(agent('heavy', 'another issuer'));
  assert.equal(await settled(store.claim(other)), 'has room');
});

test('of three heavy agents each comes to a quarter, whoever came first', async () => {
  const store = new Store();
  const shares = ['a', 'b', 'c'].map((name) => store.budget.share(agent(name)));
  const counts = [0, 0, 0];
  await store.look();
  for (let isWaiting = [false, false, false]; isWaiting.includes(false); ) {
    for (const [index, share] of shares.entries()) {
      if (isWaiting[index] === true) continue;
      if ((await settled(store.claim(share))) === 'waits') isWaiting[index] = true;
      else {
        store.store(share, mebibyte);
        counts[index] = (counts[index] ?? 0) + 1;
      }
    }
  }
  assert.deepEqual(counts, [150, 150, 150]);
});

test('as the store empties, what each agent has shrinks in proportion, and who waited longest goes first', async () => {
  const store = new Store();
  const heavy = store.budget.share(agent('heavy'));
  await store.look();
  assert.equal(await store.fill(heavy), 300);
  await store.look();
  const order: number[] = [];
  for (const index of [1, 2, 3]) void store.claim(heavy).then(() => order.push(index));
  for (const [usedMebibytes, gone] of [
    [300, []],
    // 299 are its own and 301 are free: room for one more, but not for two.
    [299, [1]],
    [298, [1, 2]],
  ] as const) {
    store.usedBytes = usedMebibytes * mebibyte;
    await store.look();
    await turn(0);
    assert.deepEqual(order, gone);
  }
  store.usedBytes = 0;
  await store.look();
  await turn(0);
  assert.deepEqual(order, [1, 2, 3]);
});

test('what was there before, and what others put there, leaves less for all', async () => {
  const store = new Store();
  store.usedBytes = 400 * mebibyte;
  await store.look();
  const share = store.budget.share(agent('late'));
  assert.equal(await store.fill(share), 100, 'half of what is free');
  store.usedBytes = 600 * mebibyte;
  await store.look();
  assert.equal(await settled(store.claim(store.budget.share(agent('new')))), 'waits', 'a full store is full for all');
});

test('a frame without an ack counts, whatever the broker says of its level', async () => {
  const store = new Store();
  await store.look();
  const share = store.budget.share(agent('a'));
  for (let i = 0; i < 64; i++) assert.equal(await settled(store.claim(share)), 'has room');
  const waiting = store.claim(store.budget.share(agent('b')));
  assert.equal(await settled(waiting), 'waits', '64 MiB are in memory already');
  share.stored(mebibyte);
  assert.equal(await settled(waiting), 'has room');
});

test('until the level is known nobody waits, and a level that is lost stays what it was', async () => {
  const budget = new Budget(log);
  const share = budget.share(agent('a'));
  await budget.look(async () => null);
  assert.equal(await settled(share.claim(10 * maxBytes, never)), 'has room');
  share.stored(10 * maxBytes);
  await budget.look(async () => ({ usedBytes: maxBytes, maxBytes }));
  await budget.look(async () => null);
  assert.equal(await settled(share.claim(1, never)), 'waits');
});

test('who waits is let go by the end of its call, and takes nothing', async () => {
  const store = new Store();
  store.usedBytes = maxBytes;
  await store.look();
  const share = store.budget.share(agent('a'));
  const over = new AbortController();
  const ended = store.claim(share, over.signal).catch((error: unknown) => error);
  const why = new Error('the agent left');
  over.abort(why);
  assert.equal(await Promise.race([ended, turn('still waits')]), why);
  await assert.rejects(store.claim(share, over.signal), why);
  share.take(mebibyte);
  share.stored(mebibyte);
  store.usedBytes = 0;
  await store.look();
  assert.equal(await store.fill(share), 300);
});
