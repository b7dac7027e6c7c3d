import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseTarget, requestAttributes } from '@sluice/kube';
import { lookTarget } from './look.ts';

function targetOf(method: string, path: string): string | null {
  const target = parseTarget(path);
  const attributes = requestAttributes(method, target);
  assert.ok(attributes !== null);
  return lookTarget(attributes, target);
}

test('a change of one object looks at that object, whatever the query', () => {
  const web = '/apis/apps/v1/namespaces/shop/deployments/web';
  assert.equal(targetOf('DELETE', web), web);
  assert.equal(targetOf('PATCH', `${web}?fieldManager=kubectl&dryRun=All`), web);
  assert.equal(targetOf('PUT', `${web}/`), web);
  assert.equal(targetOf('DELETE', '/api/v1/namespaces/shop'), '/api/v1/namespaces/shop');
  const odd = '/apis/rbac.authorization.k8s.io/v1/clusterroles/system:a b';
  assert.equal(targetOf('DELETE', odd.replace(' ', '%20')), odd.replace(' ', '%20'));
});

test('a change of a subresource looks at the object it is of', () => {
  const web = '/apis/apps/v1/namespaces/shop/deployments/web';
  assert.equal(targetOf('PATCH', `${web}/scale`), web);
  assert.equal(targetOf('PUT', '/api/v1/namespaces/shop/status'), '/api/v1/namespaces/shop');
  const pod = '/api/v1/namespaces/shop/pods/web-1';
  assert.equal(targetOf('POST', `${pod}/eviction`), pod);
});

test('there is nothing to look at where nothing that is there changes', () => {
  for (const [method, path] of [
    ['GET', '/api/v1/namespaces/shop/pods/web-1'],
    ['POST', '/api/v1/namespaces/shop/pods'],
    ['POST', '/api/v1/namespaces/shop/pods/web-1/binding'],
    ['DELETE', '/api/v1/namespaces/shop/pods'],
    ['POST', '/version'],
  ] as const) {
    assert.equal(targetOf(method, path), null, `${method} ${path}`);
  }
});
