import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kindOf } from './kinds.ts';
import type { Stored } from './objects.ts';
import { tableOf } from './table.ts';

const secret = (ageSeconds: number): Stored => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: {
    name: 'web-db',
    namespace: 'shop',
    uid: 'u',
    resourceVersion: '7',
    creationTimestamp: new Date(Date.now() - ageSeconds * 1_000).toISOString(),
  },
  type: 'Opaque',
  data: { a: 'MQ==', b: 'Mg==' },
});

test('a row has a cell for each column, and the metadata of its object', () => {
  const object = secret(86_400 * 3);
  const { columnDefinitions, rows } = tableOf(kindOf('secrets'), [object], '9', '') as {
    columnDefinitions: { name: string; priority: number }[];
    rows: { cells: unknown[]; object: unknown }[];
  };
  assert.deepEqual(
    columnDefinitions.map(({ name }) => name),
    ['Name', 'Type', 'Data', 'Age'],
  );
  const { metadata } = object;
  assert.deepEqual(rows, [
    {
      cells: ['web-db', 'Opaque', 2, '3d'],
      object: { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata },
    },
  ]);
});

test('includeObject=Object gives whole objects, None gives none', () => {
  const rows = (include: string): unknown => tableOf(kindOf('secrets'), [secret(1)], '9', include)['rows'];
  assert.equal((rows('Object') as { object: Stored }[])[0]?.object.kind, 'Secret');
  assert.equal((rows('None') as { object: null }[])[0]?.object, null);
});

test('wide columns have a priority that hides them', () => {
  const { columnDefinitions } = tableOf(kindOf('pods'), [], '9', '') as {
    columnDefinitions: { name: string; priority: number }[];
  };
  const priorities = Object.fromEntries(columnDefinitions.map(({ name, priority }) => [name, priority]));
  assert.equal(priorities['Status'], 0);
  assert.equal(priorities['Node'], 1);
});
