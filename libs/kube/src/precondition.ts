import type { ResourceAttributes } from '@sluice/model';
import type { HeldCall } from './held-call.ts';
import { JsonCursor, openBrace, openBracket, quote } from './json.ts';
import { edited, type Members, type Rules, withMembers } from './json-members.ts';
import type { Target } from './target.ts';

/** An object in one version. */
export interface ObjectVersion {
  readonly uid: string;
  readonly resourceVersion: string;
}

/**
 * The request body of a call on one existing object, bound to the object as it was: the server answers 409 when it is
 * another one by then (422 where a JSON patch changes the version itself). A uid or an older version in the body stays,
 * and the server refuses the call itself; a newer version does not. Every other byte stays as it was. `null`: such a
 * call cannot be bound. Throws `JsonError` when the body is not JSON though its kind says so.
 */
export function withPrecondition(
  call: HeldCall,
  object: ObjectVersion,
): { readonly body: Buffer; readonly contentType: string } | null {
  const { attributes, method, kind, contentType } = call;
  if (attributes.kind !== 'resource' || attributes.name === '' || attributes.verb !== verbs.get(method)) return null;
  if (kind === 'none') {
    const body = method === 'DELETE' && attributes.subresource === '' ? deleteOptions(call.target, object) : null;
    return body === null ? null : { body, contentType: 'application/json' };
  }
  const known = bodies.find((each) => each.method === method && each.contentType === contentType);
  if (known?.kind !== kind) return null;
  const body = known.bind(call, attributes, object);
  return body === null ? null : { body, contentType };
}

/** What the methods mean; under a legacy prefix in the path, all of them mean something else. */
const verbs: ReadonlyMap<string, string> = new Map([
  ['PUT', 'update'],
  ['PATCH', 'patch'],
  ['DELETE', 'delete'],
  ['POST', 'create'],
]);

interface KnownBody {
  readonly method: string;
  readonly contentType: string;
  readonly kind: HeldCall['kind'];
  readonly bind: (call: HeldCall, attributes: ResourceAttributes, object: ObjectVersion) => Buffer | null;
}

const bodies: readonly KnownBody[] = [
  {
    method: 'PUT',
    contentType: 'application/json',
    kind: 'json',
    bind: ({ body }, { subresource }, object) =>
      withMetadata(body, subresource, subresource === '' ? whole(object) : version(object), wholeObject),
  },
  {
    method: 'PATCH',
    contentType: 'application/apply-patch+yaml',
    kind: 'apply',
    bind: ({ body }, { subresource }, object) =>
      withMetadata(body, subresource, subresource === '' ? whole(object) : version(object), patch),
  },
  {
    method: 'PATCH',
    contentType: 'application/merge-patch+json',
    kind: 'json',
    bind: ({ body }, { subresource }, object) => withMetadata(body, subresource, version(object), patch),
  },
  {
    method: 'PATCH',
    contentType: 'application/strategic-merge-patch+json',
    kind: 'json',
    bind: ({ body }, { subresource }, object) => withMetadata(body, subresource, version(object), strategicPatch),
  },
  {
    method: 'PATCH',
    contentType: 'application/json-patch+json',
    kind: 'json-patch',
    bind: ({ body }, { subresource }, { resourceVersion }) =>
      versioned.has(subresource) ? withOperation(body, resourceVersion) : null,
  },
  {
    method: 'DELETE',
    contentType: 'application/json',
    kind: 'json',
    bind: ({ body }, { subresource }, object) =>
      subresource === '' ? withMembers(body, { preconditions: whole(object) }, options) : null,
  },
  {
    method: 'POST',
    contentType: 'application/json',
    kind: 'json',
    bind: ({ body }, { apiGroup, resource, subresource }, object) =>
      apiGroup === '' && resource === 'pods' && subresource === 'eviction'
        ? withMembers(body, { deleteOptions: { preconditions: whole(object) } }, options)
        : null,
  },
];

/** Subresources whose body has the version of the object itself. Of others nobody knows whether the server looks. */
const versioned: ReadonlySet<string> = new Set([
  '',
  'approval',
  'ephemeralcontainers',
  'finalize',
  'resize',
  'scale',
  'status',
]);

/** No version is given twice, so that it tells objects of one name apart, too. */
function version({ resourceVersion }: ObjectVersion): Members {
  return { resourceVersion };
}

/**
 * With the uid, for a PUT or an apply that would create an object that is gone: there the server passes over the
 * version. No other patch creates, and a subresource neither; and to those another uid is not a conflict but invalid.
 */
function whole({ uid, resourceVersion }: ObjectVersion): Members {
  return { uid, resourceVersion };
}

function withMetadata(body: Buffer, subresource: string, metadata: Members, rules: Rules): Buffer | null {
  return versioned.has(subresource) ? withMembers(body, { metadata }, rules) : null;
}

/** Options that stand in the query are read by the server only when there is no body: they move into it. */
function deleteOptions({ query }: Target, object: ObjectVersion): Buffer | null {
  const moved = new Map<string, unknown>();
  for (const [name] of query) {
    const read = deleteParameters.get(name);
    if (read === undefined || moved.has(name)) continue;
    const value = read(query.filter(([known]) => known === name).map(([, text]) => text));
    if (value === undefined) return null;
    moved.set(name, value);
  }
  const made = {
    kind: 'DeleteOptions',
    apiVersion: 'v1',
    ...Object.fromEntries(moved),
    preconditions: whole(object),
  };
  return Buffer.from(JSON.stringify(made));
}

/** The options of a delete that a query can have. `undefined` for what the server may read in a way of its own. */
const deleteParameters: ReadonlyMap<string, (values: readonly string[]) => unknown> = new Map([
  ['dryRun', (values: readonly string[]): unknown => values],
  ['gracePeriodSeconds', ([value = '']) => (/^-?\d{1,15}$/.test(value) ? Number(value) : undefined)],
  ['orphanDependents', ([value = '']) => booleans.get(value)],
  ['propagationPolicy', ([value]) => value],
  ['ignoreStoreReadErrorWithClusterBreakingPotential', ([value = '']) => booleans.get(value)],
]);

const booleans: ReadonlyMap<string, boolean> = new Map([
  ['true', true],
  ['false', false],
]);

/** The server reads a version as a number, and 0 as none. */
const noVersion = /^0*$/;

const wholeObject: Rules = {
  givesWay: (name, present, value) => {
    if (present === null || name !== 'resourceVersion') return (present ?? '') === '';
    return noVersion.test(present) || !isPast(present, value);
  },
  isUnsafe: () => false,
};

/** Here a null takes away: with it gone from the metadata, the server would no longer refuse the patch. */
const patch: Rules = {
  givesWay: (name, present, value) => name !== 'metadata' && wholeObject.givesWay(name, present, value),
  isUnsafe: () => false,
};

/** Directives may take away what stands beside them, but for those on lists. */
const strategicPatch: Rules = {
  ...patch,
  isUnsafe: (key) => key.startsWith('$') && !/^\$(?:setElementOrder|deleteFromPrimitiveList)\//.test(key),
};

/** A precondition is compared as a text, whatever it is. */
const options: Rules = {
  givesWay: (name, present, value) => present === null || (name === 'resourceVersion' && !isPast(present, value)),
  isUnsafe: () => false,
};

/**
 * Whether a version is the one that was reviewed, or older: then the server itself refuses the call. A newer one is of
 * an object that no reviewer has seen, as in the next try of a `kubectl replace`, which asks for the version first.
 */
function isPast(version: string, reviewed: string | Members): boolean {
  if (version === reviewed) return true;
  const isNumber = /^\d{1,20}$/;
  if (typeof reviewed !== 'string' || !isNumber.test(version) || !isNumber.test(reviewed)) return false;
  return BigInt(version) <= BigInt(reviewed);
}

/**
 * A patch that leaves the version alone sets it, and the server compares: 409. One that changes it could set it anew,
 * and has to find it as it was: 422.
 */
function withOperation(body: Buffer, resourceVersion: string): Buffer | null {
  const cursor = new JsonCursor(body);
  if (cursor.peek() !== openBracket) return null;
  const start = cursor.at + 1;
  let op = 'add';
  let isEmpty = true;
  cursor.array(() => {
    isEmpty = false;
    if (cursor.peek() !== openBrace) return cursor.skip();
    cursor.object((key) => {
      if ((key !== 'path' && key !== 'from') || cursor.peek() !== quote) return cursor.skip();
      if (concernsVersion(cursor.text(cursor.string()))) op = 'test';
    });
  });
  cursor.end();
  const text = JSON.stringify({ op, path: '/metadata/resourceVersion', value: resourceVersion });
  return edited(body, [{ start, end: start, text: isEmpty ? text : `${text},` }]);
}

/** A pointer to the version, or to what it is in. The server passes over what stands before the first slash. */
function concernsVersion(pointer: string): boolean {
  const keys = pointer.split('/').slice(1);
  return ['metadata', 'resourceVersion'].slice(0, keys.length).join('/') === keys.join('/');
}
