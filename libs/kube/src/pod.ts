import { JsonCursor, openBrace } from './json.ts';

/** Where a pod finds the token of its own service account. */
const ownTokenPath = '/var/run/secrets/kubernetes.io/serviceaccount';
/** What Kubernetes put behind `NAME-token-` for the Secret with that token, up to 1.23: letters and digits that spell no words. */
const tokenSuffix = /^[bcdfghjklmnpqrstvwxz2456789]{5}$/;

/** Volumes whose driver reads a Secret named by a `secretRef`, in the pod's own namespace. */
const driversWithSecret = ['cephfs', 'cinder', 'flexVolume', 'iscsi', 'rbd', 'scaleIO', 'storageos'];

/**
 * Names of the Secrets that a pod refers to, each once and in order: environment, volumes, image pull. A volume with the
 * token of the service account, by its name and its place, that is mounted nowhere else does not count. What is no pod refers
 * to none. `added`: a change that adds ephemeral containers to it.
 */
export function podSecrets(pod: unknown, added?: unknown): string[] {
  const spec = at(pod, 'spec');
  const containers = ['containers', 'initContainers', 'ephemeralContainers']
    .flatMap((key) => list(at(spec, key)))
    .concat(list(at(added, 'spec', 'ephemeralContainers')));
  const named = [
    ...containers.flatMap((container) => [
      ...list(at(container, 'env')).map((variable) => at(variable, 'valueFrom', 'secretKeyRef', 'name')),
      ...list(at(container, 'envFrom')).map((source) => at(source, 'secretRef', 'name')),
    ]),
    ...list(at(spec, 'volumes'))
      .filter((volume) => !isOwnToken(volume, spec, containers))
      .flatMap(volumeSecrets),
    ...list(at(spec, 'imagePullSecrets')).map((reference) => at(reference, 'name')),
  ];
  return [...new Set(named.filter((name): name is string => typeof name === 'string' && name !== ''))].toSorted();
}

function volumeSecrets(volume: unknown): unknown[] {
  return [
    at(volume, 'secret', 'secretName'),
    at(volume, 'azureFile', 'secretName'),
    at(volume, 'csi', 'nodePublishSecretRef', 'name'),
    ...driversWithSecret.map((driver) => at(volume, driver, 'secretRef', 'name')),
    ...list(at(volume, 'projected', 'sources')).map((source) => at(source, 'secret', 'name')),
  ];
}

/** The place alone says nothing: whoever makes a pod could hide any Secret there. */
function isOwnToken(volume: unknown, spec: unknown, containers: readonly unknown[]): boolean {
  const account = at(spec, 'serviceAccountName') ?? 'default';
  const secret = at(volume, 'secret', 'secretName');
  if (typeof account !== 'string' || typeof secret !== 'string') return false;
  const prefix = `${account}-token-`;
  if (!secret.startsWith(prefix)) return false;
  if (!tokenSuffix.test(secret.slice(prefix.length))) return false;
  const name = at(volume, 'name');
  const mounts = containers.flatMap((container) => list(at(container, 'volumeMounts')));
  const paths = mounts.filter((mount) => at(mount, 'name') === name).map((mount) => at(mount, 'mountPath'));
  return paths.length > 0 && paths.every((path) => path === ownTokenPath);
}

function at(value: unknown, ...keys: readonly string[]): unknown {
  return keys.reduce<unknown>(
    (found, key) =>
      typeof found === 'object' && found !== null && Object.hasOwn(found, key)
        ? (found as Record<string, unknown>)[key]
        : undefined,
    value,
  );
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/**
 * A pod as JSON without `status` and `metadata.managedFields`; every other value stands byte for byte. Throws `JsonError`
 * where it is no JSON object.
 */
export function podWithoutStatus(json: Buffer): Buffer {
  const cursor = new JsonCursor(json);
  const pod = without(cursor, 'status', (key) => (key === 'metadata' ? 'managedFields' : undefined));
  cursor.end();
  return pod;
}

/** Takes an object and leaves a member out; of members that `inner` names one for, that one as well. */
function without(cursor: JsonCursor, dropped: string, inner: (key: string) => string | undefined): Buffer {
  const kept: Buffer[] = [];
  cursor.object((key, span) => {
    const innerDropped = inner(key);
    if (innerDropped !== undefined && cursor.peek() === openBrace) {
      const name = cursor.bytes.subarray(span.start - 1, span.end + 1);
      kept.push(Buffer.concat([name, Buffer.from(':'), without(cursor, innerDropped, () => undefined)]));
      return;
    }
    cursor.skip();
    if (key !== dropped) kept.push(cursor.bytes.subarray(span.start - 1, cursor.at));
  });
  const members = kept.flatMap((member, index) => (index === 0 ? [member] : [Buffer.from(','), member]));
  return Buffer.concat([Buffer.from('{'), ...members, Buffer.from('}')]);
}
