/** Every NATS subject and stream of Sluice. Nothing else names one. */
export const subjects = {
  /** Request/reply: `encodeDecisionRequest` → 32-byte HMAC-SHA256 ‖ `Decision` as JSON. */
  decide: 'sluice.decide',
  /** Request/reply: `PolicyFiles` as JSON → `CompileAnswer` as JSON. Changes nothing. */
  compile: 'sluice.compile',
  /** Request/reply: `PolicyFiles` as JSON → `ApplyAnswer` as JSON. */
  apply: 'sluice.apply',
  /** Request/reply: `LeaseRequest` as JSON → `LeaseReply` as JSON. */
  lease: 'sluice.lease',
  /** Told to all members, without payload: the authority has changed, renew your lease now. */
  renew: 'sluice.lease.renew',
  /** Request/reply: a sealed `MaskRequest` → a sealed `MaskReply`. No stream may capture it. */
  mask: 'sluice.mask',
  /** Request/reply: `RecordsQuestion` as JSON → `RecordsAnswer` as JSON. */
  records: 'sluice.records',
} as const;

/** Queue groups: any member answers. */
export const queueGroups = {
  policy: 'policy',
  masking: 'masking',
  recorder: 'recorder',
  approval: 'approval',
} as const;

/**
 * The two streams of frames. `calls` holds calls with their decisions, and outcomes; `bytes` holds
 * bodies. Work queues: a frame is gone once the recorder has it safely at rest. `discard: new`: a
 * full store refuses, it never forgets.
 */
export const streams = {
  calls: { name: 'CALLS', subject: 'sluice.calls.0', maxBytes: 1 << 30 },
  bytes: { name: 'BYTES', subject: 'sluice.bytes.0', maxBytes: 2 ** 31 },
} as const;

export type StreamKey = keyof typeof streams;

/** The broker's `max_payload`, bytes: one whole object with its envelope fits. */
export const maxPayloadBytes = 4 * 1024 * 1024;
