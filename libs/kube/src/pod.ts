/**
 * Names of the Secrets that a pod refers to: environment, volumes, image pull. Its service account's token, which is
 * projected, is none. Sorted, each once. What is no pod has none.
 */
export function podSecrets(pod: unknown): string[] {
  const found = new Set<string>();
  const add = (name: unknown): void => {
    if (typeof name === 'string' && name !== '') found.add(name);
  };
  const spec = at(pod, 'spec');
  for (const list of ['containers', 'initContainers', 'ephemeralContainers']) {
    for (const container of items(at(spec, list))) {
      for (const from of items(at(container, 'envFrom'))) add(at(at(from, 'secretRef'), 'name'));
      for (const variable of items(at(container, 'env')))
        add(at(at(at(variable, 'valueFrom'), 'secretKeyRef'), 'name'));
    }
  }
  for (const volume of items(at(spec, 'volumes'))) {
    add(at(at(volume, 'secret'), 'secretName'));
    for (const source of items(at(at(volume, 'projected'), 'sources'))) add(at(at(source, 'secret'), 'name'));
    for (const driver of [
      'azureFile',
      'iscsi',
      'rbd',
      'cephfs',
      'cinder',
      'flexVolume',
      'scaleIO',
      'storageos',
      'csi',
    ]) {
      const held = at(volume, driver);
      add(at(held, 'secretName'));
      for (const key of ['secretRef', 'nodePublishSecretRef']) add(at(at(held, key), 'name'));
    }
  }
  for (const pull of items(at(spec, 'imagePullSecrets'))) add(at(pull, 'name'));
  return [...found].sort();
}

function at(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, key)
    ? (value as Readonly<Record<string, unknown>>)[key]
    : undefined;
}

function items(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
