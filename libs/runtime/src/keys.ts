import { createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigError, type Env, required } from './env.ts';

/**
 * The symmetric keys of a deployment, 32 random bytes each, in `SLUICE_KEYS_DIR/<name>.key` (0600).
 *
 * - `decisions`: HMAC on decisions; policy signs, ingress checks.
 * - `raw`: seals raw bytes between ingress and masking.
 * - `masks`: tags of masks; only masking reads it.
 * - `digests`: digests of raw requests and ids of sessions; only ingress reads it.
 */
export const keyNames = ['decisions', 'raw', 'masks', 'digests'] as const;
export type KeyName = (typeof keyNames)[number];

const keyBytes = 32;

/**
 * Reads a key. A `KeyObject`, because Node prepares a key given as bytes anew for every HMAC: 8.9 µs instead of 1.6.
 * Throws `ConfigError` when the file is missing or not exactly 32 bytes.
 */
export function loadKey(env: Env, name: KeyName): KeyObject {
  const file = join(required(env, 'SLUICE_KEYS_DIR'), `${name}.key`);
  let key: Buffer;
  try {
    key = readFileSync(file);
  } catch {
    throw new ConfigError(`cannot read the key ${file}; \`sluice up\` makes it`);
  }
  if (key.length !== keyBytes) throw new ConfigError(`${file} holds ${key.length} bytes; a key has ${keyBytes}`);
  return createSecretKey(key);
}

/** Makes the keys that are missing; never replaces one. */
export function ensureKeys(dir: string): void {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  for (const name of keyNames) {
    try {
      writeFileSync(join(dir, `${name}.key`), randomBytes(keyBytes), { mode: 0o600, flag: 'wx' });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
}
