// The cluster behind Sluice in these tests: a real one where SLUICE_E2E_KUBECONFIG names it, else the demo cluster.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type DemoCluster, startDemoCluster } from '@sluice/demo-cluster';
import { createAuthority, createServerCertificate } from '@sluice/runtime/certificates';

/** A kubeconfig with Sluice's identity, and an image for pods. */
export interface Upstream {
  readonly kind: 'demo' | 'real';
  readonly kubeconfig: string;
  readonly image: string;
  close(): Promise<void>;
}

/** Whether the environment names a real cluster. */
export const onRealCluster = (process.env['SLUICE_E2E_KUBECONFIG'] ?? '') !== '';

/** The upstream that the environment asks for. `dir`: where its kubeconfig may be written. */
export async function openUpstream(dir: string): Promise<Upstream> {
  if (!onRealCluster) return openDemo(dir);
  const kubeconfig = process.env['SLUICE_E2E_KUBECONFIG'] ?? '';
  const image = process.env['SLUICE_E2E_IMAGE'] ?? 'busybox:1';
  return { kind: 'real', kubeconfig, image, close: async () => undefined };
}

/** A demo cluster in this process, with its ground truth at hand. */
export async function openDemo(dir: string): Promise<Upstream & { readonly cluster: DemoCluster }> {
  const authority = await createAuthority('demo cluster of the tests');
  const { cert, key } = await createServerCertificate(authority);
  const cluster = await startDemoCluster({ tls: { ca: authority.cert, cert, key }, log: 'on' });
  const kubeconfig = join(dir, 'cluster.kubeconfig');
  writeFileSync(kubeconfig, cluster.kubeconfig, { mode: 0o600 });
  return { kind: 'demo', kubeconfig, image: 'demo/web:1', cluster, close: () => cluster.close() };
}
