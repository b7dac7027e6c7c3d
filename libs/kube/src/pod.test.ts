import assert from 'node:assert/strict';
import { test } from 'node:test';
import { podSecrets, podWithoutStatus } from './pod.ts';

const ownTokenPath = '/var/run/secrets/kubernetes.io/serviceaccount';

test('every way in which a pod refers to a Secret is found, each name once', () => {
  const withEnv = (name: string): object => ({
    env: [
      { name: 'A', valueFrom: { secretKeyRef: { name, key: 'k' } } },
      { name: 'B', value: 'x' },
      { name: 'C', valueFrom: { configMapKeyRef: { name: 'config', key: 'k' } } },
    ],
    envFrom: [{ secretRef: { name: `${name}-all` } }, { configMapRef: { name: 'config' } }],
  });
  const volumes = [
    { name: 'a', secret: { secretName: 'vol' } },
    { name: 'b', projected: { sources: [{ secret: { name: 'projected' } }, { configMap: { name: 'config' } }] } },
    { name: 'c', csi: { driver: 'x', nodePublishSecretRef: { name: 'csi' } } },
    { name: 'd', azureFile: { secretName: 'azure' } },
    ...['cephfs', 'cinder', 'flexVolume', 'iscsi', 'rbd', 'scaleIO', 'storageos'].map((driver) => ({
      name: driver,
      [driver]: { secretRef: { name: driver.toLowerCase() } },
    })),
    { name: 'e', configMap: { name: 'config' } },
  ];
  const spec = {
    containers: [withEnv('env'), withEnv('env')],
    initContainers: [withEnv('init')],
    ephemeralContainers: [withEnv('ephemeral')],
    volumes,
    imagePullSecrets: [{ name: 'pull' }],
  };
  assert.deepEqual(podSecrets({ spec }), [
    'azure',
    'cephfs',
    'cinder',
    'csi',
    'env',
    'env-all',
    'ephemeral',
    'ephemeral-all',
    'flexvolume',
    'init',
    'init-all',
    'iscsi',
    'projected',
    'pull',
    'rbd',
    'scaleio',
    'storageos',
    'vol',
  ]);
});

test('the token of the service account does not count, unless it is mounted elsewhere too', () => {
  const token = 'default-token-x7k2p';
  const pod = (secretName: string, mountPaths: readonly string[], account?: string): unknown => ({
    spec: {
      ...(account !== undefined && { serviceAccountName: account }),
      containers: mountPaths.map((mountPath) => ({ volumeMounts: [{ name: 'token', mountPath }] })),
      volumes: [{ name: 'token', secret: { secretName } }],
    },
  });
  assert.deepEqual(podSecrets(pod(token, [ownTokenPath, ownTokenPath])), []);
  assert.deepEqual(podSecrets(pod('web-token-x7k2p', [ownTokenPath], 'web')), []);
  assert.deepEqual(podSecrets(pod(token, [ownTokenPath, '/token'])), [token]);
  assert.deepEqual(podSecrets(pod(token, [])), [token]);
  // What only lies where a token would.
  assert.deepEqual(podSecrets(pod(token, [ownTokenPath], 'web')), [token]);
  for (const other of ['db', 'default-token-admin', 'default-token-']) {
    assert.deepEqual(podSecrets(pod(other, [ownTokenPath])), [other]);
  }
});

test('what is added to a pod is of it: its Secrets count, and a token that it mounts elsewhere', () => {
  const added = (container: object): object => ({ spec: { ephemeralContainers: [container] } });
  const pod = { spec: { containers: [{ envFrom: [{ secretRef: { name: 'own' } }] }] } };
  assert.deepEqual(podSecrets(pod, added({ envFrom: [{ secretRef: { name: 'db' } }] })), ['db', 'own']);
  assert.deepEqual(podSecrets(pod, added({})), ['own']);
  for (const nothing of [null, [], 'x', { spec: { ephemeralContainers: {} } }])
    assert.deepEqual(podSecrets(pod, nothing), ['own']);
  const name = 'default-token-x7k2p';
  const mounting = (mountPath: string): object => ({ volumeMounts: [{ name: 'token', mountPath }] });
  const spec = {
    volumes: [{ name: 'token', secret: { secretName: name } }],
    containers: [mounting(ownTokenPath)],
  };
  assert.deepEqual(podSecrets({ spec }, added(mounting(ownTokenPath))), []);
  assert.deepEqual(podSecrets({ spec }, added(mounting('/token'))), [name]);
});

test('what is no pod refers to no Secret', () => {
  const odd = [null, undefined, 1, 'x', [], {}, { spec: null }, { spec: { containers: {}, volumes: [null, 1, {}] } }];
  for (const pod of odd) assert.deepEqual(podSecrets(pod), []);
  assert.deepEqual(podSecrets({ spec: { imagePullSecrets: [{ name: 1 }, { name: '' }, 'x'] } }), []);
});

test('a pod loses its status and who manages its fields, and no other byte', () => {
  const spec = '"spec": {"a":1.0, "status":{"x":12345678901234567890},"managedFields":["\\u00e9"]}';
  const pod = `{ "status":{"phase":"x"},"kind":"Pod", "metadata": {"managedFields":[{"a":[1]}], "name":"p"} ,${spec}, "status":1}`;
  assert.equal(podWithoutStatus(Buffer.from(pod)).toString(), `{"kind":"Pod","metadata":{"name":"p"},${spec}}`);
  assert.equal(podWithoutStatus(Buffer.from('{"status":{}}')).toString(), '{}');
  assert.equal(podWithoutStatus(Buffer.from('{"metadata":null}')).toString(), '{"metadata":null}');
  for (const text of ['', '[]', '{"a":1}x', '{"a":}', 'null']) {
    assert.throws(() => podWithoutStatus(Buffer.from(text)), { code: 'BadJson' }, text);
  }
});
