/**
 * Request attributes: what a call is about, in the terms of Kubernetes authorization
 * (k8s.io/apiserver `RequestInfo`). Both policy and record see these, never the raw target.
 */
export type RequestAttributes = ResourceAttributes | NonResourceAttributes;

export interface ResourceAttributes {
  readonly kind: 'resource';
  /** `get list watch create update patch delete deletecollection`, or the legacy `proxy`. */
  readonly verb: string;
  /** Empty for the core group. */
  readonly apiGroup: string;
  readonly version: string;
  readonly resource: string;
  /** Empty when there is none. */
  readonly subresource: string;
  /** Empty for cluster-scoped resources and for calls on all namespaces. */
  readonly namespace: string;
  /** Empty when the call names no single object. */
  readonly name: string;
}

export interface NonResourceAttributes {
  readonly kind: 'nonResource';
  /** The HTTP method in lower case. */
  readonly verb: string;
  /** The decoded path, `/version` for instance. */
  readonly path: string;
}

/** `resource[.group][/subresource]`, as kubectl and policies write it. */
export function resourceName(a: ResourceAttributes): string {
  const grouped = a.apiGroup === '' ? a.resource : `${a.resource}.${a.apiGroup}`;
  return a.subresource === '' ? grouped : `${grouped}/${a.subresource}`;
}

/** Whether the body of a call names ephemeral containers, which run in a pod that is there already. */
export function addsContainers(attributes: RequestAttributes): boolean {
  const { kind, verb } = attributes;
  return kind === 'resource' && changes.has(verb) && resourceName(attributes) === 'pods/ephemeralcontainers';
}

const changes: ReadonlySet<string> = new Set(['patch', 'update']);
