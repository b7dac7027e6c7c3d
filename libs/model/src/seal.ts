import { createHash, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';

/**
 * Seals: Ed25519 signatures over the head of a ledger. Each writer signs with a key of its own, and the deployment's
 * root key signs those keys: who knows the root's public key can check every seal, and needs nothing else.
 */
export interface SealKey {
  /** The first 16 hex digits of SHA-256 over the public key. */
  readonly kid: string;
  /** Which service signs with it. */
  readonly writer: string;
  /** Raw Ed25519 public key, 32 bytes, base64. */
  readonly publicKey: string;
  /** The root's signature over writer and key, base64. */
  readonly certificate: string;
}

/** A frame's place in the record. */
export interface Head {
  readonly ledger: string;
  readonly seq: number;
  /** Hash of the frame, 64 hex digits. */
  readonly hash: string;
}

/** A signed head, as it stands in the second home: one JSON object per line. */
export interface SignedHead extends Head {
  /** ISO 8601, UTC: when the recorder had the seal at rest. */
  readonly at: string;
  readonly key: SealKey;
  /** Base64. */
  readonly signature: string;
}

/** Signs a head. Base64. */
export function signHead(privateKey: KeyObject, head: Head): string {
  return sign(null, headText(head), privateKey).toString('base64');
}

/** Whether a signature over a head is by that key. The key itself is checked by `certificateHolds`. */
export function sealHolds(key: SealKey, head: Head, signature: string): boolean {
  return holds(key.publicKey, headText(head), signature);
}

/** What the root signs to let a service sign with a key. Base64. */
export function certify(rootKey: KeyObject, writer: string, publicKey: string): SealKey {
  const certificate = sign(null, keyText(writer, publicKey), rootKey).toString('base64');
  return { kid: kidOf(publicKey), writer, publicKey, certificate };
}

/** Whether the root has signed a key. `rootPublicKey`: raw, base64. */
export function certificateHolds(rootPublicKey: string, key: SealKey): boolean {
  return key.kid === kidOf(key.publicKey) && holds(rootPublicKey, keyText(key.writer, key.publicKey), key.certificate);
}

/** The raw public key of an Ed25519 key, base64. */
export function rawPublicKey(key: KeyObject): string {
  return Buffer.from(createPublicKey(key).export({ format: 'jwk' }).x ?? '', 'base64url').toString('base64');
}

function kidOf(publicKey: string): string {
  return createHash('sha256').update(Buffer.from(publicKey, 'base64')).digest('hex').slice(0, 16);
}

function headText({ ledger, seq, hash }: Head): Buffer {
  return Buffer.from(`sluice seal v1\n${ledger}\n${seq}\n${hash}`);
}

function keyText(writer: string, publicKey: string): Buffer {
  return Buffer.from(`sluice seal key v1\n${writer}\n${publicKey}`);
}

function holds(publicKey: string, text: Buffer, signature: string): boolean {
  try {
    const jwk = { kty: 'OKP', crv: 'Ed25519', x: Buffer.from(publicKey, 'base64').toString('base64url') };
    return verify(null, text, createPublicKey({ key: jwk, format: 'jwk' }), Buffer.from(signature, 'base64'));
  } catch {
    return false;
  }
}
