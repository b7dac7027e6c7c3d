import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isJson, layOutJson } from './json.ts';

test('JSON is laid out as JSON.stringify does it', () => {
  const values = [
    null,
    true,
    -1.5e-7,
    '',
    'a "quoted" \\ string, with: {braces} [and] more\n',
    [],
    {},
    [[]],
    [{}],
    { a: [], b: {}, c: [1, [2, { d: null }]], 'e:,"': 'x' },
  ];
  for (const value of values) {
    const laidOut = JSON.stringify(value, null, 2);
    assert.equal(layOutJson(JSON.stringify(value)), laidOut);
    assert.equal(layOutJson(laidOut), laidOut, 'what is laid out stays');
  }
});

test('numbers and strings stay as they were written', () => {
  assert.equal(
    layOutJson('{"a":9007199254740993, "b":1.0,"c":1E400,"d":"\\u0041"}'),
    '{\n  "a": 9007199254740993,\n  "b": 1.0,\n  "c": 1E400,\n  "d": "\\u0041"\n}',
  );
});

test('what is not JSON is said to be none', () => {
  for (const text of ['', '{', '{"a":1}{"a":2}', '"', 'nope', '[1,]']) {
    assert.equal(layOutJson(text), null, text);
    assert.equal(isJson(text), false, text);
  }
});
