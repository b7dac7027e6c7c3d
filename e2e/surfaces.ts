// The surfaces on which secrets come by: one row each, with what is sent and what the cluster answers.
import { gzipSync } from 'node:zlib';
import type { ScriptedAnswer } from '@sluice/testing';

/** What a row plants: `secret` where a secret stands, `marker` where none does. */
export interface Planted {
  readonly secret: string;
  readonly marker: string;
  /** The `secret` of the first row, which has been shown masked. */
  readonly known: string;
}

export interface Surface {
  readonly name: string;
  /** Default: GET. */
  readonly method?: string;
  readonly path: string | ((planted: Planted) => string);
  readonly headers?: Readonly<Record<string, string>> | ((planted: Planted) => Readonly<Record<string, string>>);
  readonly sent?: (planted: Planted) => string;
  /** Default: an empty object with the marker in its name. */
  readonly answer?: (planted: Planted) => ScriptedAnswer | object;
  /** Default: 200. */
  readonly status?: number;
  /** The agent is to have the secret; only the record is not. */
  readonly delivered?: 'raw';
}

const core = '/api/v1/namespaces/shop';
const base64 = (text: string | Buffer): string => Buffer.from(text).toString('base64');
const metadata = ({ marker }: Planted, more: object = {}): object => ({ name: marker, namespace: 'shop', ...more });
const secretOf = (planted: Planted, more: object = {}): object => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: metadata(planted),
  data: { password: base64(planted.secret) },
  type: 'Opaque',
  ...more,
});
const object = (kind: string, planted: Planted, rest: object, apiVersion = 'v1'): object => ({
  apiVersion,
  kind,
  metadata: metadata(planted),
  ...rest,
});
const podOf = (planted: Planted, container: object): object =>
  object('Pod', planted, { spec: { containers: [{ name: 'main', image: 'web:1', ...container }] } });
const text = (body: string, more: Partial<ScriptedAnswer> = {}): ScriptedAnswer => ({
  headers: { 'content-type': 'text/plain' },
  body,
  ...more,
});
/** Three parts of base64url, as RFC 7519 has them; nobody signed it. */
const jwtOf = ({ secret }: Planted): string =>
  [{ alg: 'RS256', kid: 'demo' }, { iss: 'demo', sub: secret }, `signature of ${secret}`]
    .map((part) => Buffer.from(typeof part === 'string' ? part : JSON.stringify(part)).toString('base64url'))
    .join('.');
const release = (planted: Planted): string =>
  base64(
    base64(
      gzipSync(
        JSON.stringify({
          name: 'web',
          config: { db: { password: planted.secret } },
          manifest: `---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: web\nstringData:\n  key: ${planted.secret}\n`,
        }),
      ),
    ),
  );
const kubeconfig = ({ secret }: Planted): string =>
  `apiVersion: v1\nkind: Config\nusers:\n- name: admin\n  user:\n    token: ${secret}\n`;
const dockerConfig = ({ secret }: Planted): string =>
  JSON.stringify({ auths: { 'registry.example': { auth: base64(`robot:${secret}`) } } });
const json = { 'content-type': 'application/json' };
const tableAccept = { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json' };
const applied = (planted: Planted): object => ({
  annotations: { 'kubectl.kubernetes.io/last-applied-configuration': JSON.stringify(secretOf(planted)) },
});
const database = (planted: Planted, rest: object): object => object('Database', planted, rest, 'example.com/v1');
const databases = '/apis/example.com/v1/namespaces/shop/databases';

export const surfaces: readonly Surface[] = [
  { name: 'a Secret', path: `${core}/secrets/web`, answer: (p) => secretOf(p) },
  {
    name: 'a list of Secrets, whose items have no kind',
    path: `${core}/secrets`,
    answer: (p) => ({
      kind: 'SecretList',
      apiVersion: 'v1',
      metadata: {},
      items: [{ metadata: metadata(p), data: { password: base64(p.secret) } }],
    }),
  },
  {
    name: 'a watch on Secrets',
    path: `${core}/secrets?watch=true`,
    answer: (p) => ({
      body: ['ADDED', 'MODIFIED', 'DELETED']
        .map((type) => `${JSON.stringify({ type, object: secretOf(p) })}\n`)
        .join(''),
    }),
  },
  {
    name: 'the legacy watch',
    path: '/api/v1/watch/namespaces/shop/secrets',
    answer: (p) => ({ body: `${JSON.stringify({ type: 'ADDED', object: secretOf(p) })}\n` }),
  },
  {
    name: 'a Secret created',
    method: 'POST',
    path: `${core}/secrets`,
    sent: (p) => JSON.stringify(secretOf(p)),
    answer: secretOf,
  },
  {
    name: 'a Secret created from YAML',
    method: 'POST',
    path: `${core}/secrets`,
    headers: { 'content-type': 'application/yaml' },
    sent: (p) =>
      `kind: Secret\napiVersion: v1\nmetadata: { name: ${p.marker} }\nstringData: { password: ${p.secret} }\n`,
    answer: secretOf,
  },
  {
    name: 'a Secret updated',
    method: 'PUT',
    path: `${core}/secrets/web`,
    sent: (p) => JSON.stringify(secretOf(p)),
    answer: secretOf,
  },
  ...(['merge', 'strategic-merge'] as const).map(
    (kind): Surface => ({
      name: `a Secret patched, ${kind}`,
      method: 'PATCH',
      path: `${core}/secrets/web`,
      headers: { 'content-type': `application/${kind}-patch+json` },
      sent: (p) => JSON.stringify({ metadata: { labels: { a: p.marker } }, stringData: { password: p.secret } }),
      answer: secretOf,
    }),
  ),
  {
    name: 'a Secret patched, json-patch',
    method: 'PATCH',
    path: `${core}/secrets/web`,
    headers: { 'content-type': 'application/json-patch+json' },
    sent: (p) =>
      JSON.stringify([
        { op: 'replace', path: '/data/password', value: base64(p.secret) },
        { op: 'add', path: '/metadata/labels', value: { a: p.marker } },
      ]),
    answer: secretOf,
  },
  {
    name: 'a Secret applied by the server',
    method: 'PATCH',
    path: `${core}/secrets/web?fieldManager=test`,
    headers: { 'content-type': 'application/apply-patch+yaml' },
    sent: (p) =>
      `kind: Secret\napiVersion: v1\nmetadata: { name: ${p.marker} }\ndata: { password: ${base64(p.secret)} }\n`,
    answer: secretOf,
  },
  { name: 'a Secret deleted', method: 'DELETE', path: `${core}/secrets/web`, answer: secretOf },
  {
    name: 'a collection of Secrets deleted',
    method: 'DELETE',
    path: `${core}/secrets`,
    answer: (p) => ({
      kind: 'SecretList',
      apiVersion: 'v1',
      items: [{ metadata: metadata(p), data: { a: base64(p.secret) } }],
    }),
  },
  {
    name: 'a Secret under another resource\u2019s URL',
    path: `${core}/pods`,
    answer: (p) => ({ kind: 'List', apiVersion: 'v1', items: [secretOf(p)] }),
  },
  {
    name: 'a Table with whole objects',
    path: `${core}/secrets?includeObject=Object`,
    headers: tableAccept,
    answer: (p) => ({
      kind: 'Table',
      apiVersion: 'meta.k8s.io/v1',
      columnDefinitions: [{ name: 'Name', type: 'string' }],
      rows: [{ cells: [p.marker], object: secretOf(p) }],
    }),
  },
  {
    name: 'PartialObjectMetadata with the manifest last applied',
    path: `${core}/secrets/web`,
    headers: { accept: 'application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io' },
    answer: (p) => ({ kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: metadata(p, applied(p)) }),
  },
  {
    name: 'the manifest last applied, beside another kind',
    path: `${core}/pods/web`,
    answer: (p) => object('Pod', p, { metadata: metadata(p, applied(p)) }),
  },
  {
    name: 'managedFields with a value',
    path: `${core}/pods/web`,
    answer: (p) =>
      object('Pod', p, {
        metadata: metadata(p, {
          managedFields: [
            { manager: 'm', fieldsV1: { 'f:spec': { 'f:args': { [`v:"--password=${p.secret}"`]: {} } } } },
          ],
        }),
      }),
  },
  {
    name: 'a Table cell that prints a masked field',
    path: databases,
    headers: tableAccept,
    answer: (p) => ({
      kind: 'Table',
      apiVersion: 'meta.k8s.io/v1',
      columnDefinitions: [
        { name: 'Name', type: 'string' },
        { name: 'Passphrase', type: 'string' },
      ],
      rows: [{ cells: [p.marker, p.secret], object: database(p, { spec: { connection: { passphrase: p.secret } } }) }],
    }),
  },
  {
    name: 'a ConfigMap\u2019s entry with a secret\u2019s name',
    path: `${core}/configmaps/web`,
    answer: (p) => object('ConfigMap', p, { data: { DB_PASSWORD: p.secret, LOG_LEVEL: p.marker } }),
  },
  {
    name: 'a ConfigMap that holds a file of settings',
    path: `${core}/configmaps/web`,
    answer: (p) => object('ConfigMap', p, { data: { '.env': `LEVEL=${p.marker}\nDB_PASSWORD=${p.secret}\n` } }),
  },
  {
    name: 'a ConfigMap\u2019s binaryData',
    path: `${core}/configmaps/web`,
    answer: (p) => object('ConfigMap', p, { binaryData: { file: base64(`db.password=${p.secret}\n`) } }),
  },
  {
    name: 'a kubeconfig in a ConfigMap',
    path: `${core}/configmaps/web`,
    answer: (p) => object('ConfigMap', p, { data: { config: kubeconfig(p) } }),
  },
  {
    name: 'a ConfigMap sent',
    method: 'POST',
    path: `${core}/configmaps`,
    sent: (p) => JSON.stringify(object('ConfigMap', p, { data: { API_TOKEN: p.secret } })),
  },
  {
    name: 'an env value with a secret\u2019s name',
    path: `${core}/pods/web`,
    answer: (p) => podOf(p, { env: [{ name: 'DB_PASSWORD', value: p.secret }] }),
  },
  {
    name: 'an env value in a Deployment\u2019s template, sent',
    method: 'POST',
    path: '/apis/apps/v1/namespaces/shop/deployments',
    sent: (p) =>
      JSON.stringify(
        object(
          'Deployment',
          p,
          {
            spec: { template: { spec: { containers: [{ name: 'a', env: [{ name: 'API_KEY', value: p.secret }] }] } } },
          },
          'apps/v1',
        ),
      ),
  },
  {
    name: 'an env value by json-patch',
    method: 'PATCH',
    path: '/apis/apps/v1/namespaces/shop/deployments/web',
    headers: { 'content-type': 'application/json-patch+json' },
    sent: (p) =>
      JSON.stringify([
        { op: 'add', path: '/metadata/labels/a', value: p.marker },
        { op: 'add', path: '/spec/template/spec/containers/0/env/-', value: { name: 'DB_PASSWORD', value: p.secret } },
      ]),
  },
  {
    name: 'an argument',
    path: `${core}/pods/web`,
    answer: (p) => podOf(p, { args: ['serve', `--password=${p.secret}`] }),
  },
  {
    name: 'an argument after its flag',
    path: `${core}/pods/web`,
    answer: (p) => podOf(p, { command: ['serve', '--token', p.secret] }),
  },
  {
    name: 'a probe\u2019s header',
    path: `${core}/pods/web`,
    answer: (p) =>
      podOf(p, {
        livenessProbe: {
          httpGet: { path: '/', httpHeaders: [{ name: 'Authorization', value: `Bearer ${p.secret}` }] },
        },
      }),
  },
  {
    name: 'an annotation',
    path: `${core}/pods/web`,
    answer: (p) => object('Pod', p, { metadata: metadata(p, { annotations: { note: jwtOf(p) } }) }),
  },
  {
    name: 'a custom field by the path of a rule',
    path: `${databases}/web`,
    answer: (p) =>
      database(p, { spec: { connection: { passphrase: p.secret } }, status: { users: [{ pin: p.secret }] } }),
  },
  {
    name: 'a custom field by its name in a rule',
    path: `${databases}/web`,
    answer: (p) => database(p, { spec: { deep: [{ 'main-dsn': p.secret }] } }),
  },
  {
    name: 'a custom field sent, by the path of a rule',
    method: 'PUT',
    path: `${databases}/web`,
    sent: (p) => JSON.stringify(database(p, { spec: { connection: { passphrase: p.secret } } })),
  },
  {
    name: 'a Secret inside a custom object',
    path: '/apis/example.com/v1/namespaces/shop/bundles/web',
    answer: (p) => object('Bundle', p, { spec: { objects: [secretOf(p)] } }, 'example.com/v1'),
  },
  {
    name: 'a token that the cluster makes',
    method: 'POST',
    path: `${core}/serviceaccounts/web/token`,
    sent: () => JSON.stringify({ kind: 'TokenRequest', apiVersion: 'authentication.k8s.io/v1', spec: {} }),
    answer: (p) => object('TokenRequest', p, { status: { token: p.secret } }, 'authentication.k8s.io/v1'),
  },
  {
    name: 'a token to be reviewed',
    method: 'POST',
    path: '/apis/authentication.k8s.io/v1/tokenreviews',
    sent: (p) => JSON.stringify(object('TokenReview', p, { spec: { token: p.secret } }, 'authentication.k8s.io/v1')),
  },
  {
    name: 'a bootstrap token',
    path: '/api/v1/namespaces/kube-system/secrets/bootstrap-token-abcdef',
    answer: (p) => secretOf(p, { type: 'bootstrap.kubernetes.io/token', data: { 'token-secret': base64(p.secret) } }),
  },
  {
    name: 'a kubeconfig in a Secret',
    path: `${core}/secrets/web`,
    answer: (p) => secretOf(p, { data: { config: base64(kubeconfig(p)) } }),
  },
  {
    name: 'a docker config',
    path: `${core}/secrets/web`,
    answer: (p) =>
      secretOf(p, { type: 'kubernetes.io/dockerconfigjson', data: { '.dockerconfigjson': base64(dockerConfig(p)) } }),
  },
  {
    name: 'a Helm release',
    path: `${core}/secrets/sh.helm.release.v1.web.v1`,
    answer: (p) => secretOf(p, { type: 'helm.sh/release.v1', data: { release: release(p) } }),
  },
  {
    name: 'a Helm release that a rule leaves unmasked',
    path: `${core}/secrets/sh.helm.release.v1.trusted.v1`,
    answer: (p) => secretOf(p, { type: 'helm.sh/release.v1', data: { release: release(p), also: base64(p.secret) } }),
    delivered: 'raw',
  },
  {
    name: 'an Event',
    path: `${core}/events`,
    answer: (p) => ({
      kind: 'EventList',
      apiVersion: 'v1',
      items: [{ metadata: metadata(p), message: `Error: cannot log in with password=${p.secret}` }],
    }),
  },
  {
    name: 'an error of the cluster',
    method: 'POST',
    path: `${core}/pods`,
    sent: (p) => JSON.stringify(podOf(p, {})),
    answer: (p) => ({
      status: 422,
      body: JSON.stringify({
        kind: 'Status',
        apiVersion: 'v1',
        status: 'Failure',
        code: 422,
        reason: 'Invalid',
        message: `Pod "${p.marker}" is invalid: spec: Invalid value: "token=${p.secret}"`,
        details: { causes: [{ field: 'spec', message: `Invalid value: "token=${p.secret}"` }] },
      }),
    }),
    status: 422,
  },
  {
    name: 'a warning of the cluster',
    path: `${core}/pods/web`,
    answer: (p) => ({
      headers: { warning: `299 - "spec.env: password=${p.secret} is deprecated"` },
      body: JSON.stringify(podOf(p, {})),
    }),
  },
  {
    name: 'a condition\u2019s message',
    path: `${core}/pods/web`,
    answer: (p) => object('Pod', p, { status: { conditions: [{ type: 'Ready', message: `bad token: ${jwtOf(p)}` }] } }),
  },
  {
    name: 'a log with a token',
    path: `${core}/pods/web/log`,
    answer: (p) => text(`${p.marker} ready\nusing ${jwtOf(p)}\n`),
  },
  {
    name: 'a log with a password',
    path: `${core}/pods/web/log?follow=true`,
    answer: (p) => text(`${p.marker}\nDB_PASSWORD=${p.secret}\n`),
  },
  {
    name: 'a log with what was shown masked',
    path: `${core}/pods/web/log`,
    answer: (p) => text(`${p.marker}\nvalue ${p.known} read\n`),
  },
  {
    name: 'a log with what was shown masked, in base64',
    path: `${core}/pods/web/log`,
    answer: (p) => text(`${p.marker}\n${base64(`x${p.known}yz`)}\n${Buffer.from(p.known).toString('hex')}\n`),
  },
  {
    name: 'an error in plain words',
    path: `${core}/pods/web`,
    answer: (p) => text(`cannot use password=${p.secret}`, { status: 500 }),
    status: 500,
  },
  {
    name: 'a page that is no resource',
    path: '/configz',
    answer: (p) => text(`name=${p.marker}\npassword=${p.secret}\n`),
  },
  {
    name: 'a query',
    path: (p) => `${core}/pods?labelSelector=${encodeURIComponent(`password=${p.secret}`)}&limit=5`,
  },
  {
    name: 'the command of an exec',
    method: 'POST',
    path: (p) =>
      `${core}/pods/${p.marker}/exec?command=mysql&command=${encodeURIComponent(`--password=${p.secret}`)}&stdout=true`,
    status: 403,
  },
  {
    name: 'the command of an exec, the value apart from its flag',
    method: 'POST',
    path: (p) => `${core}/pods/${p.marker}/exec?command=login&command=--token&command=${p.secret}&stdout=true`,
    status: 403,
  },
  {
    name: 'the agent\u2019s name for itself',
    path: `${core}/pods/web`,
    headers: (p) => ({ 'user-agent': `curl password=${p.secret}` }),
  },
  {
    name: 'a body that cannot be read',
    method: 'POST',
    path: (p) => `${core}/secrets?fieldManager=${p.marker}`,
    headers: json,
    sent: (p) => `{"data":{"a":"${p.secret}"`,
    status: 400,
  },
  {
    name: 'a body in an encoding nobody knows',
    method: 'POST',
    path: (p) => `${core}/secrets?fieldManager=${p.marker}`,
    headers: { 'content-type': 'application/vnd.kubernetes.protobuf' },
    sent: (p) => `k8s\0${p.secret}`,
    status: 400,
  },
];
