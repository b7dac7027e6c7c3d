import type { RequestAttributes } from '@sluice/model';
import { queryValue, type Target } from './target.ts';

/**
 * Request attributes, as `RequestInfoFactory.NewRequestInfo` of k8s.io/apiserver derives them. `null`
 * when the method stands for no verb, or a legacy prefix has nothing after it: both are refused.
 */
export function requestAttributes(method: string, target: Target): RequestAttributes | null {
  const verb = verbs[method];
  if (verb === undefined) return null;
  const parts = target.segments;
  const prefix = parts[0];
  const grouped = prefix === 'apis';
  // `/api/v1` and `/apis/apps/v1` are discovery, not resources.
  if (parts.length < (grouped ? 4 : 3) || (prefix !== 'api' && !grouped)) {
    return { kind: 'nonResource', verb: method.toLowerCase(), path: `/${parts.join('/')}` };
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
  return { ...base, verb: isWatch(target) ? 'watch' : 'list', name: nameSelected(target) };
}

const verbs: Readonly<Record<string, string>> = {
  GET: 'get',
  HEAD: 'get',
  POST: 'create',
  PUT: 'update',
  PATCH: 'patch',
  DELETE: 'delete',
};

/** `0` and any case of `false` mean no; everything else, the empty value too, means yes. */
function isWatch(target: Target): boolean {
  const value = queryValue(target, 'watch');
  return value !== undefined && value !== '0' && value.toLowerCase() !== 'false';
}

/** A list with the field selector `metadata.name=x` is authorised as a list of x alone. */
function nameSelected(target: Target): string {
  for (const term of (queryValue(target, 'fieldSelector') ?? '').split(',')) {
    const name = /^metadata\.name==?([^=\\!/%]+)$/.exec(term)?.[1];
    if (name !== undefined && name !== '.' && name !== '..') return name;
  }
  return '';
}
