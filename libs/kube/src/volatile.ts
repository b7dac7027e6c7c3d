import type { ResourceAttributes } from '@sluice/model';

/** Keys and indexes that lead to a value. */
export type Path = readonly (string | number)[];

/** A value that is another one with each try of a command, and means nothing. */
export interface Volatile {
  /** Where it stands in the object; `*` is any element. */
  readonly path: readonly string[];
  /** What the JSON text of the value is then. The first group, if there is one, stays. */
  readonly value: RegExp;
  /** Of which calls; default: of all on resources. */
  readonly when?: (call: ResourceAttributes) => boolean;
  readonly why: string;
}

const restartedAt = 'kubectl.kubernetes.io/restartedAt';
const time = /^"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)"$/;

/** The letters and digits of `k8s.io/apimachinery/pkg/util/rand`. */
const random = '[bcdfghjklmnpqrstvwxz2456789]{5}';

const isDebug = ({ verb, apiGroup, resource, subresource }: ResourceAttributes): boolean =>
  (verb === 'patch' || verb === 'update') &&
  apiGroup === '' &&
  resource === 'pods' &&
  subresource === 'ephemeralcontainers';

const debugContainer = {
  value: new RegExp(`^("debugger-)${random}"$`),
  when: isDebug,
  why: 'made up by kubectl debug',
};

/** API groups of the server itself whose objects keep their status on a PUT of the whole. */
const ignoresStatus: ReadonlySet<string> = new Set(['', 'apps', 'autoscaling', 'batch', 'networking.k8s.io', 'policy']);

/**
 * All that two tries of one command may differ in. What may mean something in some object is not here, and a value that
 * is not as it always is then (empty, say, which takes away) stays.
 */
export const volatiles: readonly Volatile[] = [
  {
    path: ['metadata', 'resourceVersion'],
    value: /^"0*[1-9]\d*"$/,
    why: 'the version that was read; the server compares it',
  },
  { path: ['metadata', 'uid'], value: /^"[\w-]{1,64}"$/, why: 'given by the server, which compares it' },
  { path: ['metadata', 'generation'], value: /^\d+$/, why: 'counted by the server' },
  { path: ['metadata', 'creationTimestamp'], value: time, why: 'given by the server' },
  { path: ['metadata', 'managedFields'], value: /^\[\{"/, why: 'kept by the server: who set which field, and when' },
  { path: ['metadata', 'selfLink'], value: /^"\//, why: 'given by old servers' },
  { path: ['metadata', 'annotations', restartedAt], value: time, why: 'the time of a kubectl rollout restart' },
  {
    path: ['spec', 'template', 'metadata', 'annotations', restartedAt],
    value: time,
    why: 'the time of a kubectl rollout restart',
  },
  {
    path: ['spec', 'jobTemplate', 'spec', 'template', 'metadata', 'annotations', restartedAt],
    value: time,
    why: 'the time of a restart',
  },
  {
    path: ['status'],
    value: /^\{"/,
    // Of custom resources it may be a field like any other, and a new node keeps what it says.
    when: ({ verb, apiGroup, subresource }) => verb === 'update' && subresource === '' && ignoresStatus.has(apiGroup),
    why: 'sent back as it was read; the server keeps its own',
  },
  {
    path: ['metadata', 'name'],
    value: new RegExp(`^("node-debugger-.+-)${random}"$`),
    when: ({ verb, apiGroup, resource, subresource }) =>
      verb === 'create' && apiGroup === '' && resource === 'pods' && subresource === '',
    why: 'made up by kubectl debug node/…',
  },
  { path: ['spec', 'ephemeralContainers', '*', 'name'], ...debugContainer },
  { path: ['spec', '$setElementOrder/ephemeralContainers', '*', 'name'], ...debugContainer },
];

/** The keys of all that is volatile: nothing under another key is. */
export const volatileKeys: ReadonlySet<string | number | undefined> = new Set(volatiles.map(({ path }) => path.at(-1)));

/** The rule for a value at a place in the object, if it is volatile. */
export function volatileAt(place: Path, call: ResourceAttributes): Volatile | undefined {
  return volatiles.find(({ path, when }) => isAt(path, place) && (when === undefined || when(call)));
}

function isAt(pattern: readonly string[], place: Path): boolean {
  return (
    pattern.length === place.length &&
    pattern.every((key, index) => key === place[index] || (key === '*' && typeof place[index] === 'number'))
  );
}
