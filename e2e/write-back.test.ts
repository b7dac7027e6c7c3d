// Case 36, first half: a mask that is written back is refused with 422 in every encoding and by every verb, over h1 and h2,
// and the cluster sees nothing of it.
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import {
  ask,
  openScripted,
  protocols,
  reasonCode,
  removeScratch,
  type ScriptedCluster,
  Sluice,
  scratch,
} from '@sluice/testing';

const dir = scratch();
const secrets = '/api/v1/namespaces/shop/secrets';
/** Of a key that this Sluice never had. */
const mask = 'sluice-mask:v1:0123abcd:AbCdEfGhIjKlMnOp';
const base64 = (text: string | Buffer): string => Buffer.from(text).toString('base64');
const object = (data: object): string =>
  JSON.stringify({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'web' }, data });
let cluster: ScriptedCluster;
let sluice: Sluice;

before(async () => {
  cluster = await openScripted(dir);
  sluice = await Sluice.start({ home: `${dir}/home`, flags: ['--kubeconfig', cluster.kubeconfig] });
});

after(async () => {
  await sluice?.stop();
  await cluster?.close();
  removeScratch(dir);
});

beforeEach(() => {
  cluster.requests.length = 0;
});

const json = 'application/json';
const writes: readonly (readonly [what: string, method: string, target: string, type: string, body: string])[] = [
  ['a create', 'POST', secrets, json, object({ a: base64(mask) })],
  ['a create that only pretends', 'POST', `${secrets}?dryRun=All`, json, object({ a: base64(mask) })],
  ['an update', 'PUT', `${secrets}/web`, json, object({ a: base64(mask) })],
  [
    'an update from YAML',
    'PUT',
    `${secrets}/web`,
    'application/yaml',
    `kind: Secret\napiVersion: v1\nmetadata: {name: web}\nstringData:\n  a: "sluice\\x2dmask:v1:x"\n`,
  ],
  [
    'a merge patch',
    'PATCH',
    `${secrets}/web`,
    'application/merge-patch+json',
    JSON.stringify({ stringData: { a: mask } }),
  ],
  [
    'a strategic merge patch',
    'PATCH',
    `${secrets}/web`,
    'application/strategic-merge-patch+json',
    JSON.stringify({ data: { a: base64(mask) } }),
  ],
  [
    'a JSON patch',
    'PATCH',
    `${secrets}/web`,
    'application/json-patch+json',
    JSON.stringify([{ op: 'replace', path: '/data/a', value: base64(mask) }]),
  ],
  [
    'a server-side apply',
    'PATCH',
    `${secrets}/web?fieldManager=a`,
    'application/apply-patch+yaml',
    `kind: Secret\napiVersion: v1\nmetadata: {name: web}\ndata: {a: ${base64(mask)}}\n`,
  ],
  [
    'protobuf',
    'POST',
    secrets,
    'application/vnd.kubernetes.protobuf',
    `k8s\0\n\u000c\n\u0002v1\u0012\u0006Secret\u0012\u0002${mask}`,
  ],
  [
    'a manifest last applied',
    'PUT',
    `${secrets}/web`,
    json,
    JSON.stringify({
      metadata: { annotations: { 'kubectl.kubernetes.io/last-applied-configuration': object({ a: base64(mask) }) } },
    }),
  ],
  ['a file with a mask in it', 'PUT', `${secrets}/web`, json, object({ '.env': base64(`A=1\nPASSWORD=${mask}\n`) })],
  [
    'a Helm release',
    'PUT',
    `${secrets}/web`,
    json,
    object({ release: base64(base64(gzipSync(`{"config":{"a":"${mask}"}}`))) }),
  ],
  ['escapes', 'PUT', `${secrets}/web`, json, `{"stringData":{"a":"\\u0073luice-mask:v1:x"}}`],
  ['another resource', 'POST', '/api/v1/namespaces/shop/configmaps', json, JSON.stringify({ data: { a: mask } })],
];

for (const protocol of protocols) {
  for (const [what, method, target, type, body] of writes) {
    test(`case 36, ${protocol}: a mask in ${what} is refused, with what to do instead`, async () => {
      const answered = await ask(sluice, protocol, { method, target, headers: [['content-type', type]], body });
      assert.equal(answered.status, 422, answered.body);
      assert.equal(reasonCode({ ...answered, headers: {} }), 'MaskedValueWritten');
      assert.match(answered.body, /Send only the fields that change/);
      assert.ok(!answered.body.includes(mask));
      assert.deepEqual(cluster.requests, []);
    });
  }

  test(`case 36, ${protocol}: what holds no mask goes on`, async () => {
    const headers = [['content-type', json]] as const;
    const answered = await ask(sluice, protocol, {
      method: 'PUT',
      target: `${secrets}/web`,
      headers,
      body: object({ a: base64('x') }),
    });
    assert.equal(answered.status, 200, answered.body);
    assert.equal(cluster.requests.length, 1);
  });
}
