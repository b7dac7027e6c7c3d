// The demo cluster: a simulated Kubernetes API server that ships with Sluice, good enough for kubectl. Everything
// is in memory, containers too: it must start no process and open no file. It is the tests' upstream too: it can log
// what it receives, byte by byte, and fail on demand.

export type { Failpoint, Tripped } from './failpoint.ts';
export type { LogEntry } from './ground-truth.ts';
export { type DemoCluster, type DemoOptions, startDemoCluster } from './server.ts';
