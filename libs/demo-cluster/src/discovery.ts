import { apiVersionOf, type Kind, kinds } from './kinds.ts';
import type { Json } from './objects.ts';

const groups = [...new Set(kinds.map(({ group }) => group))].filter((group) => group !== '');
const allVerbs = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'];

/** Answers everything that is not about an object, or `undefined`. */
export function discover(path: string): Json | string | undefined {
  switch (path) {
    case '/version':
      return { major: '1', minor: '32', gitVersion: 'v1.32.0+sluice-demo', platform: 'demo/simulated' };
    case '/api':
      return { kind: 'APIVersions', versions: ['v1'], serverAddressByClientCIDRs: [] };
    case '/apis':
      return { kind: 'APIGroupList', apiVersion: 'v1', groups: groups.map(group) };
    case '/api/v1':
      return resourceList('');
    case '/openapi/v3':
      return {
        paths: Object.fromEntries(
          ['', ...groups].map((name) => [
            groupPath(name).slice(1),
            { serverRelativeURL: `/openapi/v3${groupPath(name)}` },
          ]),
        ),
      };
    case '/healthz':
    case '/livez':
    case '/readyz':
      return 'ok';
  }
  const openapi = ['', ...groups].find((name) => path === `/openapi/v3${groupPath(name)}`);
  if (openapi !== undefined) return openapiOf(openapi);
  const listed = groups.find((name) => path === groupPath(name));
  if (listed !== undefined) return resourceList(listed);
  const named = groups.find((name) => path === `/apis/${name}`);
  return named === undefined ? undefined : { kind: 'APIGroup', apiVersion: 'v1', ...group(named) };
}

function groupPath(group: string): string {
  return group === '' ? '/api/v1' : `/apis/${group}/v1`;
}

function group(name: string): Json {
  const version = { groupVersion: `${name}/v1`, version: 'v1' };
  return { name, versions: [version], preferredVersion: version };
}

function resourceList(group: string): Json {
  const resources = kinds
    .filter((kind) => kind.group === group)
    .flatMap((kind) => {
      const entry = {
        name: kind.resource,
        singularName: kind.kind.toLowerCase(),
        namespaced: kind.namespaced,
        kind: kind.kind,
        verbs: kind.review === undefined ? allVerbs : ['create'],
        shortNames: kind.short,
        ...(kind.inAll ? { categories: ['all'] } : {}),
      };
      const subresource = (name: string, verbs: string[], kindName = kind.kind): Json => ({
        name: `${kind.resource}/${name}`,
        singularName: '',
        namespaced: kind.namespaced,
        kind: kindName,
        verbs,
      });
      if (kind.resource === 'pods') {
        const eviction = { ...subresource('eviction', ['create'], 'Eviction'), group: 'policy', version: 'v1' };
        const streams = Object.entries({
          attach: 'PodAttachOptions',
          exec: 'PodExecOptions',
          portforward: 'PodPortForwardOptions',
          proxy: 'PodProxyOptions',
        }).map(([name, options]) => subresource(name, ['create', 'get'], options));
        const ephemeral = subresource('ephemeralcontainers', ['get', 'patch', 'update']);
        return [entry, eviction, ephemeral, subresource('log', ['get']), ...streams];
      }
      if (kind.resource === 'nodes') return [entry, subresource('proxy', ['create', 'get'], 'NodeProxyOptions')];
      if (kind.resource === 'deployments') {
        const scale = {
          ...subresource('scale', ['get', 'patch', 'update'], 'Scale'),
          group: 'autoscaling',
          version: 'v1',
        };
        return [entry, scale];
      }
      return [entry];
    });
  return { kind: 'APIResourceList', apiVersion: 'v1', groupVersion: group === '' ? 'v1' : `${group}/v1`, resources };
}

/** The part of OpenAPI v3 that kubectl looks at before it applies: that the server validates fields, and dry-runs. */
function openapiOf(group: string): Json {
  const parameters = ['fieldValidation', 'dryRun'].map((name) => ({ name, in: 'query', schema: { type: 'string' } }));
  const paths = kinds
    .filter((kind) => kind.group === group)
    .map((kind) => {
      const patch = {
        'x-kubernetes-action': 'patch',
        'x-kubernetes-group-version-kind': gvk(kind),
        parameters,
        responses: {},
      };
      return [objectPath(kind), { patch }];
    });
  const schemas = kinds
    .filter((kind) => kind.group === group)
    .map((kind) => [`demo.${kind.kind}`, { type: 'object', 'x-kubernetes-group-version-kind': [gvk(kind)] }]);
  return {
    openapi: '3.0.0',
    info: { title: apiVersionOf({ group, version: 'v1' } as Kind), version: 'v1' },
    paths: Object.fromEntries(paths),
    components: { schemas: Object.fromEntries(schemas) },
  };
}

/**
 * The same in OpenAPI v2, as protobuf (OpenAPIv2.proto of gnostic): kubectl before 1.29 gives up without a document, even
 * to apply unvalidated, and kubectl 1.20 diffs only what says here that it dry-runs.
 */
export function openapiV2(): Buffer {
  const parameter = field(2, field(3, field(2, 'query'), field(4, 'dryRun')));
  const paths = kinds.map((kind) => {
    const yaml = `group: ${kind.group || '""'}\nkind: ${kind.kind}\nversion: ${kind.version}\n`;
    const extension = [field(1, 'x-kubernetes-group-version-kind'), field(2, field(2, yaml))];
    const patch = [field(8, field(1, parameter)), field(13, ...extension)];
    return field(2, field(1, objectPath(kind)), field(2, field(8, ...patch)));
  });
  return field(8, ...paths);
}

function objectPath({ group, namespaced, resource }: Kind): string {
  return `${groupPath(group)}/${namespaced ? 'namespaces/{namespace}/' : ''}${resource}/{name}`;
}

/** A field of a protobuf message, number below 16, that holds a text or a message. */
function field(number: number, ...content: readonly (string | Buffer)[]): Buffer {
  const bytes = Buffer.concat(content.map((part) => (typeof part === 'string' ? Buffer.from(part) : part)));
  const length: number[] = [];
  let rest = bytes.length;
  for (; rest > 127; rest >>= 7) length.push((rest & 127) | 128);
  return Buffer.concat([Buffer.of((number << 3) | 2, ...length, rest), bytes]);
}

function gvk({ group, version, kind }: Kind): Json {
  return { group, version, kind };
}
