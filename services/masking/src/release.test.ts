import assert from 'node:assert/strict';
import { createSecretKey } from 'node:crypto';
import { test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { createMasker } from './mask.ts';
import { manifestValues } from './release.ts';

const masker = createMasker(createSecretKey(Buffer.alloc(32, 7)));
const request = {
  agent: { issuer: 'https://id.example', name: 'a' },
  apiGroup: '',
  resource: 'secrets',
  subresource: '',
  form: 'object',
  direction: 'shown',
  rules: [],
} as const;
const base64 = (text: string | Buffer): string => Buffer.from(text).toString('base64');
const secret = 'planted-in-a-release';

const manifest = `---
# Source: web/templates/secret.yaml
apiVersion: v1
kind: Secret
metadata:
  name: web
data:
  password: ${base64(secret)}
  "quoted": "${base64(`x${secret}`)}"
stringData:
  plain: ${secret}
  block: |
    first ${secret}
    second ${secret}

  folded: first
    ${secret}
type: Opaque
---
kind: ConfigMap
apiVersion: v1
data:
  level: info
---
{"apiVersion": "v1", "kind": "Secret", "stringData": {"a": "${secret}"}}
`;

const release = {
  name: 'web',
  version: 3,
  config: { replicas: 3, db: { password: secret, user: 'web' } },
  chart: { values: { auth: { rootPassword: secret }, image: 'web:1' } },
  manifest,
  hooks: [{ name: 'h', manifest: `kind: Secret\nstringData:\n  a: ${secret}\n` }],
};

function inSecret(data: string): string {
  return JSON.stringify({ kind: 'Secret', type: 'helm.sh/release.v1', data: { release: data } });
}

function mask(text: string): { readonly release: string; readonly text: string } {
  const masked = masker.mask(request, Buffer.from(text)).bytes.toString();
  return { release: (JSON.parse(masked) as { data: { release: string } }).data.release, text: masked };
}

function unpacked(data: string): typeof release {
  const packed = Buffer.from(Buffer.from(data, 'base64').toString(), 'base64');
  return JSON.parse(gunzipSync(packed).toString()) as typeof release;
}

const packed = base64(base64(gzipSync(JSON.stringify(release))));

test('a release is masked from the inside: it stays a release, and the rest of it stays', () => {
  const result = unpacked(mask(inSecret(packed)).release);
  const text = JSON.stringify(result);
  for (const form of [secret, base64(secret), base64(`x${secret}`).slice(4, 20)]) assert.ok(!text.includes(form), text);
  assert.deepEqual([result.name, result.version, result.config.replicas, result.config.db.user], ['web', 3, 3, 'web']);
  assert.match(result.config.db.password, /^sluice-mask:v1:/);
  assert.match(result.chart.values.auth.rootPassword, /^sluice-mask:v1:/);
  assert.match(result.manifest, /^kind: ConfigMap\napiVersion: v1\ndata:\n {2}level: info$/m);
  assert.match(result.manifest, /^ {2}password: c2x1aWNlLW1hc2s6/m);
  assert.match(result.manifest, /^ {2}plain: sluice-mask:v1:/m);
  assert.match(result.manifest, /^ {2}block: \|\n {4}sluice-mask:v1:/m);
});

test('a second time changes nothing', () => {
  const { text } = mask(inSecret(packed));
  assert.equal(mask(text).text, text);
});

for (const [what, data] of [
  ['that is none', base64('not a release')],
  ['that is no gzip', base64(base64('not gzip'))],
  ['whose gzip is broken', base64(base64(gzipSync('{}').subarray(0, 12)))],
  ['that is no JSON', base64(base64(gzipSync(`nothing but ${secret}`)))],
  ['that unpacks to more than anybody keeps', base64(base64(gzipSync(Buffer.alloc(40 * 1024 * 1024))))],
] as const) {
  test(`a release ${what} is masked as a whole`, () => {
    assert.match(Buffer.from(mask(inSecret(data)).release, 'base64').toString(), /^sluice-mask:v1:/);
  });
}

test('values in manifests are found where they stand', () => {
  const texts = manifestValues(manifest).map(({ start, end, encoding }) => [encoding, manifest.slice(start, end)]);
  assert.deepEqual(texts, [
    ['base64', base64(secret)],
    ['base64', `"${base64(`x${secret}`)}"`],
    ['plain', secret],
    ['plain', `first ${secret}\n    second ${secret}`],
    ['plain', `first\n    ${secret}`],
    ['plain', manifest.slice(manifest.lastIndexOf('---')).trimEnd()],
  ]);
});
