import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseTarget, requestAttributes } from '@sluice/kube';
import type { RequestAttributes } from '@sluice/model';
import { RefusedPairs } from './refused-pairs.ts';

const demo = { name: 'demo', issuer: 'sluice', groups: [] };
const path = '/api/v1/namespaces/shop/pods/web/portforward';

function request(method: string, at = path) {
  const target = parseTarget(at);
  return { method, target, attributes: requestAttributes(method, target) as RequestAttributes };
}

test('the second half of a pair is told what the first was, once', () => {
  const pairs = new RefusedPairs<string>();
  pairs.refused(demo, request('GET'), 'no');
  assert.equal(pairs.takeSecond(demo, request('POST')), 'no');
  assert.equal(pairs.takeSecond(demo, request('POST')), undefined, 'a further one is a call of its own');
});

test('nobody else is told, and of nothing else', () => {
  const pairs = new RefusedPairs<string>();
  pairs.refused(demo, request('GET'), 'no');
  assert.equal(pairs.takeSecond({ ...demo, name: 'other' }, request('POST')), undefined);
  assert.equal(pairs.takeSecond(demo, request('POST', path.replace('web', 'db'))), undefined);
  assert.equal(pairs.takeSecond(demo, request('GET')), undefined, 'a second attempt over WebSocket is no second half');
  pairs.refused(demo, request('POST', path.replace('web', 'db')), 'no');
  assert.equal(pairs.takeSecond(demo, request('POST', path.replace('web', 'db'))), undefined, 'SPDY comes second');
});
