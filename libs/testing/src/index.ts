// What end-to-end tests and the bench stand on: a whole Sluice in a home of its own, and a cluster behind it.
export * from './broker.ts';
export * from './scripted.ts';
export * from './sluice.ts';
export * from './upstream.ts';
