import assert from 'node:assert/strict';
import { test } from 'node:test';
import { summaryOf } from './cards.ts';

const agent = { name: 'demo', issuer: 'sluice', groups: [] };
const pod = {
  kind: 'resource',
  apiGroup: '',
  version: 'v1',
  resource: 'pods',
  namespace: 'shop',
  name: 'web',
} as const;
const stream = {
  kind: 'exec',
  command: ['ls', '/'],
  container: '',
  stdin: false,
  stdout: true,
  stderr: true,
  tty: false,
  ports: [],
  grade: 'plain',
  pod: null,
} as const;

test('a summary says in one line what is wanted', () => {
  const deletes = { ...pod, verb: 'delete', subresource: '' };
  assert.equal(
    summaryOf({ agent, attributes: deletes }),
    'agent "demo" wants to delete pods "web" in namespace "shop"',
  );
  const attributes = { ...pod, verb: 'get', subresource: 'exec' };
  const said = (more: object): string => summaryOf({ agent, attributes, stream: { ...stream, ...more } });
  assert.equal(said({}), 'agent "demo" wants to run ls in pod "web" in namespace "shop"');
  assert.equal(said({ command: ['a\u202eb'] }), 'agent "demo" wants to run a command in pod "web" in namespace "shop"');
  assert.equal(said({ kind: 'attach', command: [] }), 'agent "demo" wants to attach to pod "web" in namespace "shop"');
  assert.equal(
    said({ kind: 'portforward', command: [] }),
    'agent "demo" wants to forward ports of pod "web" in namespace "shop"',
  );
});
