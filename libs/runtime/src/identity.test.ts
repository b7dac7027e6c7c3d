import assert from 'node:assert/strict';
import { createHmac, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { importJWK, type JWK, SignJWT } from 'jose';
import { audience, createVerifier, ensureLocalIssuer, localIssuer, mintToken, TokenError } from './identity.ts';

const dir = mkdtempSync(join(tmpdir(), 'sl-'));
let jwk: JWK;
let verify: ReturnType<typeof createVerifier>;

before(async () => {
  await ensureLocalIssuer(dir);
  jwk = JSON.parse(readFileSync(join(dir, 'issuer.jwk'), 'utf8')) as JWK;
  verify = createVerifier(dir);
});

after(() => rmSync(dir, { recursive: true }));

const now = Math.floor(Date.now() / 1000);
const claims = { iss: localIssuer, aud: audience, sub: 'a', groups: ['g'], iat: now, exp: now + 60 };

async function signed(payload: Record<string, unknown>, header: Record<string, unknown> = {}): Promise<string> {
  const key = await importJWK(jwk, 'ES256');
  return new SignJWT(payload).setProtectedHeader({ alg: 'ES256', kid: jwk.kid ?? '', ...header }).sign(key);
}

async function refused(token: string): Promise<void> {
  await assert.rejects(verify(token), (error: unknown) => {
    assert.ok(error instanceof TokenError);
    assert.ok(!error.message.includes(token), 'the token is not quoted');
    return true;
  });
}

test('a minted token names its agent, its groups and its end', async () => {
  const verified = await verify(await mintToken(dir, { agent: 'deployer', groups: ['a/b'], ttlSeconds: 60 }));
  assert.deepEqual(verified.agent, { name: 'deployer', issuer: localIssuer, groups: ['a/b'] });
  assert.ok(verified.expiresAtMs > Date.now());
});

test('making the issuer again keeps its keys', async () => {
  await ensureLocalIssuer(dir);
  assert.deepEqual(JSON.parse(readFileSync(join(dir, 'issuer.jwk'), 'utf8')), jwk);
});

const wrong: readonly (readonly [what: string, change: Record<string, unknown>])[] = [
  ['another issuer', { iss: 'https://evil.example' }],
  ['another audience', { aud: 'kubernetes' }],
  ['no audience', { aud: undefined }],
  ['no end', { exp: undefined }],
  ['an end in the past', { exp: now - 60 }],
  ['a beginning in the future', { nbf: now + 600 }],
  ['no subject', { sub: undefined }],
  ['an empty subject', { sub: '' }],
  ['no time of issue', { iat: undefined }],
  ['groups that are no list', { groups: 'system:masters' }],
];

for (const [what, change] of wrong) {
  test(`a token with ${what} is refused`, async () => {
    await refused(await signed(JSON.parse(JSON.stringify({ ...claims, ...change })) as Record<string, unknown>));
  });
}

test('a token that is a little late is still believed, within the tolerance', async () => {
  await verify(await signed({ ...claims, exp: now - 5 }));
});

test('a token without a signature, or with one of the public key as a secret, is refused', async () => {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  await refused(`${part({ alg: 'none' })}.${part(claims)}.`);
  const shared = readFileSync(join(dir, 'issuer.jwks'));
  const input = `${part({ alg: 'HS256', kid: jwk.kid })}.${part(claims)}`;
  await refused(`${input}.${createHmac('sha256', shared).update(input).digest('base64url')}`);
});

test('a token signed by another key, with its own key in the header, is refused', async () => {
  const { privateKey, publicKey }: { privateKey: KeyObject; publicKey: KeyObject } = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
  });
  const header = { alg: 'ES256', kid: jwk.kid ?? '', jwk: publicKey.export({ format: 'jwk' }) as JWK };
  await refused(await new SignJWT(claims).setProtectedHeader(header).sign(privateKey));
});

test('a token of more than 8 KiB is refused unread', async () => {
  await refused(`${'x'.repeat(9_000)}.y.z`);
});
