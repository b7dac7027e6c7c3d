// The text that stands in place of a secret. Pure.
import { createHmac, createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import type { MaskRequest } from '@sluice/model';

/** The mask of a value, `sluice-mask:v1:<kid>:<tag>`. */
export type NewMask = (secret: Buffer) => string;

/** Shorter values could be guessed from their tag: they get a random one. Bytes. */
const minTaggedBytes = 12;
const tagBytes = 12;

/**
 * `key`: 32 bytes; tags derive from it. Equal values look equal to one agent, and nobody can compare across agents.
 */
export function createMaskValues(key: KeyObject): (agent: MaskRequest['agent']) => NewMask {
  const kid = createHmac('sha256', key).update('kid').digest('hex').slice(0, 8);
  return (agent) => {
    let agentKey: KeyObject | undefined;
    return (secret) => {
      let tag = randomBytes(tagBytes);
      if (secret.length >= minTaggedBytes) {
        agentKey ??= keyOf(key, agent);
        tag = createHmac('sha256', agentKey).update(secret).digest().subarray(0, tagBytes);
      }
      return `sluice-mask:v1:${kid}:${tag.toString('base64url')}`;
    };
  };
}

function keyOf(key: KeyObject, { issuer, name }: MaskRequest['agent']): KeyObject {
  return createSecretKey(
    createHmac('sha256', key)
      .update(JSON.stringify([issuer, name]))
      .digest(),
  );
}
