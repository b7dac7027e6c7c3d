import type { Column, Kind } from './kinds.ts';
import type { Json, Stored } from './objects.ts';

/** Objects as a `meta.k8s.io/v1` Table, as `kubectl get` asks for them. */
export function tableOf(kind: Kind, objects: readonly Stored[], resourceVersion: string, include: string): Json {
  const columns: readonly Column[] = [['Name', (object) => object.metadata.name], ...kind.columns, ['Age', age]];
  return {
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata: { resourceVersion },
    columnDefinitions: columns.map(([name, , width]) => ({
      name,
      type: 'string',
      format: name === 'Name' ? 'name' : '',
      description: '',
      priority: width === 'wide' ? 1 : 0,
    })),
    rows: objects.map((object) => ({
      cells: columns.map(([, cell]) => cell(object)),
      object: rowObject(object, include),
    })),
  };
}

/** `includeObject`: `Object`, `None`, or by default the metadata alone. */
function rowObject(object: Stored, include: string): Json | null {
  if (include === 'Object') return object;
  if (include === 'None') return null;
  return metadataOf(object);
}

/** An object's metadata alone. */
export function metadataOf({ metadata }: Stored): Json {
  return { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata };
}

function age(object: Stored): string {
  const seconds = Math.max(0, Math.floor((Date.now() - Date.parse(object.metadata.creationTimestamp)) / 1000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7_200) return `${Math.floor(seconds / 60)}m`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3_600)}h` : `${Math.floor(seconds / 86_400)}d`;
}
