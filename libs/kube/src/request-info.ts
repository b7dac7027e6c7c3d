import type { RequestAttributes } from '@sluice/model';
import { queryValue, type Target } from './target.ts';

/** Whether a method stands for a Kubernetes verb. */
export function hasVerb(method: string): boolean {
  return verbs.has(method);
}

/**
 * Request attributes, as `RequestInfoFactory.NewRequestInfo` of k8s.io/apiserver derives them. `null`, to be
 * refused, when the method stands for no verb, a legacy prefix has nothing after it, or it takes the server's own
 * reading of a list's options to say what the list is.
 */
export function requestAttributes(method: string, target: Target): RequestAttributes | null {
  const verb = verbs.get(method);
  if (verb === undefined) return null;
  const parts = target.segments;
  const prefix = parts[0];
  const grouped = prefix === 'apis';
  // `/api/v1` and `/apis/apps/v1` are discovery, not resources.
  if (parts.length < (grouped ? 4 : 3) || (prefix !== 'api' && !grouped)) {
    return { kind: 'nonResource', verb: method.toLowerCase(), path: target.path };
  }
  const apiGroup = grouped ? (parts[1] ?? '') : '';
  const version = parts[grouped ? 2 : 1] ?? '';
  let rest = parts.slice(grouped ? 3 : 2);

  let legacy: 'watch' | 'proxy' | undefined;
  if (rest[0] === 'watch' || rest[0] === 'proxy') {
    legacy = rest[0];
    rest = rest.slice(1);
    if (rest.length === 0) return null;
  }

  let namespace = '';
  if (rest[0] === 'namespaces' && rest[1] !== undefined) {
    namespace = rest[1];
    // `namespaces/x/status` is a subresource; `namespaces/x/pods` is pods in x.
    if (rest[2] !== undefined && rest[2] !== 'status' && rest[2] !== 'finalize') rest = rest.slice(2);
  }

  const resource = rest[0] ?? '';
  const subresource = legacy === 'proxy' ? '' : (rest[2] ?? '');
  const named = rest[1] ?? '';
  const base = { kind: 'resource', apiGroup, version, resource, subresource, namespace } as const;
  if (legacy !== undefined) return { ...base, verb: legacy, name: named };
  if (named !== '' || (verb !== 'get' && verb !== 'delete')) return { ...base, verb, name: named };
  if (verb === 'delete') return { ...base, verb: 'deletecollection', name: '' };
  const listVerb = listOrWatch(target);
  const name = selectedName(target);
  return listVerb === null || name === null ? null : { ...base, verb: listVerb, name };
}

/** A map, for `constructor` is a method as good as any on HTTP/2. */
const verbs: ReadonlyMap<string, string> = new Map([
  ['GET', 'get'],
  ['HEAD', 'get'],
  ['POST', 'create'],
  ['PUT', 'update'],
  ['PATCH', 'patch'],
  ['DELETE', 'delete'],
]);

/** `0` and any case of `false` mean a list; everything else, the empty value too, a watch. */
function listOrWatch(target: Target): 'list' | 'watch' | null {
  const value = queryValue(target, 'watch');
  if (value === undefined) return 'list';
  // Go compares by Unicode folding, to which "falſe" is false, but by lower-casing where another option is broken.
  if (/[^\0-\x7f]/.test(value)) return null;
  return value === '0' || value.toLowerCase() === 'false' ? 'list' : 'watch';
}

/**
 * A list with the field selector `metadata.name=x` is authorised as a list of x alone; empty when it selects no
 * name. `null` for a selector about names that is not plain, and beside options that the server may not be able to
 * read: it then forgets the name.
 */
function selectedName(target: Target): string | null {
  const selector = queryValue(target, 'fieldSelector') ?? '';
  if (!selector.includes('metadata.name')) return '';
  const names: string[] = [];
  for (const term of selector.split(',').filter((term) => term !== '')) {
    const [, field, operator, value] = /^([^=!\\]*)(!=|==?)([^=\\]*)$/.exec(term) ?? [];
    if (value === undefined) return null;
    if (field === 'metadata.name' && operator !== '!=') names.push(value);
  }
  const [name, second] = names;
  if (name === undefined) return '';
  const isPlain = second === undefined && /^(?!\.{1,2}$)[^/%]+$/.test(name);
  const isReadable = Object.entries(listOptions).every(([option, form]) => {
    const value = queryValue(target, option);
    return value === undefined || form.test(value);
  });
  return isPlain && isReadable ? name : null;
}

const int64 = /^[+-]?\d{1,18}$/;
const labelPart = '[A-Za-z0-9]([\\w.-]{0,61}[A-Za-z0-9])?';
const labelKey = `((?=[^/]{1,253}/)[a-z0-9]+([.-][a-z0-9]+)*/)?${labelPart}`;
const labelSet = `\\((${labelPart})?(, ?(${labelPart})?)*\\)`;
const labelTerm = `(!?${labelKey}|${labelKey}(==?|!=)(${labelPart})?|${labelKey} (not)?in ${labelSet})`;

/** What the server can read for certain. Options that are not here are text to it, and text is always readable. */
const listOptions = {
  limit: int64,
  timeoutSeconds: int64,
  labelSelector: new RegExp(`^(${labelTerm}(, ?${labelTerm})*)?$`),
};
