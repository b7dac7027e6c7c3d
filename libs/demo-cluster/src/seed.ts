import { parseAllDocuments } from 'yaml';
import { admit, keep } from './controllers.ts';
import { kinds } from './kinds.ts';
import { type Stored, textAt } from './objects.ts';
import type { Store } from './store.ts';

/** A small shop. The secrets are of the demo alone and open nothing. */
const manifests = `
kind: Namespace
metadata: { name: default }
---
kind: Namespace
metadata: { name: kube-node-lease }
---
kind: Namespace
metadata: { name: kube-system }
---
kind: Namespace
metadata: { name: shop }
---
kind: Node
metadata: { name: demo-node, labels: { kubernetes.io/hostname: demo-node, kubernetes.io/os: linux } }
spec: { podCIDR: 10.0.0.0/24 }
status:
  addresses: [{ type: InternalIP, address: 10.0.0.1 }, { type: Hostname, address: demo-node }]
  capacity: &capacity { cpu: "4", memory: 8Gi, ephemeral-storage: 20Gi, pods: "110" }
  allocatable: *capacity
  conditions: [{ type: Ready, status: "True", reason: KubeletReady, message: simulated }]
  nodeInfo: { kubeletVersion: v1.32.0, osImage: simulated, operatingSystem: linux, architecture: amd64 }
---
kind: Lease
metadata: { name: demo-node, namespace: kube-node-lease }
spec: { holderIdentity: demo-node, leaseDurationSeconds: 40 }
---
kind: ConfigMap
metadata: { name: web, namespace: shop }
data: { LOG_LEVEL: info }
---
kind: Secret
metadata: { name: web-db, namespace: shop }
type: Opaque
stringData: { username: demo-user, password: demo-password-of-nobody }
---
kind: Secret
metadata: { name: web-tls, namespace: shop }
type: kubernetes.io/tls
stringData: { tls.crt: demo-certificate-of-nobody, tls.key: demo-key-that-opens-nothing }
---
kind: Service
metadata: { name: web, namespace: shop }
spec: { selector: { app: web }, ports: [{ port: 80, targetPort: 8080, protocol: TCP }] }
---
kind: Deployment
metadata: { name: web, namespace: shop, labels: { app: web } }
spec:
  replicas: 2
  selector: { matchLabels: { app: web } }
  strategy: { type: RollingUpdate }
  template:
    metadata: { labels: { app: web } }
    spec:
      containers:
        - name: main
          image: demo/web:1
          env: [{ name: DB_PASSWORD, valueFrom: { secretKeyRef: { name: web-db, key: password } } }]
          ports: [{ containerPort: 8080, protocol: TCP }]
---
kind: Pod
metadata: { name: ledger, namespace: shop, labels: { app: ledger } }
spec:
  containers:
    - name: main
      image: demo/ledger:1
      env: [{ name: DB_PASSWORD, valueFrom: { secretKeyRef: { name: web-db, key: password } } }]
      volumeMounts: [{ name: tls, mountPath: /etc/tls, readOnly: true }]
      ports: [{ containerPort: 8080, protocol: TCP }]
  volumes: [{ name: tls, secret: { secretName: web-tls } }]
---
kind: Pod
metadata: { name: toolbox, namespace: shop, labels: { app: toolbox } }
spec: { containers: [{ name: main, image: demo/toolbox:1, ports: [{ containerPort: 8080, protocol: TCP }] }] }
---
kind: Pod
metadata:
  name: console
  namespace: shop
  labels: { app: console }
  annotations: { kubectl.kubernetes.io/default-container: main }
spec:
  containers:
    - { name: main, image: demo/console:1, stdin: true }
    - { name: terminal, image: demo/console:1, stdin: true, tty: true }
---
kind: Event
metadata: { name: web.scaled, namespace: shop }
type: Normal
reason: ScalingReplicaSet
message: Scaled up replica set of web to 2
source: { component: deployment-controller }
involvedObject: { apiVersion: apps/v1, kind: Deployment, name: web, namespace: shop }
---
kind: Event
metadata: { name: web.endpoints, namespace: shop }
type: Warning
reason: FailedToUpdateEndpoint
message: Failed to update endpoint shop/web, will be tried again
source: { component: endpoint-controller }
involvedObject: { apiVersion: v1, kind: Service, name: web, namespace: shop }
`;

export function seed(store: Store): void {
  for (const document of parseAllDocuments(manifests)) {
    const body = document.toJS() as Stored;
    const kind = kinds.find((known) => known.kind === body.kind);
    if (kind === undefined) throw new Error(`the seed has a ${body.kind}, and the demo cluster has no such kind`);
    keep(store, kind, admit(kind, store.prepare(kind, textAt(body, 'metadata', 'namespace'), body)));
  }
}
