// What every process of Sluice stands on: broker, ledger, keys, logs, start and drain. It knows no
// Kubernetes and decides nothing.
export * from './authority.ts';
export * from './broker.ts';
export * from './broker-config.ts';
export * from './broker-keys.ts';
export * from './decisions.ts';
export * from './env.ts';
export * from './event-log.ts';
export * from './failpoint.ts';
export * from './frames.ts';
export * from './grants.ts';
export * from './held-lease.ts';
export * from './keys.ts';
export * from './last-values.ts';
export * from './lease.ts';
export * from './ledger.ts';
export * from './log.ts';
export * from './outbox.ts';
export * from './provision.ts';
export * from './queue-server.ts';
export * from './secret-file.ts';
export * from './service.ts';
export * from './signed.ts';
export * from './store.ts';
export * from './supervisor.ts';
