import assert from 'node:assert/strict';
import { test } from 'node:test';
import { requestAttributes } from './request-info.ts';
import { parseTarget } from './target.ts';

/** method, target, verb, group, resource[/subresource], namespace, name: by the rules of k8s.io/apiserver's RequestInfo. */
const resources = [
  ['GET', '/api/v1/pods?watch=', 'watch', '', 'pods', '', ''],
  ['GET', '/api/v1/pods?watch', 'watch', '', 'pods', '', ''],
  ['GET', '/api/v1/pods?watch=FALSE', 'list', '', 'pods', '', ''],
  ['GET', '/api/v1/pods?watch=0', 'list', '', 'pods', '', ''],
  ['GET', '/api/v1/pods?watch=x', 'watch', '', 'pods', '', ''],
  ['HEAD', '/api/v1/namespaces/a/pods/p', 'get', '', 'pods', 'a', 'p'],
  ['HEAD', '/api/v1/namespaces/a/pods', 'list', '', 'pods', 'a', ''],
  ['GET', '/api/v1/namespaces/a/pods/p?watch=true', 'get', '', 'pods', 'a', 'p'],
  ['GET', '/api/v1/watch/namespaces/a/secrets/s', 'watch', '', 'secrets', 'a', 's'],
  ['GET', '/apis/apps/v1/deployments?fieldSelector=metadata.name%3Dd', 'list', 'apps', 'deployments', '', 'd'],
  ['GET', '/api/v1/secrets?fieldSelector=type%3DOpaque,metadata.name%3D%3Ds', 'list', '', 'secrets', '', 's'],
  ['DELETE', '/api/v1/namespaces/a/secrets', 'deletecollection', '', 'secrets', 'a', ''],
  ['DELETE', '/api/v1/namespaces/a/secrets/s', 'delete', '', 'secrets', 'a', 's'],
  ['PUT', '/api/v1/namespaces/a/finalize', 'update', '', 'namespaces/finalize', 'a', 'a'],
  ['GET', '/api/v1/namespaces/a/status', 'get', '', 'namespaces/status', 'a', 'a'],
  ['GET', '/api/v1/namespaces/x', 'get', '', 'namespaces', 'x', 'x'],
  ['GET', '/api/v1/namespaces', 'list', '', 'namespaces', '', ''],
  ['GET', '/api/v1/namespaces/a/pods/p/proxy/x/y', 'get', '', 'pods/proxy', 'a', 'p'],
  ['GET', '/api/v1/proxy/namespaces/a/pods/p/x', 'proxy', '', 'pods', 'a', 'p'],
  ['POST', '/api/v1/namespaces/a/pods/p/eviction', 'create', '', 'pods/eviction', 'a', 'p'],
  ['POST', '/apis/apps/v1/namespaces/a/deployments', 'create', 'apps', 'deployments', 'a', ''],
  ['PATCH', '/apis/apps/v1/namespaces/a/deployments/d/scale', 'patch', 'apps', 'deployments/scale', 'a', 'd'],
] as const;

for (const [method, target, verb, apiGroup, resource, namespace, name] of resources) {
  test(`${method} ${target} is ${verb} ${resource}`, () => {
    const attributes = requestAttributes(method, parseTarget(target));
    assert.ok(attributes?.kind === 'resource');
    const { subresource } = attributes;
    const full = subresource === '' ? attributes.resource : `${attributes.resource}/${subresource}`;
    assert.deepEqual(
      [attributes.verb, attributes.apiGroup, full, attributes.namespace, attributes.name],
      [verb, apiGroup, resource, namespace, name],
    );
  });
}

for (const path of ['/', '/version', '/api', '/api/v1', '/apis', '/apis/apps/v1', '/openapi/v3', '/metrics']) {
  test(`GET ${path} is not about a resource`, () => {
    assert.deepEqual(requestAttributes('GET', parseTarget(path)), { kind: 'nonResource', verb: 'get', path });
  });
}

for (const [method, target] of [
  ['OPTIONS', '/api/v1/pods'],
  ['PROPFIND', '/version'],
  ['GET', '/api/v1/watch'],
  ['GET', '/api/v1/proxy'],
] as const) {
  test(`${method} ${target} stands for no verb`, () => {
    assert.equal(requestAttributes(method, parseTarget(target)), null);
  });
}
