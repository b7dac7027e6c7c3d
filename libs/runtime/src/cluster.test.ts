import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressOf } from './cluster.ts';

test('the server of a kubeconfig is reached by name or by address, with or without a port and a path', () => {
  const of = (server: string): unknown => addressOf(new URL(server));
  assert.deepEqual(of('https://cluster.example.com'), { host: 'cluster.example.com', port: 443, basePath: '' });
  assert.deepEqual(of('https://10.0.0.1:6443/'), { host: '10.0.0.1', port: 6443, basePath: '' });
  assert.deepEqual(of('https://[fd00::1]:6443'), { host: 'fd00::1', port: 6443, basePath: '' });
  assert.deepEqual(of('https://rancher.example.com/k8s/clusters/c-1/'), {
    host: 'rancher.example.com',
    port: 443,
    basePath: '/k8s/clusters/c-1',
  });
});
