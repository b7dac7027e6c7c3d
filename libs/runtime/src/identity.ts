// Tokens: the local issuer that mints them, and the verifier that ingress trusts. The one module that uses jose.
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Agent } from '@sluice/model';
import { createLocalJWKSet, exportJWK, importJWK, type JSONWebKeySet, type JWK, jwtVerify, SignJWT } from 'jose';
import { ConfigError } from './env.ts';

/** `iss` of the tokens a local Sluice mints. */
export const localIssuer = 'https://local.sluice.internal';
/** `aud` that every token for Sluice names. */
export const audience = 'sluice';

const algorithm = 'ES256';
const privateFile = 'issuer.jwk';
const publicFile = 'issuer.jwks';
/** Longer ones are refused unread. */
const maxTokenBytes = 8 * 1024;
const clockToleranceSeconds = 30;

/** Makes the local issuer's key pair in `dir` where it is missing: `issuer.jwk` (0600) and `issuer.jwks`, the public half. */
export async function ensureLocalIssuer(dir: string): Promise<void> {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const kid = randomUUID();
  try {
    const secret = { ...(await exportJWK(privateKey)), kid, alg: algorithm };
    writeFileSync(join(dir, privateFile), JSON.stringify(secret), { mode: 0o600, flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return;
    throw error;
  }
  const shared = { keys: [{ ...(await exportJWK(publicKey)), kid, alg: algorithm, use: 'sig' }] };
  writeFileSync(join(dir, publicFile), JSON.stringify(shared), { mode: 0o644 });
}

/** Mints a token of the local issuer. Throws `ConfigError` when its key is not there. */
export async function mintToken(
  dir: string,
  claims: { readonly agent: string; readonly groups: readonly string[]; readonly ttlSeconds: number },
): Promise<string> {
  const file = join(dir, privateFile);
  let jwk: JWK;
  try {
    jwk = JSON.parse(readFileSync(file, 'utf8')) as JWK;
  } catch {
    throw new ConfigError(`cannot read ${file}; start Sluice once with \`npm start\`, as the same user`);
  }
  const now = Math.floor(Date.now() / 1000);
  return new SignJWT({ groups: [...claims.groups] })
    .setProtectedHeader({ alg: algorithm, kid: jwk.kid ?? '', typ: 'JWT' })
    .setIssuer(localIssuer)
    .setAudience(audience)
    .setSubject(claims.agent)
    .setJti(randomUUID())
    .setIssuedAt(now)
    .setExpirationTime(now + claims.ttlSeconds)
    .sign(await importJWK(jwk, algorithm));
}

/** Code `NotAuthenticated`: the token is not one to trust. The message says why without quoting it. */
export class TokenError extends Error {
  readonly code = 'NotAuthenticated';
}

/** A verified token: who it names and until when. */
export interface Verified {
  readonly agent: Agent;
  /** `exp`, milliseconds since the epoch. */
  readonly expiresAtMs: number;
}

/** Verifies tokens of the local issuer, whose public keys stand in `dir`. Throws `TokenError`. */
export function createVerifier(dir: string): (token: string) => Promise<Verified> {
  const file = join(dir, publicFile);
  let keys: ReturnType<typeof createLocalJWKSet>;
  try {
    keys = createLocalJWKSet(JSON.parse(readFileSync(file, 'utf8')) as JSONWebKeySet);
  } catch {
    throw new ConfigError(`cannot read the issuer's keys in ${file}; \`sluice up\` makes them`);
  }
  return async (token) => {
    if (token.length > maxTokenBytes) throw new TokenError('the token is over 8 KiB');
    try {
      const { payload } = await jwtVerify(token, keys, {
        issuer: localIssuer,
        audience,
        algorithms: [algorithm],
        clockTolerance: clockToleranceSeconds,
        requiredClaims: ['sub', 'exp', 'iat'],
      });
      const groups = payload['groups'] ?? [];
      if (typeof payload.sub !== 'string' || payload.sub === '') throw new TokenError('the token names nobody');
      if (!Array.isArray(groups) || !groups.every((group) => typeof group === 'string')) {
        throw new TokenError('the token has groups that are not a list of names');
      }
      return {
        agent: { name: payload.sub, issuer: localIssuer, groups },
        expiresAtMs: ((payload.exp ?? 0) + clockToleranceSeconds) * 1000,
      };
    } catch (error) {
      if (error instanceof TokenError) throw error;
      throw new TokenError(explain(error));
    }
  };
}

/** jose's error codes, as sentences. */
function explain(error: unknown): string {
  const code = (error as { code?: string }).code;
  if (code === 'ERR_JWT_EXPIRED') return 'the token has expired; ask for a new kubeconfig';
  if (code === 'ERR_JWT_CLAIM_VALIDATION_FAILED') return `the token is not for Sluice: ${(error as Error).message}`;
  return 'the token is not one of a configured issuer';
}
