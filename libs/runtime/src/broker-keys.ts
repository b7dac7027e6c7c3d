// Who may do what at the broker: an nkey per role, as files for the services and as text for nats-server.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Authenticator, credsAuthenticator, nkeyAuthenticator, nkeys } from '@nats-io/transport-node';
import { answerWithinSeconds, inboxPrefixOf, permissions, type Role, roles } from '@sluice/model';
import { readSecret } from './secret-file.ts';

/** Makes the seeds that are missing, `<role>.creds` in `dir` (0600); never replaces one. */
export function ensureBrokerKeys(dir: string): void {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  for (const role of roles) {
    const file = credentialsFile(dir, role);
    if (!existsSync(file)) writeFileSync(file, `${newSeed()}\n`, { mode: 0o600, flag: 'wx' });
  }
}

/** Where a role's credentials are: an nkey seed, or a `.creds` file with a JWT and a seed. */
export function credentialsFile(dir: string, role: string): string {
  return join(dir, `${role}.creds`);
}

/** What a role says to the broker about itself. Throws `ConfigError`. */
export function credentialsOf(dir: string, role: string): Authenticator {
  const text = readSecret(credentialsFile(dir, role));
  return text.includes('-----BEGIN')
    ? credsAuthenticator(text)
    : nkeyAuthenticator(Buffer.from(text.toString().trim()));
}

/** A new user's nkey seed. */
export function newSeed(): string {
  return Buffer.from(nkeys.createUser().getSeed()).toString();
}

/** The public half of a seed. */
export function publicNkey(seed: string): string {
  return nkeys.fromSeed(Buffer.from(seed.trim())).getPublicKey();
}

/** The roles as entries of `authorization { users: […] }` in nats-server's configuration, one a line. */
export function brokerUsers(dir: string): string {
  const lines = roles.flatMap((role) => {
    const nkey = publicNkey(readFileSync(credentialsFile(dir, role), 'utf8'));
    return [`    # ${role}`, `    { nkey: ${nkey}, permissions: ${JSON.stringify(rightsOf(role))} }`];
  });
  return lines.join('\n');
}

/** A role's permissions as nats-server reads them: an empty list of what is allowed may mean everything. */
function rightsOf(role: Role): unknown {
  const { publish, subscribe, answers } = permissions[role];
  return {
    publish: publish.length > 0 ? { allow: publish } : { deny: ['>'] },
    subscribe: { allow: [`${inboxPrefixOf(role)}.>`, ...subscribe] },
    ...(answers === 'once' ? { allow_responses: { max: 1, expires: `${answerWithinSeconds}s` } } : {}),
  };
}
