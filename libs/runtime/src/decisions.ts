import { createHmac, type KeyObject, timingSafeEqual } from 'node:crypto';
import type { Decision } from '@sluice/model';

const macBytes = 32;

/** 32-byte HMAC-SHA256 ‖ decision as JSON. The HMAC is over the JSON's bytes, which name the request's digest. */
export function signDecision(key: KeyObject, decision: Decision): Uint8Array {
  const json = Buffer.from(JSON.stringify(decision));
  return Buffer.concat([mac(key, json), json]);
}

/**
 * The decision in a reply, or `null` when it cannot be trusted: forged, for another request, or past
 * its `notAfter`.
 */
export function openDecision(key: KeyObject, reply: Uint8Array, digest: string, nowMs: number): Decision | null {
  if (reply.byteLength <= macBytes) return null;
  const json = reply.subarray(macBytes);
  if (!timingSafeEqual(reply.subarray(0, macBytes), mac(key, json))) return null;
  const decision = JSON.parse(Buffer.from(json.buffer, json.byteOffset, json.byteLength).toString()) as Decision;
  return decision.digest === digest && nowMs < decision.notAfter ? decision : null;
}

function mac(key: KeyObject, json: Uint8Array): Buffer {
  return createHmac('sha256', key).update(json).digest();
}
