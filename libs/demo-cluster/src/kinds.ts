import { at, type Json, listAt, type Stored, textAt } from './objects.ts';

/** Who asks: the impersonated identity, if there is one. */
export interface User {
  readonly username: string;
  readonly groups: readonly string[];
}

/** A column of `kubectl get`; a `wide` one shows with `-o wide` only. */
export type Column = readonly [title: string, cell: (object: Stored) => string | number, width?: 'wide'];

/** A resource the demo cluster serves. */
export interface Kind {
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly kind: string;
  readonly namespaced: boolean;
  readonly short: readonly string[];
  /** Columns of `kubectl get` between NAME and AGE. */
  readonly columns: readonly Column[];
  /** Whether `kubectl get all` shows it. */
  readonly inAll?: true;
  /** Can only be created, and only answers, with this status. */
  readonly review?: (user: User) => Json;
}

const of = (group: string, resource: string, kind: string, more: Partial<Kind> = {}): Kind => ({
  group,
  version: 'v1',
  resource,
  kind,
  namespaced: true,
  short: [],
  columns: [],
  ...more,
});

const entries =
  (field: string) =>
  (object: Stored): number =>
    Object.keys(object[field] ?? {}).length;

const eachContainer =
  (field: 'name' | 'image') =>
  (object: Stored): string =>
    listAt(object, 'spec', 'template', 'spec', 'containers')
      .map((container) => textAt(container, field))
      .join(',');

const templateColumns: readonly Column[] = [
  ['Containers', eachContainer('name'), 'wide'],
  ['Images', eachContainer('image'), 'wide'],
];

/** One row a resource; nothing below this table enumerates them. */
export const kinds: readonly Kind[] = [
  of('', 'namespaces', 'Namespace', {
    namespaced: false,
    short: ['ns'],
    columns: [['Status', (object) => textAt(object, 'status', 'phase')]],
  }),
  of('', 'nodes', 'Node', {
    namespaced: false,
    short: ['no'],
    columns: [
      ['Status', (object) => (at(object, 'spec', 'unschedulable') === true ? 'Ready,SchedulingDisabled' : 'Ready')],
      ['Roles', () => '<none>'],
      ['Version', (object) => textAt(object, 'status', 'nodeInfo', 'kubeletVersion')],
      ['OS-Image', (object) => textAt(object, 'status', 'nodeInfo', 'osImage'), 'wide'],
    ],
  }),
  of('', 'pods', 'Pod', {
    inAll: true,
    short: ['po'],
    columns: [
      [
        'Ready',
        (object) =>
          `${listAt(object, 'status', 'containerStatuses').length}/${listAt(object, 'spec', 'containers').length}`,
      ],
      ['Status', (object) => textAt(object, 'status', 'phase')],
      ['Restarts', () => 0],
      ['IP', (object) => textAt(object, 'status', 'podIP'), 'wide'],
      ['Node', (object) => textAt(object, 'spec', 'nodeName'), 'wide'],
    ],
  }),
  of('', 'services', 'Service', {
    inAll: true,
    short: ['svc'],
    columns: [
      ['Type', (object) => textAt(object, 'spec', 'type')],
      ['Cluster-IP', (object) => textAt(object, 'spec', 'clusterIP')],
      ['External-IP', () => '<none>'],
      [
        'Port(s)',
        (object) =>
          listAt(object, 'spec', 'ports')
            .map((port) => `${textAt(port, 'port')}/TCP`)
            .join(','),
      ],
    ],
  }),
  of('', 'configmaps', 'ConfigMap', { short: ['cm'], columns: [['Data', entries('data')]] }),
  of('', 'secrets', 'Secret', {
    columns: [
      ['Type', (object) => textAt(object, 'type')],
      ['Data', entries('data')],
    ],
  }),
  of('', 'serviceaccounts', 'ServiceAccount', { short: ['sa'], columns: [['Secrets', () => 0]] }),
  of('', 'events', 'Event', {
    short: ['ev'],
    columns: [
      ['Type', (object) => textAt(object, 'type')],
      ['Reason', (object) => textAt(object, 'reason')],
      [
        'Object',
        (object) =>
          `${textAt(object, 'involvedObject', 'kind').toLowerCase()}/${textAt(object, 'involvedObject', 'name')}`,
      ],
      ['Message', (object) => textAt(object, 'message')],
    ],
  }),
  of('apps', 'deployments', 'Deployment', {
    inAll: true,
    short: ['deploy'],
    columns: [
      ['Ready', (object) => `${textAt(object, 'status', 'readyReplicas') || 0}/${textAt(object, 'spec', 'replicas')}`],
      ['Up-to-date', (object) => textAt(object, 'status', 'updatedReplicas') || 0],
      ['Available', (object) => textAt(object, 'status', 'availableReplicas') || 0],
      ...templateColumns,
    ],
  }),
  of('apps', 'replicasets', 'ReplicaSet', {
    inAll: true,
    short: ['rs'],
    columns: [
      ['Desired', (object) => textAt(object, 'spec', 'replicas')],
      ['Ready', (object) => textAt(object, 'status', 'readyReplicas')],
      ...templateColumns,
    ],
  }),
  of('coordination.k8s.io', 'leases', 'Lease', {
    columns: [['Holder', (object) => textAt(object, 'spec', 'holderIdentity')]],
  }),
  of('batch', 'jobs', 'Job', { columns: [['Status', () => 'Complete']] }),
  of('authorization.k8s.io', 'selfsubjectaccessreviews', 'SelfSubjectAccessReview', {
    namespaced: false,
    review: () => ({ allowed: true, reason: 'the demo cluster allows everything' }),
  }),
  of('authorization.k8s.io', 'selfsubjectrulesreviews', 'SelfSubjectRulesReview', {
    namespaced: false,
    review: () => ({
      resourceRules: [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'] }],
      nonResourceRules: [{ verbs: ['*'], nonResourceURLs: ['*'] }],
      incomplete: false,
    }),
  }),
  of('authentication.k8s.io', 'selfsubjectreviews', 'SelfSubjectReview', {
    namespaced: false,
    review: (user) => ({ userInfo: user }),
  }),
];

/** The kind of a resource that the table above has. */
export function kindOf(resource: string): Kind {
  const found = kinds.find((kind) => kind.resource === resource);
  if (found === undefined) throw new Error(`the demo cluster has no ${resource}`);
  return found;
}

export function apiVersionOf({ group, version }: Kind): string {
  return group === '' ? version : `${group}/${version}`;
}

/** `resource[.group]`, as errors have it. */
export function qualifiedName({ group, resource }: Kind): string {
  return group === '' ? resource : `${resource}.${group}`;
}
