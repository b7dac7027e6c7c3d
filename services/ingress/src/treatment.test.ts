import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RequestAttributes } from '@sluice/model';
import { Refusal } from './refusal.ts';
import { treatmentOf } from './treatment.ts';

const resource = { kind: 'resource', apiGroup: '', version: 'v1', namespace: 'n', name: 'x', subresource: '' } as const;
const secret: RequestAttributes = { ...resource, verb: 'get', resource: 'secrets' };
const pod: RequestAttributes = { ...resource, verb: 'get', resource: 'pods' };
const log: RequestAttributes = { ...pod, subresource: 'log' };
const proxy: RequestAttributes = { ...pod, subresource: 'proxy' };
const path = (path: string): RequestAttributes => ({ kind: 'nonResource', verb: 'get', path });

const cases: readonly [what: RequestAttributes, type: string, treatment: string][] = [
  [secret, 'application/json', 'mask'],
  [secret, 'Application/JSON; charset=utf-8', 'mask'],
  [secret, 'application/json;stream=watch', 'mask'],
  [secret, 'application/vnd.kubernetes.protobuf', 'withheld'],
  [secret, 'application/yaml', 'withheld'],
  [secret, 'application/cbor', 'withheld'],
  [secret, 'text/plain', 'withheld'],
  [secret, '', 'withheld'],
  [log, 'text/plain', 'text'],
  [log, 'text/plain; charset=UTF-8', 'text'],
  [log, 'text/plain; charset=utf-16', 'withheld'],
  [log, 'application/octet-stream', 'withheld'],
  [{ ...log, apiGroup: 'example.org' }, 'text/plain', 'withheld'],
  [proxy, 'text/html', 'text'],
  [proxy, 'image/png', 'unmasked'],
  [proxy, 'application/json', 'mask'],
  [path('/version'), 'application/json', 'plain'],
  [path('/openapi/v2'), 'application/com.github.proto-openapi.spec.v2@v1.0+protobuf', 'plain'],
  [path('/healthz/etcd'), 'text/plain', 'plain'],
  [path('/healthzz'), 'text/plain', 'text'],
  [path('/metrics'), 'text/plain; version=0.0.4', 'text'],
  [path('/metrics'), 'application/openmetrics-text; version=1.0.0', 'text'],
  [path('/logs/audit.log'), 'text/plain; charset="utf-16le"', 'withheld'],
  [path('/configz'), 'application/json', 'mask'],
  [path('/debug/pprof/heap'), 'application/octet-stream', 'withheld'],
  [path('/debug/pprof/'), 'text/html; charset=utf-8', 'text'],
];

function treated(what: RequestAttributes, statusCode: number, headers: Readonly<Record<string, string>>): string {
  try {
    return treatmentOf(what, { statusCode, headers });
  } catch (error) {
    assert.ok(error instanceof Refusal);
    assert.equal(error.reasonCode, 'ResponseWithheld');
    return 'withheld';
  }
}

test('an answer is masked, replaced or withheld by what it says it is', () => {
  for (const [what, type, treatment] of cases) {
    assert.equal(treated(what, 200, { 'content-type': type }), treatment, `${JSON.stringify(what)} as ${type}`);
  }
});

test('an error that cannot be masked gives way to a Status', () => {
  assert.equal(treated(secret, 404, { 'content-type': 'text/plain' }), 'substitute');
  assert.equal(treated(log, 500, { 'content-type': 'text/plain' }), 'substitute');
  assert.equal(treated(path('/debug/pprof/heap'), 500, { 'content-type': 'application/octet-stream' }), 'substitute');
  assert.equal(treated(path('/metrics'), 403, { 'content-type': 'text/plain' }), 'text');
  assert.equal(treated(secret, 403, { 'content-type': 'application/json' }), 'mask');
});

test('compressed answers and redirects are withheld, whatever is asked for', () => {
  for (const what of [secret, log, path('/version'), path('/metrics')]) {
    assert.equal(treated(what, 200, { 'content-type': 'text/plain', 'content-encoding': 'gzip' }), 'withheld');
    assert.equal(treated(what, 302, { 'content-type': 'text/plain' }), 'withheld');
  }
});
