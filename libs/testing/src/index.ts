// What end-to-end tests and the bench stand on: a whole Sluice in a home of its own, and a cluster behind it.
export * from './broker.ts';
export * from './canary.ts';
export * from './edge.ts';
export * from './h2-frames.ts';
export * from './loopback.ts';
export * from './raw.ts';
export * from './redis.ts';
export * from './scripted.ts';
export * from './sealer.ts';
export * from './service.ts';
export * from './sluice.ts';
export * from './tree.ts';
export * from './upstream.ts';
