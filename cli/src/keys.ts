import { existsSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type Role, roles } from '@sluice/model';
import {
  authorization,
  brokerUsers,
  ConfigError,
  ensureBrokerKeys,
  ensureKeys,
  type KeyName,
  type SealingWriter,
  sealingWriters,
} from '@sluice/runtime';
import { ensureLocalIssuer } from '@sluice/runtime/identity';
import { type HomePaths, makeHome } from './home.ts';
import { table } from './text.ts';
import { assertStopped } from './up/take-over.ts';
import { ensureAuthority } from './up/tls.ts';

/** A key of a home, private halves in files of `home.keys`. */
interface Key {
  readonly name: string;
  readonly kind: string;
  readonly usedBy: readonly string[];
  /** What `sluice up` makes anew once it is gone; the first tells the key's age. */
  readonly files: readonly string[];
  /** What a new one means to others, as a sentence; empty when nobody notices. */
  readonly consequence: string;
}

const hmac = 'HMAC-SHA256';
const secrets: Readonly<Record<KeyName, Omit<Key, 'name' | 'files'>>> = {
  decisions: { kind: hmac, usedBy: ['policy', 'ingress'], consequence: '' },
  grants: { kind: hmac, usedBy: ['approval', 'policy'], consequence: '' },
  raw: { kind: 'AES-256-GCM', usedBy: ['ingress', 'masking'], consequence: '' },
  masks: {
    kind: hmac,
    usedBy: ['masking'],
    consequence: 'Values get other masks; old masks are still known as masks.',
  },
  digests: {
    kind: hmac,
    usedBy: ['ingress'],
    consequence: 'Sessions begin anew; the key of the digests in the record so far is kept beside the new one.',
  },
};

function sealOf(writer: SealingWriter): Key {
  const files = [`${writer}.seal.key`, certificateOf(writer)];
  return { name: `${writer}.seal`, kind: 'Ed25519', usedBy: [writer], files, consequence: '' };
}

function certificateOf(writer: SealingWriter): string {
  return `${writer}.seal.json`;
}

function nkeyOf(role: Role): Key {
  const consequence = "A broker that is not Sluice's own has to learn them: `sluice keys broker`.";
  const usedBy = [role === 'control' || role === 'operator' ? 'up' : role];
  return { name: `nats/${role}`, kind: 'nkey', usedBy, files: [`nats/${role}.creds`], consequence };
}

const keys: readonly Key[] = [
  ...Object.entries(secrets).map(([name, key]) => ({ name, files: [`${name}.key`], ...key })),
  {
    name: 'root',
    kind: 'Ed25519',
    usedBy: ['up'],
    // Who seals needs a certificate by the new root; its key can stay.
    files: ['root.key', ...sealingWriters.map(certificateOf)],
    consequence: 'Whoever checks the record needs the new root.pub; it has the old public keys, too.',
  },
  ...sealingWriters.map(sealOf),
  {
    name: 'issuer',
    kind: 'ES256',
    usedBy: ['kubeconfig', 'ingress'],
    files: ['issuer.jwk'],
    consequence: 'Kubeconfigs of agents made so far work no more.',
  },
  {
    name: 'ca',
    kind: 'ECDSA P-256',
    usedBy: ['up'],
    files: ['ca.key'],
    consequence: 'Agents must trust a new CA: give them new kubeconfigs.',
  },
  ...roles.map(nkeyOf),
];

/** The keys that are there, as a table or as JSON. */
export function listKeys(home: HomePaths, options: { readonly json?: true }, out: NodeJS.WritableStream): void {
  const rows = keys.flatMap(({ name, kind, usedBy, files: [file = ''] }) => {
    const path = join(home.keys, file);
    return existsSync(path) ? [{ name, kind, madeAt: statSync(path).mtime.toISOString(), usedBy }] : [];
  });
  if (options.json) out.write(`${JSON.stringify(rows)}\n`);
  else if (rows.length === 0) out.write('No keys; `sluice up` makes them.\n');
  else {
    const cells = rows.map(({ name, kind, madeAt, usedBy }) => [name, kind, madeAt, usedBy.join(', ')]);
    out.write(table(['NAME', 'KIND', 'MADE AT', 'USED BY'], cells));
  }
}

/** Makes new keys in place of those named. Throws `ConfigError` while Sluice runs, and for a name that no key has. */
export async function rotateKeys(
  home: HomePaths,
  names: readonly string[],
  options: { readonly all?: true },
  out: NodeJS.WritableStream,
): Promise<void> {
  const unknown = names.find((name) => !keys.some((key) => key.name === name));
  if (unknown !== undefined) throw new ConfigError(`there is no key "${unknown}"; \`sluice keys list\` names them`);
  const chosen = options.all ? keys : keys.filter(({ name }) => names.includes(name));
  if (chosen.length === 0) throw new ConfigError('name the keys to make anew, or say --all');
  assertStopped(home);
  makeHome(home);
  if (chosen.some(({ name }) => name === 'digests')) keepDigestKey(home);
  for (const file of chosen.flatMap(({ files }) => files)) rmSync(join(home.keys, file), { force: true });
  ensureKeys(home.keys);
  ensureBrokerKeys(home.brokerKeys);
  await ensureLocalIssuer(home.keys);
  await ensureAuthority(home);
  out.write(`New: ${chosen.map(({ name }) => name).join(', ')}\n`);
  for (const consequence of new Set(chosen.map((key) => key.consequence))) {
    if (consequence !== '') out.write(`${consequence}\n`);
  }
}

/** Without it nobody could compare a request with a digest of before. */
function keepDigestKey(home: HomePaths): void {
  const file = join(home.keys, 'digests.key');
  if (existsSync(file)) renameSync(file, join(home.keys, `digests.until-${new Date().toISOString()}.key`));
}

/** What a nats-server that is not Sluice's own has to be told: users and permissions. Makes nkeys that are missing. */
export function printBrokerUsers(home: HomePaths, out: NodeJS.WritableStream): void {
  makeHome(home);
  ensureBrokerKeys(home.brokerKeys);
  out.write(authorization(brokerUsers(home.brokerKeys)));
}
