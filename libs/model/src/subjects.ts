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
  /** Request/reply: an `ApprovalQuestion` with its body → `ApprovalAnswer` as JSON. */
  approvalAsk: 'sluice.approval.ask',
  /** Request/reply: `ReviewQuestion` as JSON → `ReviewAnswer` as JSON. */
  approvalReview: 'sluice.approval.review',
  /** Told to whoever listens: `ApprovalChange` as JSON. */
  approvalChanged: 'sluice.approval.changed',
  /** Request/reply: a sealed `MaskRequest` → a sealed `MaskReply`. No stream may capture it. */
  mask: 'sluice.mask',
  /** Asked of all ingresses: `KillQuestion` as JSON → `KillAnswer` as JSON, by those that had something to cut. */
  kill: 'sluice.kill',
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

/** How many partitions each stream of frames has. A recorder holds the lease of each partition it takes frames from. */
export const partitions = 4;

/**
 * The two streams of frames. `calls` holds calls with their decisions, outcomes, and what ledgers say of themselves;
 * `bytes` holds bodies. Work queues: a frame is gone once the recorder has it safely at rest. `discard: new`: a full
 * store refuses, it never forgets. Subjects are `prefix.<partition>`.
 */
export const streams = {
  calls: { name: 'CALLS', prefix: 'sluice.calls', maxBytes: 1 << 30 },
  bytes: { name: 'BYTES', prefix: 'sluice.bytes', maxBytes: 2 ** 31 },
} as const;

export type StreamKey = keyof typeof streams;

/** The partition of a ledger: FNV-1a over its name, modulo `partitions`. All frames of a ledger are in one. */
export function partitionOf(ledger: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < ledger.length; at++) hash = Math.imul(hash ^ ledger.charCodeAt(at), 0x01000193);
  return (hash >>> 0) % partitions;
}

/** The durable consumer of a partition, on either stream. */
export function consumerOf(partition: number): string {
  return `recorder-${partition}`;
}

/**
 * Leases of writers on their ledgers, and of recorders on partitions: the stream keeps the last renewal of each, and
 * each renewal is a compare-and-swap on the one before. A lease is over when its holder says so, or has not renewed it.
 */
export const leases = {
  stream: 'LEASES',
  subject: 'sluice.leases.>',
  /** `LedgerLease` as JSON, by the writer of the ledger; the recorder writes the last one when it closes a ledger. */
  ledger: (writer: string, ledger: string): string => `sluice.leases.ledger.${writer}.${ledger}`,
  /** `{ instance }` as JSON, by the recorder that holds the partition. */
  partition: (partition: number | '*'): string => `sluice.leases.partition.${partition}`,
  maxBytes: 16 * 1024 * 1024,
} as const;

/**
 * Fingerprints of the values that an agent was shown masked, sealed, one entry an agent: the stream keeps the last, for a
 * day after it was written. Only masking reads or writes it.
 */
export const shown = {
  stream: 'SHOWN',
  subject: 'sluice.shown.*',
  /** `agent`: 32 hex digits that stand for it. */
  of: (agent: string): string => `sluice.shown.${agent}`,
  maxBytes: 256 * 1024 * 1024,
  maxAgeMs: 24 * 3_600_000,
} as const;

/** The broker's `max_payload`, bytes: one whole object with its envelope fits. */
export const maxPayloadBytes = 4 * 1024 * 1024;
