// What Kubernetes says on the wire: targets, request attributes, Status, Accept, JSON framing, protobuf. Pure; no I/O, no policy.
export * from './accept.ts';
export * from './body-error.ts';
export * from './derived.ts';
export * from './held-call.ts';
export * from './impersonation.ts';
export * from './json.ts';
export * from './object-name.ts';
export * from './pod.ts';
export * from './precondition.ts';
export * from './protobuf.ts';
export * from './request-info.ts';
export * from './shape.ts';
export * from './split.ts';
export * from './status.ts';
export * from './strict-json.ts';
export * from './target.ts';
export * from './yaml.ts';
