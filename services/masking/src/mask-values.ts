// The text that stands in place of a secret. Pure.
import { createHmac, createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import type { MaskRequest } from '@sluice/model';

/** The mask of a value, `sluice-mask:v1:<kid>:<tag>`. */
export type NewMask = (secret: Buffer) => string;

/** Shorter values could be guessed from their tag: they get a random one. Bytes. */
const minTaggedBytes = 12;
const tagBytes = 12;
/** Keys of agents that are kept at hand. */
const maxKeys = 256;

/**
 * `key`: 32 bytes; tags derive from it. Equal values look equal to one agent, and nobody can compare across agents.
 */
export function createMaskValues(key: KeyObject): (agent: MaskRequest['agent']) => NewMask {
  const kid = createHmac('sha256', key).update('kid').digest('hex').slice(0, 8);
  const keys = new Map<string, KeyObject>();
  const keyOf = (agent: MaskRequest['agent']): KeyObject => {
    const name = JSON.stringify([agent.issuer, agent.name]);
    let agentKey = keys.get(name);
    if (agentKey === undefined) {
      agentKey = createSecretKey(createHmac('sha256', key).update(name).digest());
      if (keys.size >= maxKeys) keys.clear();
      keys.set(name, agentKey);
    }
    return agentKey;
  };
  return (agent) => {
    let agentKey: KeyObject | undefined;
    return (secret) => {
      if (secret.length < minTaggedBytes) return maskOf(kid, randomBytes(tagBytes));
      agentKey ??= keyOf(agent);
      return maskOf(kid, createHmac('sha256', agentKey).update(secret).digest().subarray(0, tagBytes));
    };
  };
}

function maskOf(kid: string, tag: Buffer): string {
  return `sluice-mask:v1:${kid}:${tag.toString('base64url')}`;
}
