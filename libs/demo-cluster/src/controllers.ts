import { type Kind, kindOf, kinds } from './kinds.ts';
import { at, type Json, listAt, type Stored, textAt } from './objects.ts';
import type { Store } from './store.ts';

const namespaces = kindOf('namespaces');
const serviceaccounts = kindOf('serviceaccounts');
const pods = kindOf('pods');
const deployments = kindOf('deployments');
const replicasets = kindOf('replicasets');

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
    case 'Event': {
      const seen = object.metadata.creationTimestamp;
      return { firstTimestamp: seen, lastTimestamp: seen, count: 1, ...object };
    }
    case 'Pod':
      return runningPod(object);
    case 'Deployment':
      return {
        ...object,
        metadata: { ...object.metadata, generation: object.metadata.generation ?? 1 },
        spec: { replicas: 1, ...(object['spec'] as Json | undefined) },
      };
    default:
      return object;
  }
}

/** Stores an object and does what follows: a deployment gets its pods, a namespace its service account. */
export function keep(store: Store, kind: Kind, object: Stored): Stored {
  const stored = store.put(kind, object);
  const { name, namespace = '' } = stored.metadata;
  if (kind === deployments) rollOut(store, stored);
  if (kind === namespaces && store.find(serviceaccounts, name, 'default') === undefined)
    store.put(serviceaccounts, store.prepare(serviceaccounts, name, { metadata: { name: 'default' } }));
  return store.find(kind, namespace, name) ?? stored;
}

/** Removes an object and what belongs to it. What a deployment has lost by it, it gets again. */
export function discard(store: Store, kind: Kind, object: Stored): void {
  removeWithOwned(store, kind, object);
  for (const deployment of store.list(deployments, object.metadata.namespace ?? '')) rollOut(store, deployment);
}

function removeWithOwned(store: Store, kind: Kind, object: Stored): void {
  store.remove(kind, object);
  if (kind === namespaces) {
    for (const each of kinds.filter(({ namespaced }) => namespaced))
      for (const inside of store.list(each, object.metadata.name)) store.remove(each, inside);
  }
  for (const kindOfOwned of [replicasets, pods]) {
    for (const owned of ownedBy(store, kindOfOwned, object)) removeWithOwned(store, kindOfOwned, owned);
  }
}

function ownedBy(store: Store, kind: Kind, { metadata: { namespace = '', uid } }: Stored): Stored[] {
  return store
    .list(kind, namespace)
    .filter(({ metadata }) => metadata.ownerReferences?.some((owner) => owner.uid === uid));
}

/** One replicaset a deployment, its pods running at once. A changed template replaces them. */
function rollOut(store: Store, deployment: Stored): void {
  const namespace = deployment.metadata.namespace ?? '';
  const template = (at(deployment, 'spec', 'template') ?? {}) as Json;
  const replicas = Number(textAt(deployment, 'spec', 'replicas'));
  const hash = hashOf(JSON.stringify(template));
  const name = `${deployment.metadata.name}-${hash}`;
  for (const old of ownedBy(store, replicasets, deployment))
    if (old.metadata.name !== name) removeWithOwned(store, replicasets, old);

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

  const running = ownedBy(store, pods, set);
  for (const surplus of running.slice(replicas)) store.remove(pods, surplus);
  for (let index = running.length; index < replicas; index++) {
    const pod = {
      metadata: { ...metadata, generateName: `${name}-`, ownerReferences: owner('ReplicaSet', set) },
      spec: template['spec'],
    };
    store.put(pods, runningPod(store.prepare(pods, namespace, pod)));
  }

  const condition = {
    lastUpdateTime: set.metadata.creationTimestamp,
    lastTransitionTime: set.metadata.creationTimestamp,
  };
  store.put(deployments, {
    ...deployment,
    status: {
      observedGeneration: deployment.metadata.generation,
      replicas,
      updatedReplicas: replicas,
      readyReplicas: replicas,
      availableReplicas: replicas,
      conditions: [
        { type: 'Available', status: 'True', reason: 'MinimumReplicasAvailable', ...condition },
        { type: 'Progressing', status: 'True', reason: 'NewReplicaSetAvailable', ...condition },
      ],
    },
  });
}

function runningPod(pod: Stored): Stored {
  const running = (container: Json): Json => ({
    name: container['name'],
    image: container['image'],
    ready: true,
    restartCount: 0,
    state: { running: { startedAt: pod.metadata.creationTimestamp } },
  });
  const containers = (listAt(pod, 'spec', 'containers') as Json[]).map(running);
  const added = (listAt(pod, 'spec', 'ephemeralContainers') as Json[]).map(running);
  return {
    ...pod,
    spec: { nodeName: 'demo-node', restartPolicy: 'Always', securityContext: {}, ...(pod['spec'] as Json | undefined) },
    status: {
      phase: 'Running',
      hostIP: '10.0.0.1',
      podIP: '10.0.0.7',
      startTime: pod.metadata.creationTimestamp,
      conditions: [{ type: 'Ready', status: 'True' }],
      containerStatuses: containers,
      ...(added.length === 0 ? {} : { ephemeralContainerStatuses: added }),
    },
  };
}

/** As short as Kubernetes' own template hashes. */
function hashOf(text: string): string {
  let hash = 5381;
  for (const character of text) hash = (hash * 33 + character.charCodeAt(0)) >>> 0;
  return hash.toString(36);
}
