import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { EndOfTurn } from './end-of-turn.ts';

/** As many turns as anything waits for, and more. */
async function turns(): Promise<void> {
  for (let i = 0; i < 5; i++) await turn();
}

test('work is put off, and done in its order', async () => {
  const done: string[] = [];
  const endOfTurn = new EndOfTurn();
  endOfTurn.add(() => done.push('first'));
  await Promise.resolve();
  endOfTurn.add(() => done.push('second'));
  assert.deepEqual(done, []);
  await turns();
  assert.deepEqual(done, ['first', 'second']);
});

test('work that comes while work is done has a turn of its own', async () => {
  const done: string[] = [];
  const endOfTurn = new EndOfTurn();
  endOfTurn.add(() => endOfTurn.add(() => done.push('later')));
  endOfTurn.run();
  assert.deepEqual(done, []);
  await turns();
  assert.deepEqual(done, ['later']);
});

test('work of the turn that follows goes with it, and nothing waits for more', async () => {
  const done: number[] = [];
  const endOfTurn = new EndOfTurn();
  for (let i = 0; i < 10; i++) {
    endOfTurn.add(() => done.push(i));
    await turn();
  }
  assert.ok(done.length >= 8, `${done.length} done`);
  await turns();
  assert.deepEqual(
    done,
    Array.from({ length: 10 }, (_, i) => i),
  );
});

test('who cannot wait has it done now, and once', async () => {
  const done: string[] = [];
  const endOfTurn = new EndOfTurn();
  endOfTurn.add(() => done.push('now'));
  endOfTurn.run();
  assert.deepEqual(done, ['now']);
  await turns();
  assert.deepEqual(done, ['now']);
});
