import type { Kind } from './kinds.ts';
import type { Json, Stored } from './objects.ts';

/** Objects as a `meta.k8s.io/v1` Table, as `kubectl get` asks for them. */
export function tableOf(kind: Kind, objects: readonly Stored[], resourceVersion: string, include: string): Json {
  const columns = ['Name', ...kind.columns.map(([title]) => title), 'Age'];
  return {
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata: { resourceVersion },
    columnDefinitions: columns.map((name) => ({
      name,
      type: 'string',
      format: name === 'Name' ? 'name' : '',
      description: '',
      priority: 0,
    })),
    rows: objects.map((object) => ({
      cells: [object.metadata.name, ...kind.columns.map(([, cell]) => cell(object)), age(object)],
      object: rowObject(object, include),
    })),
  };
}

/** `includeObject`: `Object`, `None`, or by default the metadata alone. */
function rowObject(object: Stored, include: string): Json | null {
  if (include === 'Object') return object;
  if (include === 'None') return null;
  return { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: object.metadata };
}

function age(object: Stored): string {
  const seconds = Math.max(0, Math.floor((Date.now() - Date.parse(object.metadata.creationTimestamp)) / 1000));
  if (seconds < 120) return `${seconds}s`;
  return seconds < 7200 ? `${Math.floor(seconds / 60)}m` : `${Math.floor(seconds / 3600)}h`;
}
