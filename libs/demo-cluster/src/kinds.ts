import { listAt, type Stored, textAt } from './objects.ts';

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
  readonly columns: readonly (readonly [title: string, cell: (object: Stored) => string | number])[];
  /** Whether `kubectl get all` shows it. */
  readonly inAll?: true;
  /** Can only be created, and only answers. */
  readonly review?: true;
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
      ['Status', () => 'Ready'],
      ['Roles', () => '<none>'],
      ['Version', (object) => textAt(object, 'status', 'nodeInfo', 'kubeletVersion')],
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
    ],
  }),
  of('', 'services', 'Service', {
    inAll: true,
    short: ['svc'],
    columns: [
      ['Type', (object) => textAt(object, 'spec', 'type')],
      ['Cluster-IP', (object) => textAt(object, 'spec', 'clusterIP')],
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
    ],
  }),
  of('apps', 'replicasets', 'ReplicaSet', {
    inAll: true,
    short: ['rs'],
    columns: [
      ['Desired', (object) => textAt(object, 'spec', 'replicas')],
      ['Ready', (object) => textAt(object, 'status', 'readyReplicas')],
    ],
  }),
  of('batch', 'jobs', 'Job', { columns: [['Status', () => 'Complete']] }),
  of('authorization.k8s.io', 'selfsubjectaccessreviews', 'SelfSubjectAccessReview', {
    namespaced: false,
    review: true,
  }),
  of('authentication.k8s.io', 'selfsubjectreviews', 'SelfSubjectReview', { namespaced: false, review: true }),
];

export function apiVersionOf({ group, version }: Kind): string {
  return group === '' ? version : `${group}/${version}`;
}
