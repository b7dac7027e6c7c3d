import { isDeepStrictEqual } from 'node:util';
import { parse } from 'yaml';
import { ApiError, isObject, type Json } from './objects.ts';

/** Lists whose elements strategic merge patches match by a key; other lists are replaced. */
const mergeKeys: Readonly<Record<string, readonly string[]>> = {
  containers: ['name'],
  initContainers: ['name'],
  ephemeralContainers: ['name'],
  env: ['name'],
  volumes: ['name'],
  volumeMounts: ['mountPath'],
  // Of a container, and of a Service.
  ports: ['containerPort', 'port'],
  conditions: ['type'],
  imagePullSecrets: ['name'],
  ownerReferences: ['uid'],
  hostAliases: ['ip'],
  topologySpreadConstraints: ['topologyKey'],
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
  const result: Json = isObject(target) && patch['$patch'] !== 'replace' ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (lists === 'by-key' && key.startsWith('$')) direct(result, key, value);
    else if (value === null) delete result[key];
    else if (lists === 'by-key' && Array.isArray(value)) {
      const present = result[key];
      result[key] = mergeList(Array.isArray(present) ? present : [], value, mergeKeys[key] ?? []);
    } else result[key] = merge(result[key], value, lists);
  }
  return result;
}

/** The directives of strategic merge that change an object. `$setElementOrder` does not: order is the server's. */
function direct(result: Json, directive: string, value: unknown): void {
  const [name, field = ''] = directive.split('/', 2);
  const present = result[field];
  if (name === '$retainKeys' && Array.isArray(value)) {
    for (const key of Object.keys(result)) if (!value.includes(key)) delete result[key];
  } else if (name === '$deleteFromPrimitiveList' && Array.isArray(value) && Array.isArray(present)) {
    result[field] = present.filter((element) => !value.includes(element));
  }
}

function mergeList(target: readonly unknown[], patch: readonly unknown[], keys: readonly string[]): unknown[] {
  const key = keys.find((candidate) => patch.every((element) => isObject(element) && candidate in element));
  if (key === undefined) return [...patch];
  const result = [...target];
  for (const element of patch as readonly Json[]) {
    const index = result.findIndex((known) => isObject(known) && known[key] === element[key]);
    if (element['$patch'] === 'delete') {
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
  for (const operation of operations) applyOperation(result, operation);
  return result;
}

function applyOperation(document: Json, { op, path, value }: JsonPatchOperation): void {
  const keys = path
    .split('/')
    .slice(1)
    .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'));
  const last = keys.pop();
  if (last === undefined) throw invalid(path);
  let parent: unknown = document;
  for (const key of keys) parent = own(parent, key);
  if (typeof parent !== 'object' || parent === null) throw invalid(path);
  const present = own(parent, last);
  if (op !== 'add' && present === undefined) throw invalid(path);
  switch (op) {
    case 'test':
      if (!isDeepStrictEqual(present, value)) throw invalid(path);
      return;
    case 'add':
    case 'replace':
      if (!Array.isArray(parent)) (parent as Json)[last] = value;
      else parent.splice(last === '-' ? parent.length : Number(last), op === 'add' ? 0 : 1, value);
      return;
    case 'remove':
      if (Array.isArray(parent)) parent.splice(Number(last), 1);
      else delete (parent as Json)[last];
      return;
    default:
      throw invalid(path);
  }
}

/** A path must not lead out of the document, into prototypes. */
function own(parent: unknown, key: string): unknown {
  return typeof parent === 'object' && parent !== null && Object.hasOwn(parent, key)
    ? (parent as Json)[key]
    : undefined;
}

function invalid(path: string): ApiError {
  return new ApiError(422, 'Invalid', `the server rejected our request due to an error in our request: ${path}`);
}
