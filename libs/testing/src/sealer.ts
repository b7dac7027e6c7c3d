// Keys to seal ledgers with, of a test's own.
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { certify, rawPublicKey } from '@sluice/model';
import type { Sealer } from '@sluice/runtime';

/** A root key of a test. */
export function newRoot(): { readonly privateKey: KeyObject; readonly publicKey: string } {
  const { privateKey } = generateKeyPairSync('ed25519');
  return { privateKey, publicKey: rawPublicKey(privateKey) };
}

/** A writer's key, certified by a root. */
export function newSealer(writer: string, root = newRoot()): Sealer {
  const { privateKey } = generateKeyPairSync('ed25519');
  return { privateKey, key: certify(root.privateKey, writer, rawPublicKey(privateKey)) };
}
