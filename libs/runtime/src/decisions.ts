import type { KeyObject } from 'node:crypto';
import type { Decision } from '@sluice/model';
import { openSigned, signJson } from './signed.ts';

/** A decision as it travels, signed. Its JSON names the request's digest. */
export function signDecision(key: KeyObject, decision: Decision): Uint8Array {
  return signJson(key, decision);
}

/**
 * The decision in a reply, or `null` when it cannot be trusted: forged, for another request, or past
 * its `notAfter`.
 */
export function openDecision(key: KeyObject, reply: Uint8Array, digest: string, nowMs: number): Decision | null {
  const decision = openSigned(key, reply) as Decision | null;
  return decision !== null && decision.digest === digest && nowMs < decision.notAfter ? decision : null;
}
