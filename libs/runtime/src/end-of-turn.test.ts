import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { EndOfTurn } from './end-of-turn.ts';

test('work of one turn is done at its end, in its order, whatever is done before', async () => {
  const done: string[] = [];
  const endOfTurn = new EndOfTurn();
  endOfTurn.add(() => done.push('first'));
  await Promise.resolve();
  endOfTurn.add(() => done.push('second'));
  assert.deepEqual(done, []);
  await turn();
  assert.deepEqual(done, ['first', 'second']);
});

test('work that comes while work is done has a turn of its own', async () => {
  const done: string[] = [];
  const endOfTurn = new EndOfTurn();
  endOfTurn.add(() => endOfTurn.add(() => done.push('later')));
  endOfTurn.run();
  assert.deepEqual(done, []);
  await turn();
  await turn();
  assert.deepEqual(done, ['later']);
});

test('who cannot wait has it done now, and once', async () => {
  const done: string[] = [];
  const endOfTurn = new EndOfTurn();
  endOfTurn.add(() => done.push('now'));
  endOfTurn.run();
  assert.deepEqual(done, ['now']);
  await turn();
  assert.deepEqual(done, ['now']);
});
