import { readFileSync } from 'node:fs';
import { ConfigError, type Env, integer, readSecret, required } from '@sluice/runtime';
import { type Limits, readLimits } from './limits.ts';

/** Ingress's settings, read once. */
export interface IngressConfig {
  /** `SLUICE_HOST`, default 127.0.0.1. */
  readonly host: string;
  /** `SLUICE_PORT`, default 8443; 0 takes any free one. */
  readonly port: number;
  /** `SLUICE_TLS_CERT` and `SLUICE_TLS_KEY`: PEM files. */
  readonly tlsCert: Buffer;
  readonly tlsKey: Buffer;
  /** `SLUICE_KEYS_DIR`. */
  readonly keysDir: string;
  /** `SLUICE_KUBECONFIG`: the file with Sluice's own credentials for the cluster; empty: kubectl's default. */
  readonly kubeconfig: string;
  /** `SLUICE_CONTEXT`: empty: the kubeconfig's current one. */
  readonly context: string;
  /** `SLUICE_LIMIT_…`. */
  readonly limits: Limits;
}

/** Throws `ConfigError`. */
export function readConfig(env: Env): IngressConfig {
  return Object.freeze({
    host: env['SLUICE_HOST'] ?? '127.0.0.1',
    port: integer(env, 'SLUICE_PORT', 8443),
    tlsCert: file(env, 'SLUICE_TLS_CERT'),
    tlsKey: readSecret(required(env, 'SLUICE_TLS_KEY')),
    keysDir: required(env, 'SLUICE_KEYS_DIR'),
    kubeconfig: env['SLUICE_KUBECONFIG'] ?? '',
    context: env['SLUICE_CONTEXT'] ?? '',
    limits: readLimits(env),
  });
}

function file(env: Env, name: string): Buffer {
  const path = required(env, name);
  try {
    return readFileSync(path);
  } catch {
    throw new ConfigError(`cannot read ${path} (${name}); \`sluice up\` makes it`);
  }
}
