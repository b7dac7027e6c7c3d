import { createPrivateKey, createSecretKey, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { certify, rawPublicKey, type SealKey } from '@sluice/model';
import { ConfigError, type Env, required } from './env.ts';
import { readSecret } from './secret-file.ts';

/**
 * The symmetric keys of a deployment, 32 random bytes each, in `SLUICE_KEYS_DIR/<name>.key` (0600).
 *
 * - `decisions`: HMAC on decisions; policy signs, ingress checks.
 * - `grants`: HMAC on grants; approval signs, policy checks.
 * - `raw`: seals raw bytes between ingress and masking.
 * - `masks`: tags of masks; only masking reads it.
 * - `digests`: digests of raw requests and ids of sessions; only ingress reads it.
 */
export const keyNames = ['decisions', 'grants', 'raw', 'masks', 'digests'] as const;
export type KeyName = (typeof keyNames)[number];

const keyBytes = 32;

/**
 * Reads a key. A `KeyObject`, because Node prepares a key given as bytes anew for every HMAC: 8.9 µs instead of 1.6.
 * Throws `ConfigError` when the file is missing, is not exactly 32 bytes, or may be read by others.
 */
export function loadKey(env: Env, name: KeyName): KeyObject {
  const file = join(required(env, 'SLUICE_KEYS_DIR'), `${name}.key`);
  const key = readSecret(file);
  if (key.length !== keyBytes) throw new ConfigError(`${file} holds ${key.length} bytes; a key has ${keyBytes}`);
  return createSecretKey(key);
}

/** Services that write ledgers, and sign them. */
export const sealingWriters = ['ingress', 'approval', 'recorder'] as const;
export type SealingWriter = (typeof sealingWriters)[number];

/** Signs the heads of a writer's ledgers. */
export interface Sealer {
  readonly key: SealKey;
  readonly privateKey: KeyObject;
}

/**
 * Reads a writer's key from `<writer>.seal.key` (Ed25519, PKCS #8, PEM) and its certificate by the root from
 * `<writer>.seal.json`, both in `SLUICE_KEYS_DIR`. Throws `ConfigError`.
 */
export function loadSealer(env: Env, writer: SealingWriter): Sealer {
  const file = join(required(env, 'SLUICE_KEYS_DIR'), `${writer}.seal`);
  const pem = readSecret(`${file}.key`);
  try {
    const privateKey = createPrivateKey(pem);
    const key = JSON.parse(readFileSync(`${file}.json`, 'utf8')) as SealKey;
    if (key.publicKey === rawPublicKey(privateKey)) return { key, privateKey };
  } catch {
    throw new ConfigError(
      `cannot read the sealing key ${file}.key with ${file}.json; remove both, and \`sluice up\` makes new ones`,
    );
  }
  throw new ConfigError(`${file}.json is not about ${file}.key; remove both, and \`sluice up\` makes new ones`);
}

/** Makes the keys that are missing, for secrets and for seals; never replaces one. */
export function ensureKeys(dir: string): void {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  for (const name of keyNames) create(join(dir, `${name}.key`), () => randomBytes(keyBytes));
  ensureSealingKeys(dir);
}

/**
 * The deployment's root key, `root.key`, signs the keys that writers seal with. Whoever knows `root.pub` (raw keys in
 * base64, one per line: those of earlier roots, too) can check every seal.
 */
function ensureSealingKeys(dir: string): void {
  const rootFile = join(dir, 'root.key');
  if (create(rootFile, newPrivateKey)) {
    appendFileSync(join(dir, 'root.pub'), `${rawPublicKey(createPrivateKey(readFileSync(rootFile)))}\n`, {
      mode: 0o600,
    });
  }
  for (const writer of sealingWriters) {
    const file = join(dir, `${writer}.seal`);
    if (!create(`${file}.key`, newPrivateKey) && existsSync(`${file}.json`)) continue;
    const key = rawPublicKey(createPrivateKey(readFileSync(`${file}.key`)));
    writeFileSync(
      `${file}.json`,
      `${JSON.stringify(certify(createPrivateKey(readFileSync(rootFile)), writer, key))}\n`,
      {
        mode: 0o600,
      },
    );
  }
}

/** Whether the file was not there. */
function create(file: string, make: () => string | Buffer): boolean {
  if (existsSync(file)) return false;
  writeFileSync(file, make(), { mode: 0o600, flag: 'wx' });
  return true;
}

function newPrivateKey(): string {
  return generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}
