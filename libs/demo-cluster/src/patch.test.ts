import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Json } from './objects.ts';
import { applyPatch } from './patch.ts';

const strategic = (object: Json, patch: Json): Json =>
  applyPatch(object, 'application/strategic-merge-patch+json', JSON.stringify(patch));
const jsonPatch = (object: Json, ...operations: Json[]): Json =>
  applyPatch(object, 'application/json-patch+json', JSON.stringify(operations));

test('a strategic merge patch merges containers by their name, and their environment too', () => {
  const object = {
    containers: [
      { name: 'main', image: 'a:1', env: [{ name: 'A', value: '1' }] },
      { name: 'side', image: 'b:1' },
    ],
  };
  const patch = { containers: [{ name: 'main', image: 'a:2', env: [{ name: 'B', value: '2' }] }] };
  assert.deepEqual(strategic(object, patch), {
    containers: [
      {
        name: 'main',
        image: 'a:2',
        env: [
          { name: 'A', value: '1' },
          { name: 'B', value: '2' },
        ],
      },
      { name: 'side', image: 'b:1' },
    ],
  });
});

test('ports are those of a container or of a Service, each with its own key', () => {
  const service = { ports: [{ port: 80, name: 'http' }, { port: 443 }] };
  assert.deepEqual(strategic(service, { ports: [{ port: 443, name: 'https' }] }), {
    ports: [
      { port: 80, name: 'http' },
      { port: 443, name: 'https' },
    ],
  });
  assert.deepEqual(strategic({ ports: [{ containerPort: 80 }] }, { ports: [{ containerPort: 81 }] }), {
    ports: [{ containerPort: 80 }, { containerPort: 81 }],
  });
});

test('a strategic merge patch deletes elements, primitive elements and keys that are not retained', () => {
  const object = {
    containers: [{ name: 'main' }, { name: 'side' }],
    finalizers: ['a', 'b'],
    volume: { name: 'v', emptyDir: {} },
    gone: 1,
  };
  const patch = {
    containers: [{ name: 'side', $patch: 'delete' }],
    '$setElementOrder/containers': [{ name: 'main' }],
    '$deleteFromPrimitiveList/finalizers': ['a'],
    volume: { $retainKeys: ['name', 'configMap'], configMap: { name: 'c' } },
    gone: null,
  };
  assert.deepEqual(strategic(object, patch), {
    containers: [{ name: 'main' }],
    finalizers: ['b'],
    volume: { name: 'v', configMap: { name: 'c' } },
  });
});

test('a list without merge key is replaced, and $patch: replace replaces a map', () => {
  assert.deepEqual(strategic({ command: ['a', 'b'] }, { command: ['c'] }), { command: ['c'] });
  assert.deepEqual(strategic({ data: { a: '1' } }, { data: { $patch: 'replace', b: '2' } }), { data: { b: '2' } });
});

test('a merge patch replaces lists, and null deletes, at any depth', () => {
  const patched = applyPatch(
    { containers: [{ name: 'main' }], data: { a: '1', b: '2' } },
    'application/merge-patch+json',
    JSON.stringify({ containers: [], data: { a: null }, made: { kept: '1', dropped: null } }),
  );
  assert.deepEqual(patched, { containers: [], data: { b: '2' }, made: { kept: '1' } });
});

test('a JSON patch adds, replaces, removes and tests', () => {
  const object = { list: ['a', 'b'], map: { 'x/y': { p: 1, q: 2 } } };
  const patched = jsonPatch(
    object,
    { op: 'test', path: '/map/x~1y', value: { q: 2, p: 1 } },
    { op: 'add', path: '/list/0', value: 'first' },
    { op: 'add', path: '/list/-', value: 'last' },
    { op: 'remove', path: '/list/1' },
    { op: 'replace', path: '/map/x~1y/p', value: 3 },
  );
  assert.deepEqual(patched, { list: ['first', 'b', 'last'], map: { 'x/y': { p: 3, q: 2 } } });
  assert.deepEqual(object.list, ['a', 'b'], 'what was there is left as it was');
});

test('a JSON patch that does not fit is refused as a whole', () => {
  for (const operation of [
    { op: 'test', path: '/a', value: 2 },
    { op: 'remove', path: '/b' },
    { op: 'replace', path: '/b', value: 1 },
    { op: 'add', path: '/b/c', value: 1 },
    { op: 'add', path: '/__proto__/polluted', value: 1 },
    { op: 'move', path: '/a', from: '/a' },
    { op: 'replace', path: '', value: {} },
  ]) {
    assert.throws(() => jsonPatch({ a: 1 }, operation), { code: 422, reason: 'Invalid' }, JSON.stringify(operation));
  }
});

test('an unknown patch type is 415', () => {
  assert.throws(() => applyPatch({}, 'text/plain', '{}'), { code: 415 });
});
