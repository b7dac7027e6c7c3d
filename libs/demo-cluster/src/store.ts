import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { apiVersionOf, type Kind, qualifiedName } from './kinds.ts';
import { ApiError, type Json, type Stored } from './objects.ts';

/** A change, as watches report it. */
export interface Change {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly object: Stored;
  readonly resourceVersion: number;
}

/** Changes remembered for watches that begin in the past. */
const remembered = 5_000;

const namePattern = /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/;

/** Every object, with versions and watches. */
export class Store {
  readonly #objects = new Map<Kind, Map<string, Stored>>();
  readonly #changes: { readonly kind: Kind; readonly change: Change }[] = [];
  readonly #watchers = new Set<{ readonly kind: Kind; readonly notify: (change: Change) => void }>();
  #version = 100;

  get version(): number {
    return this.#version;
  }

  /** Objects of a kind, in the order of namespace and name. Empty namespace: all of them. */
  list(kind: Kind, namespace: string): Stored[] {
    const all = [...(this.#objects.get(kind) ?? new Map<string, Stored>())];
    const chosen = namespace === '' ? all : all.filter(([key]) => key.startsWith(`${namespace}/`));
    return chosen.sort(([a], [b]) => (a < b ? -1 : 1)).map(([, object]) => object);
  }

  find(kind: Kind, namespace: string, name: string): Stored | undefined {
    return this.#objects.get(kind)?.get(`${namespace}/${name}`);
  }

  /** Throws `ApiError` 404. */
  get(kind: Kind, namespace: string, name: string): Stored {
    const found = this.find(kind, namespace, name);
    if (found === undefined) throw notFound(kind, name);
    return found;
  }

  /** Gives an object what the server gives it. Throws `ApiError`: 409 when it is there, 422 without a valid name. */
  prepare(kind: Kind, namespace: string, body: Json): Stored {
    const metadata = { ...((body['metadata'] ?? {}) as Json) };
    const generateName = metadata['generateName'];
    const name =
      metadata['name'] ?? (typeof generateName === 'string' ? `${generateName}${randomUUID().slice(0, 5)}` : '');
    if (typeof name !== 'string' || !namePattern.test(name)) {
      const message = `Invalid value: ${JSON.stringify(name)}`;
      const causes = [{ reason: 'FieldValueInvalid', field: 'metadata.name', message }];
      const details = { name, kind: kind.kind, causes };
      throw new ApiError(422, 'Invalid', `${kind.kind} is invalid: metadata.name: ${message}`, details);
    }
    if (this.find(kind, namespace, name) !== undefined) {
      throw new ApiError(409, 'AlreadyExists', `${kind.resource} "${name}" already exists`, {
        name,
        kind: kind.resource,
      });
    }
    return {
      ...body,
      apiVersion: apiVersionOf(kind),
      kind: kind.kind,
      metadata: {
        ...metadata,
        name,
        ...(kind.namespaced ? { namespace } : {}),
        uid: randomUUID(),
        resourceVersion: '0',
        creationTimestamp: `${new Date().toISOString().slice(0, 19)}Z`,
      },
    };
  }

  /** Stores an object under the next version. What is there already stays as it is, and is returned. */
  put(kind: Kind, object: Stored): Stored {
    const key = `${object.metadata.namespace ?? ''}/${object.metadata.name}`;
    let objects = this.#objects.get(kind);
    if (objects === undefined) this.#objects.set(kind, (objects = new Map()));
    const current = objects.get(key);
    if (
      current !== undefined &&
      isDeepStrictEqual(atVersion(object, Number(current.metadata.resourceVersion)), current)
    )
      return current;
    const type = current === undefined ? 'ADDED' : 'MODIFIED';
    const stored = atVersion(object, ++this.#version);
    objects.set(key, stored);
    this.#tell(kind, { type, object: stored, resourceVersion: this.#version });
    return stored;
  }

  remove(kind: Kind, object: Stored): void {
    this.#objects.get(kind)?.delete(`${object.metadata.namespace ?? ''}/${object.metadata.name}`);
    const last = atVersion(object, ++this.#version);
    this.#tell(kind, { type: 'DELETED', object: last, resourceVersion: this.#version });
  }

  /** Whether changes after a version are still remembered. */
  remembers(version: number): boolean {
    return this.#changes.length < remembered || version >= (this.#changes[0]?.change.resourceVersion ?? 0);
  }

  /** Calls `notify` for every change after a version, past ones first. Returns how to stop. */
  watch(kind: Kind, after: number, notify: (change: Change) => void): () => void {
    for (const past of this.#changes) {
      if (past.kind === kind && past.change.resourceVersion > after) notify(past.change);
    }
    const watcher = { kind, notify };
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  #tell(kind: Kind, change: Change): void {
    this.#changes.push({ kind, change });
    if (this.#changes.length > remembered) this.#changes.shift();
    for (const watcher of this.#watchers) if (watcher.kind === kind) watcher.notify(change);
  }
}

function atVersion(object: Stored, version: number): Stored {
  return { ...object, metadata: { ...object.metadata, resourceVersion: String(version) } };
}

export function notFound(kind: Kind, name: string): ApiError {
  return new ApiError(404, 'NotFound', `${qualifiedName(kind)} "${name}" not found`, {
    name,
    group: kind.group,
    kind: kind.resource,
  });
}
