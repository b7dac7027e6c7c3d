import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Resizes } from './resizes.ts';

function read(...pieces: readonly string[]): string | null {
  const resizes = new Resizes();
  let read = '';
  for (const piece of pieces) {
    const sizes = resizes.push(Buffer.from(piece));
    if (sizes === null) return null;
    read += sizes.toString();
  }
  return read;
}

test('sizes are read as Go reads them, and written in one way', () => {
  const canonical = '{"Width":111,"Height":33}\n';
  assert.equal(read('{"Width":111,"Height":33}\n'), canonical);
  assert.equal(read('{"height":33, "width":111}'), canonical);
  assert.equal(read(`${canonical}${canonical}`), canonical + canonical);
});

test('a size may be cut anywhere', () => {
  const text = '{"Width":111,"Height":33}\n{"Width":5,"Height":6}';
  for (let at = 0; at <= text.length; at++) {
    assert.equal(read(text.slice(0, at), text.slice(at)), '{"Width":111,"Height":33}\n{"Width":5,"Height":6}\n');
  }
});

test('nothing but sizes gets through', () => {
  for (const text of [
    'hunter2',
    '{"Width":1,"Width":2}',
    '{"Width":111,"Height":33,"note":"hunter2"}',
    '{"Width":"1","Height":33}',
    '{"Width":111,"Height":123456}',
    '[1]',
    `{${' '.repeat(2_000)}`,
  ]) {
    assert.equal(read(text), null, text);
  }
});
