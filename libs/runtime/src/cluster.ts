// Cluster connections: where a cluster is, and the credentials Sluice has there. The one module that uses
// @kubernetes/client-node.
import { Agent, type RequestOptions } from 'node:https';
import { createSecureContext } from 'node:tls';
import { KubeConfig } from '@kubernetes/client-node';
import { ConfigError } from './env.ts';

/** What one request to a cluster needs. */
export interface Credentials {
  /** Connection pool with the cluster's CA and, where there is one, the client certificate. */
  readonly agent: Agent;
  /** Lower-case names; `authorization`, as a rule. */
  readonly headers: Readonly<Record<string, string>>;
}

/** A server, as requests want it. `host`: an IPv6 address has no brackets. `basePath`: what is before each path; no slash at its end. */
export interface Address {
  readonly host: string;
  readonly port: number;
  readonly basePath: string;
}

/** A cluster with the way to its credentials. */
export interface ClusterConnection {
  /** Name of the kubeconfig's context. */
  readonly name: string;
  /** Always https. */
  readonly server: URL;
  readonly address: Address;
  /** Read again every 10 s, so that exec plugins and token files may renew them. Throws `ConfigError`. */
  credentials(): Promise<Credentials>;
}

const credentialsMs = 10_000;

export function addressOf({ hostname, port, pathname }: URL): Address {
  return {
    host: hostname.replace(/^\[|\]$/g, ''),
    port: port === '' ? 443 : Number(port),
    basePath: pathname.replace(/\/$/, ''),
  };
}

/**
 * Reads a kubeconfig. `path` empty: `KUBECONFIG` or `~/.kube/config`, as kubectl does. `context` empty:
 * the current one. Throws `ConfigError` when there is none, or when it is not a verified https connection.
 */
export function loadConnection(path: string, context: string): ClusterConnection {
  const config = new KubeConfig();
  try {
    if (path === '') config.loadFromDefault();
    else config.loadFromFile(path);
  } catch (error) {
    throw new ConfigError(`cannot read the kubeconfig ${path}: ${(error as Error).message}`);
  }
  if (context !== '') {
    if (config.getContextObject(context) === null) {
      const known = config
        .getContexts()
        .map((known) => known.name)
        .join(', ');
      throw new ConfigError(`the kubeconfig has no context ${JSON.stringify(context)}; known: ${known}`);
    }
    config.setCurrentContext(context);
  }
  const cluster = config.getCurrentCluster();
  if (cluster === null) throw new ConfigError('the kubeconfig has no current context; name one with --context');
  if (cluster.skipTLSVerify) {
    throw new ConfigError('the kubeconfig says insecure-skip-tls-verify; give the cluster a certificate-authority');
  }

  if (cluster.proxyUrl !== undefined)
    throw new ConfigError('the kubeconfig has a proxy-url; Sluice goes to clusters directly');
  // What the library makes up when it finds no kubeconfig.
  if (path === '' && cluster.server === 'http://localhost:8080') throw new ConfigError('there is no kubeconfig');
  const server = new URL(cluster.server);
  if (server.protocol !== 'https:')
    throw new ConfigError(`the cluster's server is ${server.protocol}//; https:// is needed`);

  let current: { readonly untilMs: number; readonly credentials: Promise<Credentials> } | undefined;
  let pool: { readonly identity: string; readonly agent: Agent } | undefined;

  const read = async (): Promise<Credentials> => {
    const options: RequestOptions = {};
    try {
      await config.applyToHTTPSOptions(options);
    } catch (error) {
      throw new ConfigError(`cannot get credentials for the cluster: ${(error as Error).message}`);
    }
    const { ca, cert, key, servername } = options;
    // A pool per client certificate: a renewed certificate must not ride an old connection.
    const identity = String(cert ?? '');
    if (pool?.identity !== identity) {
      // Made once: it reads certificates, and every stream takes a connection of its own.
      const secureContext = createSecureContext({ ca, cert, key });
      // No limit on sockets: each watch holds one, and a limit would make every other call wait for them.
      pool = { identity, agent: new Agent({ keepAlive: true, secureContext, ...(servername && { servername }) }) };
    }
    const headers: Record<string, string> = {};
    for (const [name, value] of Object.entries(options.headers ?? {})) {
      if (value !== undefined) headers[name.toLowerCase()] = String(value);
    }
    if (typeof options.auth === 'string') {
      headers['authorization'] = `Basic ${Buffer.from(options.auth).toString('base64')}`;
    }
    return { agent: pool.agent, headers };
  };

  return {
    name: config.getCurrentContext(),
    server,
    address: addressOf(server),
    credentials() {
      const now = performance.now();
      if (current === undefined || now >= current.untilMs) {
        const credentials = read();
        current = { untilMs: now + credentialsMs, credentials };
        credentials.catch(() => {
          current = undefined;
        });
      }
      return current.credentials;
    },
  };
}
