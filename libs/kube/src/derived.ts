import { addsContainers, type RequestAttributes, type ResourceAttributes, resourceName } from '@sluice/model';

/**
 * What a call is judged as besides itself, since it can do that as well: each of these must be allowed too. `form` says
 * whether a patch is a server-side apply; every other call is `other`. Often empty; the order means nothing.
 */
export function derivedAttributes(
  attributes: ResourceAttributes,
  form: 'apply' | 'other',
): readonly ResourceAttributes[] {
  return derivations.filter(({ when }) => when(attributes, form)).map(({ as }) => ({ ...attributes, ...as }));
}

interface Derivation {
  readonly when: (call: ResourceAttributes, form: 'apply' | 'other') => boolean;
  readonly as: Partial<Pick<ResourceAttributes, 'verb' | 'subresource'>>;
}

const derivations: readonly Derivation[] = [
  {
    // Apply creates what is not there (KEP-555); through a subresource it does not.
    when: ({ verb, subresource }, form) => verb === 'patch' && form === 'apply' && subresource === '',
    as: { verb: 'create' },
  },
  { when: (call) => call.verb === 'update' && createdByUpdate.has(resourceName(call)), as: { verb: 'create' } },
  {
    // A WebSocket begins with GET, so that read-only rights have been enough to run commands; from 1.35 on the server
    // asks for create itself.
    when: (call) => call.verb === 'get' && isSession(call),
    as: { verb: 'create' },
  },
  {
    // Any method may do anything behind a proxy. The legacy prefix has the verb, and no subresource.
    when: ({ verb, subresource }) => (verb === 'proxy') !== (subresource === 'proxy'),
    as: { verb: 'proxy', subresource: 'proxy' },
  },
  {
    when: (call) => call.verb === 'create' && resourceName(call) === 'pods/eviction',
    as: { verb: 'delete', subresource: '' },
  },
  {
    // A container of one's own in a running pod is a command run in it.
    when: addsContainers,
    as: { verb: 'create', subresource: 'exec' },
  },
  // A watch begins with the objects as they are.
  { when: ({ verb }) => verb === 'watch', as: { verb: 'list' } },
];

/**
 * The built-in resources whose PUT creates an object that is not there, with or without a resourceVersion: found by
 * trying all of them on a 1.20 server. Services and lease candidates do so on later ones, by their registry strategies
 * (`AllowCreateOnUpdate`). Custom resources never do.
 */
const createdByUpdate: ReadonlySet<string> = new Set([
  'endpoints',
  'events',
  'limitranges',
  'services',
  'leases.coordination.k8s.io',
  'leasecandidates.coordination.k8s.io',
  'events.events.k8s.io',
  'runtimeclasses.node.k8s.io',
  'clusterrolebindings.rbac.authorization.k8s.io',
  'clusterroles.rbac.authorization.k8s.io',
  'rolebindings.rbac.authorization.k8s.io',
  'roles.rbac.authorization.k8s.io',
]);

const sessions: ReadonlySet<string> = new Set(['pods/attach', 'pods/exec', 'pods/portforward']);

/** Whether a call is an exec, an attach or a port-forward, by GET or POST: one stream that is upgraded to. */
export function isSession(attributes: RequestAttributes): attributes is ResourceAttributes {
  const { kind } = attributes;
  return kind === 'resource' && ['get', 'create'].includes(attributes.verb) && sessions.has(resourceName(attributes));
}
