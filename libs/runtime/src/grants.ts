import type { KeyObject } from 'node:crypto';
import type { Grant } from '@sluice/model';
import { openSigned, signJson } from './signed.ts';

/** A grant as it travels: signed, base64. */
export function signGrant(key: KeyObject, grant: Grant): string {
  return signJson(key, grant).toString('base64');
}

/** The grant in what `signGrant` made, or `null` when it is not one of this deployment's. */
export function openGrant(key: KeyObject, signed: string): Grant | null {
  return openSigned(key, Buffer.from(signed, 'base64')) as Grant | null;
}
