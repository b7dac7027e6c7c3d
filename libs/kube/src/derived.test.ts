import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ResourceAttributes, resourceName } from '@sluice/model';
import { derivedAttributes } from './derived.ts';

/** A call, and what it is judged as besides itself, by the Kubernetes documentation and what a real server answered. */
const calls = [
  ['patch deployments.apps', 'apply', ['create deployments.apps']],
  ['patch widgets.rig.example', 'apply', ['create widgets.rig.example']],
  ['patch deployments.apps', 'other', []],
  // Answered with 404 by a server whose user may only patch the subresource.
  ['patch deployments.apps/status', 'apply', []],
  ['patch deployments.apps/scale', 'apply', []],

  ['update endpoints', 'other', ['create endpoints']],
  ['update events', 'other', ['create events']],
  ['update events.events.k8s.io', 'other', ['create events.events.k8s.io']],
  ['update limitranges', 'other', ['create limitranges']],
  ['update services', 'other', ['create services']],
  ['update leases.coordination.k8s.io', 'other', ['create leases.coordination.k8s.io']],
  ['update leasecandidates.coordination.k8s.io', 'other', ['create leasecandidates.coordination.k8s.io']],
  ['update runtimeclasses.node.k8s.io', 'other', ['create runtimeclasses.node.k8s.io']],
  ['update roles.rbac.authorization.k8s.io', 'other', ['create roles.rbac.authorization.k8s.io']],
  ['update rolebindings.rbac.authorization.k8s.io', 'other', ['create rolebindings.rbac.authorization.k8s.io']],
  ['update clusterroles.rbac.authorization.k8s.io', 'other', ['create clusterroles.rbac.authorization.k8s.io']],
  [
    'update clusterrolebindings.rbac.authorization.k8s.io',
    'other',
    ['create clusterrolebindings.rbac.authorization.k8s.io'],
  ],
  ['update configmaps', 'other', []],
  ['update secrets', 'other', []],
  ['update pods', 'other', []],
  ['update deployments.apps', 'other', []],
  ['update leases.rig.example', 'other', []],
  ['update services/status', 'other', []],
  ['patch endpoints', 'other', []],
  ['delete endpoints', 'other', []],

  ['get pods/exec', 'other', ['create pods/exec']],
  ['get pods/attach', 'other', ['create pods/attach']],
  ['get pods/portforward', 'other', ['create pods/portforward']],
  ['create pods/exec', 'other', []],
  ['get pods/log', 'other', []],
  ['get pods.metrics.k8s.io/exec', 'other', []],

  ['get pods/proxy', 'other', ['proxy pods/proxy']],
  ['create services/proxy', 'other', ['proxy services/proxy']],
  ['delete nodes/proxy', 'other', ['proxy nodes/proxy']],
  ['get widgets.rig.example/proxy', 'other', ['proxy widgets.rig.example/proxy']],
  ['proxy nodes', 'other', ['proxy nodes/proxy']],
  ['proxy pods', 'other', ['proxy pods/proxy']],
  ['proxy pods/proxy', 'other', []],

  ['create pods/eviction', 'other', ['delete pods']],
  ['patch pods/ephemeralcontainers', 'other', ['create pods/exec']],
  ['patch pods/ephemeralcontainers', 'apply', ['create pods/exec']],
  ['update pods/ephemeralcontainers', 'other', ['create pods/exec']],
  ['get pods/ephemeralcontainers', 'other', []],

  ['watch secrets', 'other', ['list secrets']],
  ['watch deployments.apps', 'other', ['list deployments.apps']],
  ['watch pods/proxy', 'other', ['list pods/proxy', 'proxy pods/proxy']],

  ['get pods', 'other', []],
  ['list secrets', 'other', []],
  ['create pods', 'other', []],
  ['create serviceaccounts/token', 'other', []],
  ['deletecollection pods', 'other', []],
] as const;

for (const [call, form, expected] of calls) {
  const also = expected.length === 0 ? 'nothing else' : `${expected.join(' and ')} as well`;
  test(`${call}${form === 'apply' ? ' by server-side apply' : ''} is judged as ${also}`, () => {
    const derived = derivedAttributes(attributesOf(call), form);
    assert.deepEqual(derived.map((attributes) => `${attributes.verb} ${resourceName(attributes)}`).sort(), expected);
  });
}

test('what is derived is about the same object', () => {
  const call = { ...attributesOf('create pods/eviction'), namespace: 'shop', name: 'web-0' };
  const expected = { ...attributesOf('delete pods'), namespace: 'shop', name: 'web-0' };
  assert.deepEqual(derivedAttributes(call, 'other'), [expected]);
});

/** `verb resource[.group][/subresource]`, as the table has it. */
function attributesOf(call: string): ResourceAttributes {
  const [verb = '', full = ''] = call.split(' ');
  const [grouped = '', subresource = ''] = full.split('/');
  const [resource = '', ...group] = grouped.split('.');
  return {
    kind: 'resource',
    verb,
    apiGroup: group.join('.'),
    version: 'v1',
    resource,
    subresource,
    namespace: '',
    name: '',
  };
}
