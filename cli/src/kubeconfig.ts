import { readFileSync } from 'node:fs';
import { ConfigError } from '@sluice/runtime';
import { mintToken } from '@sluice/runtime/identity';
import { type HomePaths, readState } from './home.ts';

/** For whom a kubeconfig is. */
export interface AgentClaims {
  readonly agent: string;
  readonly groups: readonly string[];
  readonly ttlSeconds: number;
}

/** Prints a kubeconfig of the Sluice in `home`. Throws `ConfigError`. */
export async function printKubeconfig(home: HomePaths, claims: AgentClaims, out: NodeJS.WritableStream): Promise<void> {
  const state = readState(home);
  if (state === null) throw new ConfigError(`no Sluice has run in ${home.root}; start it with \`npm start\``);
  out.write(await createKubeconfig(home, state.port, claims));
}

/** A kubeconfig with Sluice's address, its CA and a fresh token. JSON strings are YAML strings. */
export async function createKubeconfig(home: HomePaths, port: number, claims: AgentClaims): Promise<string> {
  const token = await mintToken(home.keys, claims);
  const ca = readFileSync(home.ca).toString('base64');
  const user = JSON.stringify(claims.agent);
  return `apiVersion: v1
kind: Config
clusters:
  - name: sluice
    cluster:
      server: https://127.0.0.1:${port}
      certificate-authority-data: ${ca}
users:
  - name: ${user}
    user:
      token: ${token}
contexts:
  - name: sluice
    context:
      cluster: sluice
      user: ${user}
current-context: sluice
`;
}
