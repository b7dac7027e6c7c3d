// The surfaces on which secrets come by a call that a reviewer is asked about: one row each, with what is sent.
import type { Planted } from './surfaces.ts';

export interface HeldSurface {
  readonly name: string;
  readonly method: string;
  readonly path: (planted: Planted) => string;
  readonly headers?: (planted: Planted) => Readonly<Record<string, string>>;
  readonly sent?: (planted: Planted) => string;
  /**
   * What becomes of it. `used`: approved, and made again. `waiting`: approved while the call waits. `denied`: with the
   * marker in the reviewer's words. `joined`: it shares the card of the row before, and stays undecided.
   */
  readonly end: 'used' | 'waiting' | 'denied' | 'joined';
  /** Where the marker is none of the sentence about it, but of the target alone. */
  readonly markedIn?: 'target';
}

const shop = '/api/v1/namespaces/shop';
const base64 = (text: string): string => Buffer.from(text).toString('base64');
const object = ({ marker }: Planted, kind: string, rest: object, apiVersion = 'v1'): string =>
  JSON.stringify({ apiVersion, kind, metadata: { name: marker }, ...rest });
const type = (name: string) => () => ({ 'content-type': name });

/** A field of protobuf that has a length; less than 128 characters of ASCII. */
function field(number: number, value: string): string {
  return String.fromCharCode((number << 3) | 2, value.length) + value;
}

/** A kind that Sluice knows nothing of, in the envelope of Kubernetes: nobody can look into it. */
const opaque = ({ secret }: Planted): string =>
  `k8s\0${field(1, field(1, 'example.com/v1') + field(2, 'Vault'))}${field(2, field(1, `password=${secret}`))}`;

/** What is in this row's body cannot be masked, so nobody is shown it. */
export const opaqueBody = 'a body that nobody can read';
/** In this row the secret is what the cluster never gets. */
export const userAgent = 'the agent\u2019s name for itself';

export const heldSurfaces: readonly HeldSurface[] = [
  {
    name: 'a Secret created',
    method: 'POST',
    path: () => `${shop}/secrets`,
    sent: (p) => object(p, 'Secret', { data: { password: base64(p.secret) }, stringData: { token: p.secret } }),
    end: 'used',
  },
  {
    name: 'a Secret patched, while it waits',
    method: 'PATCH',
    path: ({ marker }) => `/api/v1/namespaces/waiting/secrets/${marker}`,
    headers: type('application/strategic-merge-patch+json'),
    sent: (p) => JSON.stringify({ stringData: { password: p.secret }, metadata: { labels: { a: p.marker } } }),
    end: 'waiting',
  },
  {
    name: 'a Secret of the same command, by json-patch',
    method: 'PATCH',
    path: ({ marker }) => `/api/v1/namespaces/waiting/secrets/${marker}`,
    headers: type('application/json-patch+json'),
    sent: (p) => JSON.stringify([{ op: 'replace', path: '/data/password', value: base64(p.secret) }]),
    end: 'joined',
  },
  {
    name: 'a Secret updated from YAML',
    method: 'PUT',
    path: ({ marker }) => `${shop}/secrets/${marker}`,
    headers: type('application/yaml'),
    sent: (p) => `kind: Secret\napiVersion: v1\nmetadata: { name: ${p.marker} }\nstringData: { a: ${p.secret} }\n`,
    end: 'denied',
  },
  {
    name: 'a ConfigMap with the manifest last applied, applied by the server',
    method: 'PATCH',
    path: ({ marker }) => `${shop}/configmaps/${marker}?fieldManager=test`,
    headers: type('application/apply-patch+yaml'),
    sent: (p) =>
      `kind: ConfigMap\napiVersion: v1\nmetadata: { name: ${p.marker} }\ndata: { DB_PASSWORD: ${p.secret} }\n`,
    end: 'used',
  },
  {
    name: 'an env value of a Deployment',
    method: 'POST',
    path: () => '/apis/apps/v1/namespaces/shop/deployments',
    sent: (p) => {
      const containers = [
        { name: 'main', env: [{ name: 'API_KEY', value: p.secret }], args: [`--password=${p.secret}`] },
      ];
      return object(p, 'Deployment', { spec: { template: { spec: { containers } } } }, 'apps/v1');
    },
    end: 'used',
  },
  {
    name: 'a custom field by the path of a rule',
    method: 'PUT',
    path: ({ marker }) => `/apis/example.com/v1/namespaces/shop/databases/${marker}`,
    sent: (p) => object(p, 'Database', { spec: { connection: { passphrase: p.secret } } }, 'example.com/v1'),
    end: 'used',
  },
  {
    name: 'a query',
    method: 'DELETE',
    path: (p) =>
      `${shop}/services?labelSelector=${encodeURIComponent(`password=${p.secret}`)}&fieldManager=${p.marker}`,
    end: 'used',
    markedIn: 'target',
  },
  {
    name: 'the command of an exec',
    method: 'POST',
    path: (p) =>
      `${shop}/pods/${p.marker}/exec?command=mysql&command=${encodeURIComponent(`--password=${p.secret}`)}&command=--token&command=${p.secret}&stdout=true`,
    end: 'denied',
  },
  {
    name: opaqueBody,
    method: 'PUT',
    path: ({ marker }) => `/apis/example.com/v1/namespaces/shop/vaults/${marker}`,
    headers: type('application/vnd.kubernetes.protobuf'),
    sent: opaque,
    end: 'used',
  },
  {
    name: userAgent,
    method: 'DELETE',
    path: ({ marker }) => `${shop}/configmaps/${marker}`,
    headers: (p) => ({ 'user-agent': `curl password=${p.secret}` }),
    end: 'used',
  },
];
