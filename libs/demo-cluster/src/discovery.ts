import { apiVersionOf, type Kind, kinds } from './kinds.ts';
import type { Json } from './objects.ts';

const groups = [...new Set(kinds.map(({ group }) => group))].filter((group) => group !== '');
const allVerbs = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'];

/** No schemas, as an empty protobuf message: kubectl before 1.29 gives up without one, even to apply unvalidated. */
export const openapiV2 = {
  kind: 'text',
  contentType: 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf',
  body: '',
} as const;

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
      if (kind.resource === 'pods') return [entry, subresource('log', ['get'])];
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
      const path = `${groupPath(group)}/${kind.namespaced ? 'namespaces/{namespace}/' : ''}${kind.resource}/{name}`;
      const patch = {
        'x-kubernetes-action': 'patch',
        'x-kubernetes-group-version-kind': gvk(kind),
        parameters,
        responses: {},
      };
      return [path, { patch }];
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

function gvk({ group, version, kind }: Kind): Json {
  return { group, version, kind };
}
