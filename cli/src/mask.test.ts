import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { after, test } from 'node:test';
import type { MaskPlace } from '@sluice/model';
import { type MaskTestOptions, testMasks } from './mask.ts';

const dir = mkdtempSync(join(tmpdir(), 'sl-'));
after(() => rmSync(dir, { recursive: true }));

const secret = 'a-secret-of-nobody';
const manifests = `# two
apiVersion: v1
kind: Secret
metadata: { name: web-db, namespace: shop }
stringData: { password: ${secret} }
---
kind: Deployment
apiVersion: apps/v1
metadata: { name: web }
spec:
  template:
    spec:
      containers: [{ name: main, env: [{ name: LEVEL, value: info }, { name: DB_PASSWORD, value: ${secret} }] }]
`;

async function masksOf(name: string, content: string, options: MaskTestOptions = {}): Promise<string> {
  const file = join(dir, name);
  writeFileSync(file, content);
  let written = '';
  const out = new Writable({
    write(chunk: Buffer, _, done) {
      written += chunk.toString();
      done();
    },
  });
  await testMasks(file, options, out);
  return written;
}

test('each mask has its place and its reason, and no value', async () => {
  assert.equal(
    await masksOf('a.yaml', manifests),
    `document 1, Secret shop/web-db .stringData.password: value of a Secret (18 bytes)
document 2, Deployment web .spec.template.spec.containers[0].env[1].value: name DB_PASSWORD (18 bytes)
2 values masked
`,
  );
});

test('as JSON they have stable keys', async () => {
  const [first] = JSON.parse(await masksOf('a.yaml', manifests, { json: true })) as MaskPlace[];
  assert.deepEqual(first, {
    document: 1,
    kind: 'Secret',
    namespace: 'shop',
    name: 'web-db',
    path: '.stringData.password',
    why: 'value of a Secret',
    bytes: 18,
  });
});

test('what an agent would see can be shown', async () => {
  const shown = await masksOf('a.yaml', manifests, { show: true });
  assert.ok(!shown.includes(secret));
  assert.match(shown, /"password": "sluice-mask:v1:/);
});

test('a text is looked at line by line', async () => {
  const content = `ready\nlogin with password=${secret} now\n`;
  assert.equal(await masksOf('a.log', content), '2:21: detector assigned (18 bytes)\n1 value masked\n');
  assert.equal(await masksOf('a.any', content, { text: true }), '2:21: detector assigned (18 bytes)\n1 value masked\n');
});

test('a file that is none, or cannot be read, is one line with a way out', async () => {
  await assert.rejects(masksOf('b.yaml', 'a: [1'), /neither JSON nor YAML: .*; --text looks at it as a text$/);
  await assert.rejects(testMasks(join(dir, 'missing'), {}, process.stdout), /cannot be read \(ENOENT\); name a file/);
});
