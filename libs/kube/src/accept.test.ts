import assert from 'node:assert/strict';
import { test } from 'node:test';
import { jsonAccept } from './accept.ts';

const cases = [
  [undefined, 'application/json'],
  ['application/json, */*', 'application/json'],
  ['application/vnd.kubernetes.protobuf', 'application/json'],
  ['application/json;q=0, application/vnd.kubernetes.protobuf', 'application/json'],
  ['*/*;q=0.1', 'application/json'],
  [
    'application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json',
    'application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json',
  ],
  [
    'application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1',
    'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1',
  ],
  [
    'application/json;q=0.1;as=Table;g=meta.k8s.io;v=v1, application/yaml',
    'application/json,application/json;as=Table;g=meta.k8s.io;v=v1',
  ],
  ['text/plain', null],
  ['application/json;q=0', null],
] as const;

for (const [accept, expected] of cases) {
  test(`Accept ${accept ?? '(none)'} goes on as ${expected ?? '406'}`, () =>
    assert.equal(jsonAccept(accept), expected));
}
