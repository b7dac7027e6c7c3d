import { request } from 'node:https';
import type { Impersonation } from '@sluice/model';
import { ConfigError } from '@sluice/runtime';
import { type ClusterConnection, loadConnection } from '@sluice/runtime/cluster';

/** Which cluster Sluice stands before. `none`: no cluster of the user's answers. */
export type ClusterChoice =
  | { readonly kind: 'real'; readonly connection: ClusterConnection }
  | { readonly kind: 'none'; readonly why: string };

const answerDeadlineMs = 5_000;

/**
 * The cluster that was asked for, or else the current context if it answers. `ownPort`: where Sluice itself will
 * listen. Throws `ConfigError` when the one that was asked for does not answer.
 */
export async function chooseCluster(kubeconfig: string, context: string, ownPort: number): Promise<ClusterChoice> {
  const asked = kubeconfig !== '' || context !== '';
  try {
    const connection = loadConnection(kubeconfig, context);
    if (connection.server.host === `127.0.0.1:${ownPort}`) {
      throw new ConfigError(`the kubeconfig "${connection.name}" is an agent's: it points at Sluice itself`);
    }
    const { status } = await call(connection, 'GET', '/version');
    if (status === 401)
      throw new ConfigError(`the cluster "${connection.name}" does not accept the kubeconfig's credentials`);
    return { kind: 'real', connection };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    if (asked) throw error;
    return { kind: 'none', why: error.message };
  }
}

/** What Sluice's own identity lacks in the cluster; empty when nothing. */
export async function missingRights(connection: ClusterConnection, tiers: readonly Impersonation[]): Promise<string[]> {
  const missing: string[] = [];
  const wants = (resource: string, group: string, name: string): Promise<boolean> =>
    allowed(connection, {}, { verb: 'impersonate', group, resource, name });
  for (const extra of ['sluice-agent', 'sluice-call']) {
    const [resource, subresource] = ['userextras', extra];
    const attributes = { verb: 'impersonate', group: 'authentication.k8s.io', resource, subresource };
    if (!(await allowed(connection, {}, attributes))) missing.push(`impersonate userextras/${extra}`);
  }
  for (const tier of tiers) {
    if (!(await wants('users', '', tier.user))) missing.push(`impersonate user ${tier.user}`);
    for (const group of tier.groups) {
      if (!(await wants('groups', '', group))) missing.push(`impersonate group ${group}`);
    }
  }
  // For what policies say of the pods of streams. Secrets it may do without.
  if (!(await allowed(connection, {}, { verb: 'get', group: '', resource: 'pods' }))) missing.push('get pods');
  if (missing.length > 0) return missing;
  for (const tier of tiers) {
    const headers = { 'impersonate-user': tier.user, 'impersonate-group': [...tier.groups] };
    const reads = { verb: 'list', group: '', resource: 'pods' };
    if (!(await allowed(connection, headers, reads))) missing.push(`${tier.user} has no rights of its own`);
  }
  return missing;
}

async function allowed(
  connection: ClusterConnection,
  headers: Readonly<Record<string, string | string[]>>,
  resourceAttributes: Readonly<Record<string, string>>,
): Promise<boolean> {
  const review = {
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SelfSubjectAccessReview',
    spec: { resourceAttributes },
  };
  const path = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews';
  const { status, body } = await call(connection, 'POST', path, JSON.stringify(review), headers);
  return status === 201 && (JSON.parse(body) as { status?: { allowed?: boolean } }).status?.allowed === true;
}

/** One small request with Sluice's own identity. Throws `ConfigError` when no answer comes. */
async function call(
  connection: ClusterConnection,
  method: 'GET' | 'POST',
  path: string,
  body = '',
  headers: Readonly<Record<string, string | string[]>> = {},
): Promise<{ readonly status: number; readonly body: string }> {
  const { agent, headers: identity } = await connection.credentials();
  const { host, port, basePath } = connection.address;
  return new Promise((resolve, reject) => {
    const outgoing = request({
      agent,
      host,
      port,
      method,
      path: basePath + path,
      headers: { accept: 'application/json', 'content-type': 'application/json', ...headers, ...identity },
      timeout: answerDeadlineMs,
    });
    const fail = (why: string): void => {
      reject(
        new ConfigError(
          `the cluster "${connection.name}" at ${connection.server.host} does not answer (${why}); name another with --kubeconfig or --context`,
        ),
      );
    };
    outgoing.on('timeout', () => outgoing.destroy(new Error('time-out')));
    outgoing.on('error', (error: NodeJS.ErrnoException) => fail(error.code ?? error.message));
    outgoing.on('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', (error) => fail(error.message));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }));
    });
    outgoing.end(body);
  });
}
