import { admit, reconcile } from './controllers.ts';
import { kinds } from './kinds.ts';
import type { Json } from './objects.ts';
import type { Store } from './store.ts';

const base64 = (text: string): string => Buffer.from(text).toString('base64');

/** A small shop. The secrets are of the demo alone and open nothing. */
const objects: readonly (readonly [resource: string, namespace: string, body: Json])[] = [
  ...['default', 'kube-system', 'shop'].map((name) => ['namespaces', '', { metadata: { name } }] as const),
  [
    'nodes',
    '',
    {
      metadata: { name: 'demo-node' },
      status: { nodeInfo: { kubeletVersion: 'v1.32.0' }, conditions: [{ type: 'Ready', status: 'True' }] },
    },
  ],
  ...['default', 'shop'].map((namespace) => ['serviceaccounts', namespace, { metadata: { name: 'default' } }] as const),
  ['configmaps', 'shop', { metadata: { name: 'web' }, data: { LOG_LEVEL: 'info' } }],
  [
    'secrets',
    'shop',
    {
      metadata: { name: 'web-db' },
      type: 'Opaque',
      data: { username: base64('demo-user'), password: base64('demo-password-of-nobody') },
    },
  ],
  [
    'services',
    'shop',
    {
      metadata: { name: 'web' },
      spec: { selector: { app: 'web' }, ports: [{ port: 80, targetPort: 8080, protocol: 'TCP' }] },
    },
  ],
  [
    'deployments',
    'shop',
    {
      metadata: { name: 'web', labels: { app: 'web' } },
      spec: {
        replicas: 2,
        selector: { matchLabels: { app: 'web' } },
        template: {
          metadata: { labels: { app: 'web' } },
          spec: { containers: [{ name: 'main', image: 'demo/web:1' }] },
        },
      },
    },
  ],
];

export function seed(store: Store): void {
  for (const [resource, namespace, body] of objects) {
    const kind = kinds.find((known) => known.resource === resource);
    if (kind === undefined) throw new Error(`the seed has no kind for ${resource}`);
    reconcile(store, kind, store.put(kind, admit(kind, store.prepare(kind, namespace, body))), 'stored');
  }
}
