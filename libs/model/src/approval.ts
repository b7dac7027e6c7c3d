import type { Agent } from './agent.ts';
import type { RequestAttributes } from './attributes.ts';
import type { ReasonCode } from './reasons.ts';
import type { FrameMeta } from './records.ts';

/** Approval states, a closed set. */
export const approvalStates = {
  pending: 'no reviewer has decided yet',
  approved: 'a reviewer has approved it, and the grant is not spent',
  denied: 'a reviewer has denied it',
  expired: 'nobody decided in time, or nobody used the grant in time',
  used: 'the grant is spent: the call went to the cluster, or is on its way there',
  ambiguous: 'the grant is spent, and nobody knows whether the call took effect',
  cancelled: 'the agent went away before a reviewer had decided',
} as const;

export type ApprovalState = keyof typeof approvalStates;

/** What a policy says of an approval. Of several rules that ask, the strictest holds. */
export interface ApprovalTerms {
  /**
   * Who may decide: of each list, one entry has to fit the reviewer, by name (`local:alice`) or by group (`group:sre`).
   * No list: any reviewer.
   */
  readonly reviewers: readonly (readonly string[])[];
  /** So many distinct reviewers have to approve. */
  readonly quorum: number;
  /** The call is kept waiting for this long. */
  readonly holdMs: number;
  /** From the ask on, for the decision and for the use of the grant alike. */
  readonly expiresMs: number;
}

/** A person who decides on an ask. */
export interface Reviewer {
  /** Who says so, and the name there: `local:alice`. */
  readonly name: string;
  readonly groups: readonly string[];
}

const groupPrefix = 'group:';

/** Whether an entry of `ApprovalTerms.reviewers` means a reviewer. One for a group never means a name: an issuer could be called `group`. */
export function meansReviewer(entry: string, { name, groups }: Reviewer): boolean {
  return entry.startsWith(groupPrefix) ? groups.includes(entry.slice(groupPrefix.length)) : entry === name;
}

/** The object a call is about, as it was when the reviewer was asked. */
export type ReviewedObject =
  /** The call goes upstream only while the object still is this one, in this version. */
  | { readonly kind: 'known'; readonly uid: string; readonly resourceVersion: string }
  | { readonly kind: 'absent' }
  /** It could not be read: `why` is one clause. */
  | { readonly kind: 'unreadable'; readonly why: string }
  /** The call is about no single object that is there already. */
  | { readonly kind: 'none' };

/** What a reviewer is asked: the content of an approval, masked. The masked request body goes with it. */
export interface ApprovalRequest {
  /** The call that asks, and its session. */
  readonly call: string;
  readonly session: string;
  readonly agent: Agent;
  readonly connection: string;
  readonly attributes: RequestAttributes;
  readonly method: string;
  readonly target: string;
  /** Of a stream: what it asks for, masked, how much can be said of it, and its pod. */
  readonly stream?: NonNullable<FrameMeta['call']['stream']>;
  /** Of the whole masked body; what goes with the request may be its beginning only. */
  readonly bodyBytes: number;
  /** Keyed digests, hex: of the raw request as it is, and without what may differ from one try to the next. */
  readonly exact: string;
  readonly shape: string;
  /** JSONPaths of what the shape leaves out and this request has. */
  readonly mayDiffer: readonly string[];
  readonly object: ReviewedObject;
  readonly policy: string;
  readonly rule: string;
  /** The policy's sentence. */
  readonly reason: string;
  readonly policyVersion: string;
  readonly authority: number;
  readonly terms: ApprovalTerms;
}

/** What a reviewer says with a vote has at most so many characters. */
export const commentLength = 500;

/** Of a masked body, so much goes with an ask; the record has all of it. Bytes. */
export const reviewedBodyBytes = 32 * 1024;

/** A further call of the same command, on the same card: same agent, verb and resource, within `commandMs`. */
export interface JoinedCall {
  readonly call: string;
  readonly attributes: RequestAttributes;
  readonly method: string;
  readonly target: string;
  readonly exact: string;
  readonly shape: string;
}

/** A call belongs to the command of the one before, if it comes this long after it. */
export const commandMs = 10_000;

/** One fact in the life of an approval. `id` is unique: whoever lost the answer finds its own event by it. */
export type ApprovalEvent = { readonly id: string } & (
  | { readonly kind: 'requested'; readonly request: ApprovalRequest }
  | { readonly kind: 'joined'; readonly joined: JoinedCall }
  | {
      readonly kind: 'voted';
      readonly vote: 'approve' | 'deny';
      readonly reviewer: Reviewer;
      /** Empty when none was given. */
      readonly reason: string;
      /** Further calls of the same command that are approved with it, at most. */
      readonly more: number;
    }
  /** Nobody waits for it any more. */
  | { readonly kind: 'cancelled' }
  | { readonly kind: 'expired' }
  /** A use of the grant begins. `instance`: the ingress that has the call. */
  | {
      readonly kind: 'taken';
      readonly call: string;
      readonly exact: string;
      readonly shape: string;
      readonly instance: string;
    }
  /** What came of a use. `unknown`: the call may have taken effect, or not. */
  | { readonly kind: 'concluded'; readonly call: string; readonly end: 'known' | 'unknown' }
);

/** The stream of all approvals: one subject each, which only grows. */
export const approvals = {
  stream: 'APPROVALS',
  subject: 'sluice.approvals.*',
  of: (approval: string): string => `sluice.approvals.${approval}`,
  /** Durable consumers: the outboxes. Every deployment has these two, */
  outboxes: ['record', 'expire'],
  /** and one for each outside consumer of the queues. */
  queueOutbox: (consumer: string): string => `queue-${consumer}`,
  outbox: (name: string): string => `outbox-${name}`,
  maxBytes: 256 * 1024 * 1024,
  /** Twice as long as an approval may be open. */
  maxAgeMs: 24 * 3_600_000,
} as const;

/** An approval is open for at most so long. */
export const longestApprovalMs = 12 * 3_600_000;

/** What a reviewer's approval gives, signed by `approval` and checked by `policy`: an input to a second decision. */
export interface Grant {
  readonly approval: string;
  readonly agent: Pick<Agent, 'issuer' | 'name'>;
  readonly connection: string;
  /** Of the call it is for. */
  readonly shape: string;
  /** Those who approved. */
  readonly reviewers: readonly Reviewer[];
}

/** What ingress asks on `sluice.approval.ask`, as `encodeWithBody`. The masked body, or its beginning, goes with `open`. */
export type ApprovalQuestion =
  /** Opens an approval, or attaches to one that fits. */
  | { readonly kind: 'open'; readonly request: ApprovalRequest }
  /** Where it stands. A call that waits asks again and again, and is thereby known to wait. */
  | {
      readonly kind: 'look';
      readonly approval: string;
      readonly call: string;
      readonly exact: string;
      readonly shape: string;
    }
  /** The call waits no more. `told`: its agent has an answer, and may come again. `gone`: the agent is. */
  | { readonly kind: 'leave'; readonly approval: string; readonly call: string; readonly why: 'told' | 'gone' }
  /** Spends the grant on a call, which goes upstream only after a `taken`. Asking twice is harmless. */
  | {
      readonly kind: 'take';
      readonly approval: string;
      readonly call: string;
      readonly exact: string;
      readonly shape: string;
      readonly instance: string;
    }
  | { readonly kind: 'conclude'; readonly approval: string; readonly call: string; readonly end: 'known' | 'unknown' };

export type ApprovalAnswer =
  | {
      readonly kind: 'standing';
      readonly approval: string;
      readonly state: ApprovalState;
      /** Milliseconds since the epoch. */
      readonly expiresAtMs: number;
      /** The call waits, or shares the card of another call of its command and is answered at once. */
      readonly card: 'own' | 'shared';
      /** Those who approved, or who denied; none before that. */
      readonly reviewers: readonly string[];
      /** What the last of them said; empty where nothing. */
      readonly comment: string;
      /** With `approved`: `Grant`, signed, base64. */
      readonly grant?: string;
      /** With `approved`, where this very call was reviewed: the object as it was then. */
      readonly object?: ReviewedObject;
    }
  | { readonly kind: 'taken' }
  | { readonly kind: 'concluded' }
  | { readonly kind: 'refused'; readonly reasonCode: ReasonCode; readonly message: string };

/** What people ask on `sluice.approval.review`, as JSON. Who asks is put in by the process that knows them. */
export type ReviewQuestion =
  /** Newest first; `state` left out: all. */
  | { readonly kind: 'list'; readonly state?: ApprovalState; readonly limit: number }
  | { readonly kind: 'show'; readonly approval: string }
  | {
      readonly kind: 'vote';
      readonly approval: string;
      readonly vote: 'approve' | 'deny';
      readonly reason: string;
      readonly more: number;
      readonly reviewer: Reviewer;
    }
  /** Answered when its state is no longer `state`, or after `waitMs` at most. */
  | { readonly kind: 'wait'; readonly approval: string; readonly state: ApprovalState };

/** A question `wait` is answered after this long, whatever is the case. */
export const waitMs = 20_000;

export type ReviewAnswer =
  | { readonly kind: 'list'; readonly approvals: readonly ApprovalRow[] }
  | { readonly kind: 'show'; readonly approval: ApprovalCard }
  /** One sentence with a way out. */
  | { readonly kind: 'error'; readonly message: string };

/** One approval as `sluice approvals list --json` prints it. */
export interface ApprovalRow {
  readonly id: string;
  readonly state: ApprovalState;
  readonly agent: string;
  readonly task: string | null;
  /** What is asked for, in one sentence. */
  readonly summary: string;
  /** ISO 8601, UTC. */
  readonly requestedAt: string;
  readonly expiresAt: string;
  readonly votes: readonly ApprovalVote[];
}

export interface ApprovalVote {
  readonly reviewer: string;
  readonly vote: 'approve' | 'deny';
  readonly reason: string;
  /** ISO 8601, UTC. */
  readonly at: string;
  /** Further calls of the same command that were approved with it. */
  readonly more: number;
}

/** All that a reviewer has to know. */
export interface ApprovalCard extends ApprovalRow {
  readonly request: ApprovalRequest;
  /** The masked request body, or its beginning. */
  readonly body: string;
  readonly joined: readonly JoinedCall[];
  /** Calls that used the grant. */
  readonly uses: readonly { readonly call: string; readonly at: string; readonly end: 'known' | 'unknown' | null }[];
}

/** Told on `sluice.approval.changed`, as JSON, to whoever listens. Nobody may rely on hearing it. */
export interface ApprovalChange {
  readonly approval: string;
  readonly state: ApprovalState;
  readonly summary: string;
}
