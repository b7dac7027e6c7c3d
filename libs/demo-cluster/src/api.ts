import { isDeepStrictEqual } from 'node:util';
import type { StreamRequest } from '@sluice/model';
import { parse } from 'yaml';
import { refuseGone, refuseOther, refuseUnmet } from './conflicts.ts';
import { admit, discard, keep } from './controllers.ts';
import { discover, openapiV2 } from './discovery.ts';
import { apiVersionOf, type Kind, kindOf, kinds, type User } from './kinds.ts';
import type { Kubelet } from './kubelet.ts';
import { ApiError, at, isObject, type Json, listAt, type Stored, textAt } from './objects.ts';
import { applyPatch } from './patch.ts';
import { fieldSelector, labelSelector } from './selectors.ts';
import { type Change, notFound, type Store } from './store.ts';
import { metadataOf, tableOf } from './table.ts';

/** A request, as far as the API cares. */
export interface ApiRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly accept: string;
  readonly contentType: string;
  readonly body: string;
  readonly user: User;
}

/** `stream`: `start` writes pieces until it is stopped or calls `end`. */
export type ApiAnswer =
  | { readonly kind: 'json'; readonly code: number; readonly body: Json }
  | { readonly kind: 'bytes'; readonly contentType: string; readonly body: Buffer }
  | {
      readonly kind: 'stream';
      readonly contentType: string;
      readonly start: (write: (text: string) => void, end: () => void) => () => void;
    };

/** Subresources that are the object itself; rights, which would tell them apart, are not simulated. */
const sameObject = ['', 'status', 'ephemeralcontainers'];

/** Answers one request. Throws `ApiError`. */
export function answer(kubelet: Kubelet, request: ApiRequest): ApiAnswer {
  const { path, query } = request;
  const { store } = kubelet;
  const found = locate(path);
  if (found === undefined) {
    if (path === '/openapi/v2') {
      return {
        kind: 'bytes',
        contentType: 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf',
        body: openapiV2(),
      };
    }
    const discovered = discover(path.replace(/(.)\/$/, '$1'));
    if (typeof discovered === 'string') return text(discovered);
    if (discovered !== undefined) return json(200, discovered);
    throw unknownResource();
  }
  const { kind, namespace, name, subresource } = found;
  if (kind.review !== undefined) {
    if (request.method !== 'POST') throw methodNotAllowed();
    // Rights are not simulated: whoever Sluice lets through may do everything here. The question need not be read.
    const status = kind.review(request.user);
    return json(201, { kind: kind.kind, apiVersion: apiVersionOf(kind), metadata: {}, spec: {}, status });
  }
  if (kind.resource === 'pods' && subresource === 'log') return kubelet.log(namespace, name, query);
  if (subresource === 'proxy') return proxy(kubelet, found);
  if (kind.resource === 'pods' && isStream(subresource)) {
    store.get(kind, namespace, name);
    throw new ApiError(400, 'BadRequest', 'Upgrade request required');
  }
  if (subresource === 'scale') return scale(store, found, request);
  if (subresource === 'eviction') return evict(store, found, request);
  if (!sameObject.includes(subresource)) throw unknownResource();
  switch (request.method) {
    case 'GET':
    case 'HEAD':
      if (name !== '') {
        const object = store.get(kind, namespace, name);
        return json(200, shownAs(kind, object, String(store.version), query, request.accept));
      }
      return query.get('watch') === 'true' || query.get('watch') === '1'
        ? watch(store, found, request)
        : list(store, found, request);
    case 'POST':
      if (name !== '') throw methodNotAllowed();
      return json(201, save(store, found, query, prepared(store, found, readBody(request))));
    case 'PUT': {
      const current = store.get(kind, namespace, name);
      return json(200, save(store, found, query, changed(kind, current, readBody(request), request)));
    }
    case 'PATCH':
      return patch(store, found, request);
    case 'DELETE':
      return name === '' ? removeCollection(store, found, request) : removeOne(store, found, request);
    default:
      throw methodNotAllowed();
  }
}

export interface Located {
  readonly kind: Kind;
  readonly namespace: string;
  readonly name: string;
  readonly subresource: string;
  /** What follows the subresource. */
  readonly rest: string;
}

/** What a path is about; `undefined` when it is about no object. */
export function locate(path: string): Located | undefined {
  const [prefix, ...parts] = path
    .split('/')
    .filter((part) => part !== '')
    .map(decodeURIComponent);
  const group = prefix === 'apis' ? parts.shift() : prefix === 'api' ? '' : undefined;
  if (group === undefined) return undefined;
  const version = parts.shift();
  const namespaced = parts[0] === 'namespaces' && parts.length > 2 && parts[2] !== 'status' && parts[2] !== 'finalize';
  const namespace = namespaced ? (parts[1] ?? '') : '';
  const [resource, name = '', subresource = '', ...rest] = namespaced ? parts.slice(2) : parts;
  const kind = kinds.find((known) => known.group === group && known.version === version && known.resource === resource);
  return kind === undefined ? undefined : { kind, namespace, name, subresource, rest: rest.join('/') };
}

function selected(store: Store, { kind, namespace }: Located, query: URLSearchParams): Stored[] {
  const byLabel = labelSelector(query.get('labelSelector') ?? '');
  const byField = fieldSelector(query.get('fieldSelector') ?? '');
  return store.list(kind, namespace).filter((object) => byLabel(object) && byField(object));
}

function list(store: Store, found: Located, { query, accept }: ApiRequest): ApiAnswer {
  const { kind } = found;
  const items = selected(store, found, query);
  const resourceVersion = String(store.version);
  const form = formOf(accept);
  if (form === 'Table') return json(200, tableOf(kind, items, resourceVersion, query.get('includeObject') ?? ''));
  if (form === 'PartialObjectMetadataList') {
    const apiVersion = 'meta.k8s.io/v1';
    return json(200, { kind: form, apiVersion, metadata: { resourceVersion }, items: items.map(metadataOf) });
  }
  // Items of a typed list carry neither kind nor apiVersion.
  const bare = items.map(({ kind: _kind, apiVersion: _apiVersion, ...item }) => item);
  return json(200, {
    kind: `${kind.kind}List`,
    apiVersion: apiVersionOf(kind),
    metadata: { resourceVersion },
    items: bare,
  });
}

function watch(store: Store, { kind, namespace }: Located, { query, accept }: ApiRequest): ApiAnswer {
  const byLabel = labelSelector(query.get('labelSelector') ?? '');
  const byField = fieldSelector(query.get('fieldSelector') ?? '');
  // Without a version to go on from, and as a watch-list (KEP-3157), it begins with what is there.
  const isList = query.get('sendInitialEvents') === 'true';
  const after = isList ? 0 : Number(query.get('resourceVersion') ?? 0);
  if (after > 0 && !store.remembers(after)) throw new ApiError(410, 'Expired', `too old resource version: ${after}`);
  const timeoutMs = Number(query.get('timeoutSeconds') ?? 0) * 1000;
  return {
    kind: 'stream',
    contentType: 'application/json',
    start(write, end) {
      const report = ({ type, object }: Pick<Change, 'type' | 'object'>): void => {
        if (namespace !== '' && object.metadata.namespace !== namespace) return;
        if (!byLabel(object) || !byField(object)) return;
        const shown = shownAs(kind, object, object.metadata.resourceVersion, query, accept);
        write(`${JSON.stringify({ type, object: shown })}\n`);
      };
      if (after === 0) for (const object of store.list(kind, namespace)) report({ type: 'ADDED', object });
      if (isList) write(`${JSON.stringify(initialEventsEnd(kind, store.version))}\n`);
      const stop = store.watch(kind, after === 0 ? store.version : after, report);
      const timer = timeoutMs > 0 ? setTimeout(end, timeoutMs) : undefined;
      return () => {
        stop();
        clearTimeout(timer);
      };
    },
  };
}

function initialEventsEnd(kind: Kind, version: number): Json {
  const metadata = { resourceVersion: String(version), annotations: { 'k8s.io/initial-events-end': 'true' } };
  return { type: 'BOOKMARK', object: { kind: kind.kind, apiVersion: apiVersionOf(kind), metadata } };
}

/** One object in the form that was asked for. */
function shownAs(kind: Kind, object: Stored, version: string, query: URLSearchParams, accept: string): Json {
  switch (formOf(accept)) {
    case 'Table':
      return tableOf(kind, [object], version, query.get('includeObject') ?? '');
    case 'PartialObjectMetadata':
      return metadataOf(object);
    default:
      return object;
  }
}

function patch(store: Store, found: Located, request: ApiRequest): ApiAnswer {
  const { kind, namespace, name } = found;
  const type = request.contentType.split(';', 1)[0] ?? '';
  const current = store.find(kind, namespace, name);
  if (current === undefined) {
    if (type !== 'application/apply-patch+yaml') throw notFound(kind, name);
    const wanted = readBody(request);
    refuseGone(kind, name, wanted);
    return json(201, save(store, found, request.query, prepared(store, found, wanted)));
  }
  const patched = applyPatch(current, type, request.body);
  return json(200, save(store, found, request.query, changed(kind, current, patched, request)));
}

/** A new object, as it is to be stored. Its namespace must be there. */
function prepared(store: Store, { kind, namespace }: Located, body: Json): Stored {
  if (kind.namespaced) store.get(kindOf('namespaces'), '', namespace);
  return admit(kind, store.prepare(kind, namespace, body));
}

/** A changed object keeps what only the server gives. Throws `ApiError` when it says that it is another one. */
function changed(kind: Kind, current: Stored, wanted: Json, { method }: ApiRequest): Stored {
  refuseOther(kind, current, wanted, method);
  const { uid, creationTimestamp, name, namespace, resourceVersion, generation } = current.metadata;
  const metadata = {
    ...(wanted['metadata'] as Json),
    uid,
    creationTimestamp,
    name,
    resourceVersion,
    ...(namespace === undefined ? {} : { namespace }),
    ...(generation === undefined ? {} : { generation }),
  };
  const admitted = admit(kind, { ...wanted, apiVersion: current.apiVersion, kind: current.kind, metadata });
  if (generation === undefined || isDeepStrictEqual(admitted['spec'], current['spec'])) return admitted;
  return { ...admitted, metadata: { ...admitted.metadata, generation: generation + 1 } };
}

/** Stores, or with `dryRun=All` only says what would be stored. */
function save(store: Store, { kind }: Located, query: URLSearchParams, object: Stored): Stored {
  return query.getAll('dryRun').includes('All') ? object : keep(store, kind, object);
}

/** The options of a delete: those of the body, where kubectl says `dryRun`, or without a body those of the query. */
function deleteOptions(request: ApiRequest): Json {
  return request.body === '' ? { dryRun: request.query.getAll('dryRun') } : readBody(request);
}

function isDry(options: unknown): boolean {
  return listAt(options, 'dryRun').includes('All');
}

function removeOne(store: Store, { kind, namespace, name }: Located, request: ApiRequest): ApiAnswer {
  const object = store.get(kind, namespace, name);
  const options = deleteOptions(request);
  refuseUnmet(kind, object, options);
  if (!isDry(options)) discard(store, kind, object);
  const details = { name, group: kind.group, kind: kind.resource, uid: object.metadata.uid };
  return json(200, { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', details });
}

/** Answers with the whole list, as the real server does, dry run or not. */
function removeCollection(store: Store, found: Located, request: ApiRequest): ApiAnswer {
  const items = selected(store, found, request.query);
  if (!isDry(deleteOptions(request))) for (const item of items) discard(store, found.kind, item);
  const { kind } = found;
  return json(200, {
    kind: `${kind.kind}List`,
    apiVersion: apiVersionOf(kind),
    metadata: { resourceVersion: String(store.version) },
    items,
  });
}

/** An eviction is a delete with its options inside; nothing here has a disruption budget. */
function evict(store: Store, { kind, namespace, name }: Located, request: ApiRequest): ApiAnswer {
  if (kind.resource !== 'pods') throw unknownResource();
  if (request.method !== 'POST') throw methodNotAllowed();
  const options = at(readBody(request), 'deleteOptions');
  const object = store.get(kind, namespace, name);
  refuseUnmet(kind, object, options);
  if (!isDry(options) && !request.query.getAll('dryRun').includes('All')) discard(store, kind, object);
  return json(201, { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 });
}

function scale(store: Store, found: Located, request: ApiRequest): ApiAnswer {
  const { kind, namespace, name } = found;
  const current = store.get(kind, namespace, name);
  const scaleOf = (object: Stored): Json => ({
    kind: 'Scale',
    apiVersion: 'autoscaling/v1',
    metadata: { name, namespace, uid: object.metadata.uid, resourceVersion: object.metadata.resourceVersion },
    spec: { replicas: at(object, 'spec', 'replicas') },
    status: { replicas: at(object, 'status', 'replicas') ?? 0 },
  });
  if (request.method === 'GET') return json(200, scaleOf(current));
  const type = request.contentType.split(';', 1)[0] ?? '';
  const wanted = request.method === 'PUT' ? readBody(request) : applyPatch(scaleOf(current), type, request.body);
  // The Scale has the object's version; a uid is looked at in a PUT only.
  const metadata = {
    ...current.metadata,
    uid: request.method === 'PUT' ? textAt(wanted, 'metadata', 'uid') : '',
    resourceVersion: textAt(wanted, 'metadata', 'resourceVersion'),
  };
  const spec = { ...(current['spec'] as Json), replicas: Number(textAt(wanted, 'spec', 'replicas')) };
  const scaled = changed(kind, current, { ...current, metadata, spec }, request);
  return json(200, scaleOf(save(store, found, request.query, scaled)));
}

/** Subresources that are answered with an upgrade. */
export function isStream(subresource: string): subresource is StreamRequest['kind'] {
  return subresource === 'exec' || subresource === 'attach' || subresource === 'portforward';
}

/** What is behind a pod or a node; the method does not matter. */
function proxy(kubelet: Kubelet, { kind, namespace, name, rest }: Located): ApiAnswer {
  if (kind.resource === 'pods') return kubelet.proxy(namespace, name, rest);
  if (kind.resource === 'nodes') return kubelet.nodeProxy(name, rest);
  throw unknownResource();
}

function readBody({ body, contentType }: ApiRequest): Json {
  const isYaml = contentType.includes('yaml');
  if (!isYaml && !contentType.includes('json')) {
    throw new ApiError(415, 'UnsupportedMediaType', `the demo cluster reads JSON and YAML, not ${contentType}`);
  }
  const parsed: unknown = isYaml ? parse(body) : JSON.parse(body);
  if (!isObject(parsed)) throw new ApiError(400, 'BadRequest', 'the body is no object');
  return parsed;
}

/** What is to be served instead of the object or list itself; empty for these. */
function formOf(accept: string): string {
  return /;\s*as=(\w+)/.exec(accept.split(',', 1)[0] ?? '')?.[1] ?? '';
}

function json(code: number, body: Json): ApiAnswer {
  return { kind: 'json', code, body };
}

function text(body: string): ApiAnswer {
  return { kind: 'bytes', contentType: 'text/plain', body: Buffer.from(body) };
}

function unknownResource(): ApiError {
  return new ApiError(404, 'NotFound', 'the server could not find the requested resource');
}

function methodNotAllowed(): ApiError {
  return new ApiError(405, 'MethodNotAllowed', 'the server does not allow this method on the requested resource');
}
