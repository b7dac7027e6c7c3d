import { parse } from 'yaml';
import { ApiError, isObject, type Json } from './objects.ts';

/** Lists whose elements strategic merge patches match by a key; other lists are replaced. */
const mergeKeys: Readonly<Record<string, string>> = {
  containers: 'name',
  initContainers: 'name',
  env: 'name',
  volumes: 'name',
  volumeMounts: 'mountPath',
  ports: 'containerPort',
  conditions: 'type',
  imagePullSecrets: 'name',
  ownerReferences: 'uid',
};

/** Applies a request's patch to an object. Throws `ApiError`. */
export function applyPatch(object: Json, contentType: string, body: string): Json {
  switch (contentType) {
    case 'application/json-patch+json':
      return jsonPatch(object, JSON.parse(body) as JsonPatchOperation[]);
    case 'application/merge-patch+json':
      return merge(object, JSON.parse(body), 'replace') as Json;
    case 'application/strategic-merge-patch+json':
      return merge(object, JSON.parse(body), 'by-key') as Json;
    case 'application/apply-patch+yaml':
      return merge(object, parse(body), 'by-key') as Json;
    default:
      throw new ApiError(
        415,
        'UnsupportedMediaType',
        `the body of the request was in an unknown format: ${contentType}`,
      );
  }
}

/** RFC 7386, and with `by-key` what Kubernetes adds: lists of named elements are merged element by element. */
export function merge(target: unknown, patch: unknown, lists: 'replace' | 'by-key'): unknown {
  if (!isObject(patch)) return patch;
  const result: Json = isObject(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (key.startsWith('$')) continue;
    const mergeKey = mergeKeys[key];
    if (value === null) delete result[key];
    else if (lists === 'by-key' && mergeKey !== undefined && Array.isArray(value) && Array.isArray(result[key])) {
      result[key] = mergeList(result[key] as unknown[], value, mergeKey);
    } else result[key] = merge(result[key], value, lists);
  }
  return result;
}

function mergeList(target: readonly unknown[], patch: readonly unknown[], mergeKey: string): unknown[] {
  const result = [...target];
  for (const element of patch) {
    const id = isObject(element) ? element[mergeKey] : undefined;
    const index = result.findIndex((known) => isObject(known) && known[mergeKey] === id);
    if (isObject(element) && element['$patch'] === 'delete') {
      if (index !== -1) result.splice(index, 1);
    } else if (index === -1) result.push(merge(undefined, element, 'by-key'));
    else result[index] = merge(result[index], element, 'by-key');
  }
  return result;
}

interface JsonPatchOperation {
  readonly op: string;
  readonly path: string;
  readonly value?: unknown;
}

/** RFC 6902: add, replace, remove, test. */
function jsonPatch(object: Json, operations: readonly JsonPatchOperation[]): Json {
  const result = structuredClone(object);
  for (const { op, path, value } of operations) {
    const keys = path
      .split('/')
      .slice(1)
      .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'));
    const last = keys.pop() ?? '';
    let parent: unknown = result;
    for (const key of keys) parent = (parent as Json | undefined)?.[key];
    if (typeof parent !== 'object' || parent === null) throw invalid(path);
    const container = parent as Json;
    if (op !== 'add' && !(last in container)) throw invalid(path);
    if (op === 'test') {
      if (JSON.stringify(container[last]) !== JSON.stringify(value)) throw invalid(path);
    } else if (Array.isArray(parent)) {
      const index = last === '-' ? parent.length : Number(last);
      parent.splice(index, op === 'add' ? 0 : 1, ...(op === 'remove' ? [] : [value]));
    } else if (op === 'remove') delete container[last];
    else container[last] = value;
  }
  return result;
}

function invalid(path: string): ApiError {
  return new ApiError(422, 'Invalid', `the server rejected our request due to an error in our request: ${path}`);
}
