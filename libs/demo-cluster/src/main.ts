// Runs the demo cluster as a process of its own, for `sluice up`: certificates from SLUICE_DEMO_DIR, its
// kubeconfig into it.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startDemoCluster } from './server.ts';

const dir = process.env['SLUICE_DEMO_DIR'] ?? '.';
const [ca, cert, key] = ['ca.crt', 'tls.crt', 'tls.key'].map((name) => readFileSync(join(dir, name), 'utf8')) as [
  string,
  string,
  string,
];
// Given from outside, so that a restart is found where the first start was.
const port = Number(process.env['SLUICE_DEMO_PORT'] ?? 0);
const token = process.env['SLUICE_DEMO_TOKEN'];
const cluster = await startDemoCluster({ tls: { ca, cert, key }, port, ...(token === undefined ? {} : { token }) });
writeFileSync(join(dir, 'kubeconfig'), cluster.kubeconfig, { mode: 0o600 });
process.send?.({ kind: 'ready', facts: { port: cluster.port } });

const stop = (): void => {
  void cluster.close().then(() => process.exit(0));
};
for (const signal of ['SIGTERM', 'SIGINT', 'disconnect'] as const) process.on(signal, stop);
