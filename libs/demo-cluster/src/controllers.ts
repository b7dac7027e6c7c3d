import { type Kind, kinds } from './kinds.ts';
import { at, type Json, type Stored, textAt } from './objects.ts';
import type { Store } from './store.ts';

const kindOf = (resource: string): Kind => kinds.find((kind) => kind.resource === resource) as Kind;
const [namespaces, pods, deployments, replicasets] = ['namespaces', 'pods', 'deployments', 'replicasets'].map(
  kindOf,
) as [Kind, Kind, Kind, Kind];

/** What the server makes of an object before it is stored. */
export function admit(kind: Kind, object: Stored): Stored {
  switch (kind.kind) {
    case 'Secret': {
      const { stringData = {}, ...rest } = object as Stored & { stringData?: Record<string, string> };
      const encoded = Object.entries(stringData).map(([key, text]) => [key, Buffer.from(text).toString('base64')]);
      const data = { ...(rest['data'] as Json | undefined), ...Object.fromEntries(encoded) };
      return { ...rest, type: rest['type'] ?? 'Opaque', ...(Object.keys(data).length === 0 ? {} : { data }) };
    }
    case 'Service': {
      const spec = { clusterIP: '10.96.0.10', type: 'ClusterIP', ...(object['spec'] as Json | undefined) };
      return { ...object, spec, status: { loadBalancer: {} } };
    }
    case 'Namespace':
      return { ...object, spec: { finalizers: ['kubernetes'] }, status: { phase: 'Active' } };
    case 'Pod':
      return runningPod(object);
    case 'Deployment':
      return { ...object, spec: { replicas: 1, ...(object['spec'] as Json | undefined) } };
    default:
      return object;
  }
}

/** What follows a change: deployments have pods, and what an owner leaves behind goes with it. */
export function reconcile(store: Store, kind: Kind, object: Stored, change: 'stored' | 'removed'): void {
  if (change === 'removed') {
    for (const owned of [replicasets, pods]) {
      for (const other of store.list(owned, object.metadata.namespace ?? '')) {
        const owners = other.metadata.ownerReferences ?? [];
        if (owners.some(({ uid }) => uid === object.metadata.uid)) removeAll(store, owned, other);
      }
    }
    if (kind === namespaces) {
      for (const each of kinds) {
        if (each.namespaced)
          for (const inside of store.list(each, object.metadata.name)) removeAll(store, each, inside);
      }
    }
  } else if (kind === deployments) rollOut(store, object);
}

/** Removes an object and what belongs to it. */
export function removeAll(store: Store, kind: Kind, object: Stored): void {
  store.remove(kind, object);
  reconcile(store, kind, object, 'removed');
}

/** One replicaset a deployment, its pods running at once. A changed template replaces them. */
function rollOut(store: Store, deployment: Stored): void {
  const namespace = deployment.metadata.namespace ?? '';
  const template = (at(deployment, 'spec', 'template') ?? {}) as Json;
  const replicas = Number(textAt(deployment, 'spec', 'replicas') || 1);
  const hash = hashOf(JSON.stringify(template));
  const name = `${deployment.metadata.name}-${hash}`;
  const owned = (kind: Kind): Stored[] =>
    store
      .list(kind, namespace)
      .filter(({ metadata }) => metadata.ownerReferences?.some(({ uid }) => uid === deployment.metadata.uid));
  for (const old of owned(replicasets)) if (old.metadata.name !== name) removeAll(store, replicasets, old);

  const metadata = { labels: (at(template, 'metadata', 'labels') ?? {}) as Record<string, string> };
  const owner = (kind: string, { metadata: { name: of, uid } }: Stored): Json[] => [
    { apiVersion: 'apps/v1', kind, name: of, uid, controller: true },
  ];
  const existing = store.find(replicasets, namespace, name);
  const base =
    existing ??
    store.prepare(replicasets, namespace, {
      metadata: { ...metadata, name, ownerReferences: owner('Deployment', deployment) },
    });
  const status = { replicas, readyReplicas: replicas, availableReplicas: replicas, fullyLabeledReplicas: replicas };
  const set = store.put(replicasets, {
    ...base,
    spec: { replicas, template, selector: at(deployment, 'spec', 'selector') },
    status,
  });

  const running = store
    .list(pods, namespace)
    .filter((pod) => pod.metadata.ownerReferences?.some(({ uid }) => uid === set.metadata.uid));
  for (const surplus of running.slice(replicas)) removeAll(store, pods, surplus);
  for (let index = running.length; index < replicas; index++) {
    const pod = {
      metadata: { ...metadata, generateName: `${name}-`, ownerReferences: owner('ReplicaSet', set) },
      spec: template['spec'],
    };
    store.put(pods, runningPod(store.prepare(pods, namespace, pod)));
  }

  const generation = (deployment.metadata.generation ?? 0) + 1;
  store.put(deployments, {
    ...deployment,
    metadata: { ...deployment.metadata, generation },
    status: {
      observedGeneration: generation,
      replicas,
      updatedReplicas: replicas,
      readyReplicas: replicas,
      availableReplicas: replicas,
      conditions: [{ type: 'Available', status: 'True', reason: 'MinimumReplicasAvailable' }],
    },
  });
}

function runningPod(pod: Stored): Stored {
  const containers = ((at(pod, 'spec', 'containers') ?? []) as Json[]).map((container) => ({
    name: container['name'],
    image: container['image'],
    ready: true,
    restartCount: 0,
    state: { running: { startedAt: pod.metadata.creationTimestamp } },
  }));
  return {
    ...pod,
    spec: { nodeName: 'demo-node', restartPolicy: 'Always', securityContext: {}, ...(pod['spec'] as Json | undefined) },
    status: {
      phase: 'Running',
      podIP: '10.0.0.7',
      startTime: pod.metadata.creationTimestamp,
      conditions: [{ type: 'Ready', status: 'True' }],
      containerStatuses: containers,
    },
  };
}

/** As short as Kubernetes' own template hashes. */
function hashOf(text: string): string {
  let hash = 5381;
  for (const character of text) hash = (hash * 33 + character.charCodeAt(0)) >>> 0;
  return hash.toString(36);
}
