// Raw bytes: as the agent or the cluster sent them, before masking. Only ingress and masking may
// import this module (checked by `npm run boundaries`), and between them the bytes travel sealed.
import { createCipheriv, createDecipheriv, type KeyObject, randomBytes } from 'node:crypto';

declare const rawBrand: unique symbol;

/** Bytes that may hold secrets. Nothing that logs, records or publishes takes this type. */
export type Raw = Buffer & { readonly [rawBrand]: true };

/** Marks bytes as raw, where they enter: a socket, or a seal that was opened. */
export function raw(bytes: Buffer): Raw {
  return bytes as Raw;
}

/** Code `SealBroken`: not sealed by this deployment's key, or not for this place in the conversation. */
export class SealError extends Error {
  readonly code = 'SealBroken';
}

/** What a sealed message is bound to, so that one cannot be passed off as another. */
export type SealContext =
  | { readonly kind: 'request' }
  | { readonly kind: 'reply'; readonly to: Uint8Array }
  | { readonly kind: 'shown'; readonly to: Uint8Array };

const nonceBytes = 12;
const tagBytes = 16;

/** AES-256-GCM: nonce ‖ tag ‖ ciphertext. */
export function seal(key: KeyObject, context: SealContext, parts: readonly Uint8Array[]): Buffer {
  const nonce = newNonce();
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  cipher.setAAD(associated(context));
  const sealed: Buffer[] = [nonce, nonce];
  for (const part of parts) sealed.push(cipher.update(part));
  sealed.push(cipher.final());
  sealed[1] = cipher.getAuthTag();
  return Buffer.concat(sealed);
}

let drawn = Buffer.alloc(0);

/** Random bytes are drawn for many nonces at once: each draw is a job of its own. No byte is given out twice. */
function newNonce(): Buffer {
  if (drawn.length === 0) drawn = randomBytes(nonceBytes * 256);
  const nonce = drawn.subarray(0, nonceBytes);
  drawn = drawn.subarray(nonceBytes);
  return nonce;
}

/** Opens what `seal` made. Throws `SealError`. */
export function openSeal(key: KeyObject, context: SealContext, sealed: Uint8Array): Raw {
  if (sealed.byteLength < nonceBytes + tagBytes) throw new SealError('too short');
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, nonceBytes));
  decipher.setAAD(associated(context));
  decipher.setAuthTag(sealed.subarray(nonceBytes, nonceBytes + tagBytes));
  try {
    const opened = decipher.update(sealed.subarray(nonceBytes + tagBytes));
    decipher.final();
    return raw(opened);
  } catch {
    throw new SealError('the seal does not hold');
  }
}

/** The nonce of a sealed request: its reply is bound to it. */
export function sealNonce(sealed: Uint8Array): Uint8Array {
  return sealed.subarray(0, nonceBytes);
}

function associated(context: SealContext): Uint8Array {
  switch (context.kind) {
    case 'request':
      return labels.request;
    case 'reply':
      return Buffer.concat([labels.reply, context.to]);
    case 'shown':
      return Buffer.concat([labels.shown, context.to]);
  }
}

const labels = {
  request: Buffer.from('sluice raw request'),
  reply: Buffer.from('sluice raw reply '),
  shown: Buffer.from('sluice shown '),
} as const satisfies Record<SealContext['kind'], Buffer>;
