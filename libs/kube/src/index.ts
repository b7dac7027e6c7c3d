// What Kubernetes says on the wire: targets, request attributes, Status, Accept, JSON framing, protobuf, and how
// streams are framed. Pure; no I/O, no policy.
export * from './accept.ts';
export * from './body-error.ts';
export * from './channels.ts';
export * from './derived.ts';
export * from './held-call.ts';
export * from './impersonation.ts';
export * from './json.ts';
export * from './object-name.ts';
export * from './pod.ts';
export * from './port-forward-channels.ts';
export * from './precondition.ts';
export * from './protobuf.ts';
export * from './request-info.ts';
export * from './shape.ts';
export * from './spdy/events.ts';
export { SpdyError } from './spdy/frames.ts';
export type { SpdyHeaders } from './spdy/header-block.ts';
export * from './spdy/session.ts';
export * from './split.ts';
export * from './status.ts';
export * from './stream-request.ts';
export * from './strict-json.ts';
export * from './tar.ts';
export * from './target.ts';
export * from './yaml.ts';
