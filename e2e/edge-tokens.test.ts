// Case 39, the part about tokens: what is not a token of the issuer, for Sluice, for now, is nobody, over h1 and h2.
import assert from 'node:assert/strict';
import { createHmac, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { ask, Edge, filesUnder, type Protocol, protocols, until } from '@sluice/testing';

const web = '/api/v1/namespaces/shop/configmaps/web';
let edge: Edge;
let issuer: { readonly key: KeyObject; readonly kid: string };
const attacker = generateKeyPairSync('ec', { namedCurve: 'P-256' });
/** What a header of a token might make somebody fetch. */
const bait = createServer();
let baited = 0;

before(async () => {
  edge = await Edge.open();
  const jwk = JSON.parse(readFileSync(join(edge.sluice.home, 'keys', 'issuer.jwk'), 'utf8')) as { kid: string };
  issuer = { key: createPrivateKey({ key: jwk, format: 'jwk' }), kid: jwk.kid };
  bait.on('connection', (socket) => {
    baited++;
    socket.destroy();
  });
  bait.listen(0, '127.0.0.1');
  await once(bait, 'listening');
});

after(async () => {
  bait.close();
  await edge?.close();
});

type Json = Readonly<Record<string, unknown>>;

const now = (): number => Math.floor(Date.now() / 1000);

function claims(changes: Json = {}): Json {
  const times = { iat: now(), exp: now() + 600 };
  return {
    iss: 'https://local.sluice.internal',
    aud: 'sluice',
    sub: 'demo',
    groups: [],
    jti: 'x',
    ...times,
    ...changes,
  };
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

/** A token signed as ES256 signs (RFC 7518, 3.4), whatever its header says. */
function signed(changes: Json = {}, header: Json = {}, key: KeyObject = issuer.key): string {
  const input = `${encode({ alg: 'ES256', kid: issuer.kid, typ: 'JWT', ...header })}.${encode(claims(changes))}`;
  return `${input}.${sign('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
}

/** A token signed with HMAC, keyed with what everybody knows: the public key. */
function keyedWithPublicKey(format: 'pem' | 'der' | 'jwk'): string {
  const key = createPublicKey(issuer.key);
  const known = {
    jwk: () => JSON.stringify(key.export({ format: 'jwk' })),
    pem: () => key.export({ type: 'spki', format: 'pem' }),
    der: () => key.export({ type: 'spki', format: 'der' }),
  }[format]();
  const input = `${encode({ alg: 'HS256', kid: issuer.kid, typ: 'JWT' })}.${encode(claims())}`;
  return `${input}.${createHmac('sha256', known).update(input).digest('base64url')}`;
}

const publicJwk = (): Json => ({ ...attacker.publicKey.export({ format: 'jwk' }), kid: 'mine', alg: 'ES256' });
const baitUrl = (): string => `http://127.0.0.1:${(bait.address() as AddressInfo).port}/keys`;

const forgeries: Readonly<Record<string, () => string>> = {
  'no token': () => '',
  'not a token': () => 'a.b.c',
  'alg none without a signature': () => `${encode({ alg: 'none', typ: 'JWT' })}.${encode(claims())}.`,
  'alg None with a signature': () => signed({}, { alg: 'None' }),
  'no alg': () => signed({}, { alg: undefined }),
  'HS256 with the public key, PEM': () => keyedWithPublicKey('pem'),
  'HS256 with the public key, DER': () => keyedWithPublicKey('der'),
  'HS256 with the public key, JWK': () => keyedWithPublicKey('jwk'),
  'ES384 in the header': () => signed({}, { alg: 'ES384' }),
  'the signature of somebody else': () => signed({}, {}, attacker.privateKey),
  'the signature cut off': () => signed().replace(/[^.]+$/, ''),
  'a signature of zeros': () => signed().replace(/[^.]+$/, Buffer.alloc(64).toString('base64url')),
  'the claims of another token': () => signed().replace(/\.[^.]+\./, `.${encode(claims({ sub: 'admin' }))}.`),
  'no exp': () => signed({ exp: undefined }),
  'exp as words': () => signed({ exp: 'never' }),
  'no iat': () => signed({ iat: undefined }),
  'no sub': () => signed({ sub: undefined }),
  'an empty sub': () => signed({ sub: '' }),
  'a sub that is a list': () => signed({ sub: ['demo'] }),
  'groups that are no list of names': () => signed({ groups: 'system:masters' }),
  'no aud': () => signed({ aud: undefined }),
  'another aud': () => signed({ aud: 'https://kubernetes.default.svc' }),
  'aud in other letters': () => signed({ aud: 'Sluice' }),
  'no iss': () => signed({ iss: undefined }),
  'another iss': () => signed({ iss: 'https://evil' }),
  'iss with a slash more': () => signed({ iss: 'https://local.sluice.internal/' }),
  'nbf in the future': () => signed({ nbf: now() + 300 }),
  'exp in the past, beyond the skew': () => signed({ exp: now() - 60 }),
  'a kid that is a path': () => signed({}, { kid: '../../../../dev/null' }, attacker.privateKey),
  'a kid that is a file': () => signed({}, { kid: 'file:///dev/null' }, attacker.privateKey),
  'a kid that is a query': () => signed({}, { kid: "x' or '1'='1" }, attacker.privateKey),
  'a kid nobody has': () => signed({}, { kid: 'mine' }),
  'a kid that is an object': () => signed({}, { kid: { a: 1 } }, attacker.privateKey),
  'a key in the header': () => signed({}, { jwk: publicJwk(), kid: 'mine' }, attacker.privateKey),
  'a key in the header, under the issuer\u2019s kid': () => signed({}, { jwk: publicJwk() }, attacker.privateKey),
  'a jku': () => signed({}, { jku: baitUrl(), kid: 'mine' }, attacker.privateKey),
  'a jku, under the issuer\u2019s kid': () => signed({}, { jku: baitUrl() }, attacker.privateKey),
  'an x5u': () => signed({}, { x5u: baitUrl() }, attacker.privateKey),
  'a crit that nobody knows': () => signed({}, { crit: ['exp'], exp: 1 }),
  'an empty crit': () => signed({}, { crit: [] }),
  'an unencoded payload (RFC 7797)': () => signed({}, { crit: ['b64'], b64: false }),
  'a JWE': () => `${encode({ alg: 'dir', enc: 'A256GCM' })}..${encode({})}.${encode({})}.${encode({})}`,
  'a compressed token': () => signed({}, { zip: 'DEF' }).slice(0, -4),
  'a JWS in JSON': () => encode({ payload: encode(claims()), signatures: [] }),
  'a token over 8 KiB': () => signed({ pad: 'x'.repeat(8 * 1024) }),
};

/** Everything that was tried, to be looked for afterwards. */
const tried = new Set<string>();

for (const protocol of protocols) {
  for (const [what, make] of Object.entries(forgeries)) {
    test(`case 39, ${protocol}: ${what}: nobody`, async () => {
      const token = make();
      if (token.length > 20) tried.add(token);
      await edge.refused(protocol, { target: web, authorization: `Bearer ${token}` }, 'NotAuthenticated');
    });
  }

  test(`case 39, ${protocol}: within the skew a token still counts, and one kid less does not matter`, async () => {
    for (const token of [signed({ exp: now() - 5 }), signed({ nbf: now() + 5 }), signed({}, { kid: undefined })])
      await edge.passes(protocol, { target: web, authorization: `Bearer ${token}` });
  });

  test(`case 39, ${protocol}: a token anywhere but in one Authorization header is refused`, async () => {
    await refusedElsewhere(protocol);
  });
}

async function refusedElsewhere(protocol: Protocol): Promise<void> {
  const token = signed();
  tried.add(token);
  const bearer = ['authorization', `Bearer ${token}`] as const;
  await edge.refused(protocol, { target: web, authorization: `Bearer ${token}`, headers: [bearer] });
  await edge.refused(protocol, { target: web, authorization: 'Bearer x', headers: [bearer] });
  await edge.refused(protocol, { target: web, authorization: `Bearer ${token}, Bearer x` }, 'NotAuthenticated');
  await edge.refused(protocol, { target: web, authorization: `Basic ${token}` }, 'NotAuthenticated');
  for (const name of ['access_token', 'token']) {
    await edge.refused(protocol, { target: `${web}?${name}=${token}`, authorization: '' });
    await edge.refused(protocol, { target: `${web}?${name}=${token}` });
  }
  await edge.refused(
    protocol,
    { target: web, authorization: '', headers: [['cookie', `token=${token}`]] },
    'NotAuthenticated',
  );
}

test('case 39: a token that was verified is nobody once it has expired', async () => {
  // Eight seconds before the end of the skew, so that it is verified, and then in the cache.
  const authorization = `Bearer ${signed({ exp: now() - 22 })}`;
  await edge.passes('h1', { target: web, authorization });
  await until(
    'the token to expire',
    async () => (await ask(edge.sluice, 'h1', { target: web, authorization })).status === 401,
  );
});

test('case 39: nothing was fetched, and no token that was tried stands anywhere', () => {
  assert.equal(baited, 0);
  for (const { file, bytes } of filesUnder(edge.sluice.home)) {
    for (const token of tried) assert.ok(!bytes.includes(token), file);
  }
  for (const token of tried) assert.ok(!edge.sluice.output.includes(token));
});
