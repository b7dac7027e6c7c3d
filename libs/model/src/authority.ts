import type { Decision, DecisionRequest, Impersonation } from './decision.ts';

/**
 * The authority: everything that may change a decision, as one sequence in the stream `AUTHORITY`, last value per
 * subject. `approval` is its only writer.
 */
export const authority = {
  stream: 'AUTHORITY',
  subject: 'sluice.authority.>',
  /** `PolicyFiles` as JSON: the policies in force. */
  policies: 'sluice.authority.policies',
  /** `{ instance }` as JSON. Its sequence is the writer's epoch: a later one fences the writer before. */
  writer: 'sluice.authority.writer',
  maxBytes: 64 * 1024 * 1024,
} as const;

/** An authority lease that is not renewed for this long has ended: no new calls, live streams are cut. */
export const leaseMs = 5_000;
/** How often a lease is renewed. */
export const renewMs = 1_000;

/** A policy file: its name, for messages, and its text. */
export interface PolicyFile {
  readonly name: string;
  readonly text: string;
}

/** Every policy file that is in force. */
export interface PolicyFiles {
  readonly files: readonly PolicyFile[];
}

/** A fault in a policy text. Line and column count from 1. */
export interface PolicyFault {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  /** Says what is wrong and what would be right. */
  readonly message: string;
}

/** Answer to `PolicyFiles` on `sluice.compile`. */
export type CompileAnswer =
  | { readonly kind: 'compiled'; readonly version: string; readonly policies: number; readonly rules: number }
  | { readonly kind: 'faults'; readonly faults: readonly PolicyFault[] };

/** Answer to `PolicyFiles` on `sluice.apply`: given when the policies are in force everywhere, or nothing has changed. */
export type ApplyAnswer =
  | {
      readonly kind: 'applied';
      readonly version: string;
      readonly authority: number;
      readonly policies: number;
      readonly rules: number;
      /** Who had a lease and has confirmed it: ingress and policy processes. */
      readonly members: Readonly<Record<LeaseRole, number>>;
    }
  | { readonly kind: 'faults'; readonly faults: readonly PolicyFault[] }
  | { readonly kind: 'failed'; readonly message: string };

/** Whose decisions, or whose use of them, depend on the authority. */
export type LeaseRole = 'ingress' | 'policy';

/** What a member asks on `sluice.lease`. */
export interface LeaseRequest {
  /** Of the process, unique. */
  readonly instance: string;
  readonly role: LeaseRole;
  /** The authority sequence up to which the member goes by it. */
  readonly seq: number;
}

/** The lease runs for `leaseMs` from the moment the member asked for it, by the member's own monotonic clock. */
export interface LeaseReply {
  /** Of the writer that answers: a reply of a lower one than known is void. */
  readonly epoch: number;
  /** The authority's sequence. */
  readonly seq: number;
}

/** What the policy service's compiler is asked without a broker. */
export type PolicyQuestion = PolicyFiles & {
  /** The configured ones; a subject may leave its issuer out while there is one. */
  readonly issuers: readonly string[];
} & (
    | { readonly kind: 'check' }
    | {
        readonly kind: 'explain';
        readonly request: DecisionRequest;
        /** The body as JSON, where `request.body` says there is one, and the pod behind it. */
        readonly masked: string;
      }
  );

export type PolicyAnswer =
  | { readonly kind: 'faults'; readonly faults: readonly PolicyFault[] }
  | {
      readonly kind: 'compiled';
      readonly version: string;
      readonly policies: number;
      readonly rules: number;
      /** Every identity that calls can have in the cluster. */
      readonly identities: readonly Impersonation[];
    }
  | { readonly kind: 'decision'; readonly decision: Decision };
