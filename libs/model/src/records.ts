import type { Agent } from './agent.ts';
import type { RequestAttributes } from './attributes.ts';
import type { Effect, Impersonation } from './decision.ts';
import type { FrameKind } from './frame.ts';
import type { Outcome } from './outcome.ts';
import type { ReasonCode } from './reasons.ts';

/** How many bytes a body had, and how it stands in the record. */
export interface BodyNote {
  /** Bytes after masking. */
  readonly bytes: number;
  readonly contentType: string;
  /**
   * `masked`: recorded after masking. `plain`: of a type that carries no values, recorded as it was.
   * `digest`: not recorded, because it cannot be masked; only its size and keyed digest are.
   */
  readonly recorded: 'masked' | 'plain' | 'digest';
  /** HMAC-SHA256 of the raw body under the deployment's digest key, hex; only with `digest`. */
  readonly hmac?: string;
  /** Why Sluice could not read a request body, so that no rule could either; left out where it could. */
  readonly opaque?: 'no-table' | 'unknown-fields' | 'free-form';
}

/** `meta` of each kind of frame. */
export interface FrameMeta {
  readonly call: {
    readonly agent: Agent;
    readonly connection: string;
    readonly attributes: RequestAttributes;
    /** Method and canonical target, as they went to the cluster or would have. */
    readonly method: string;
    readonly target: string;
    /** As the agent sent it: a claim, not a fact. */
    readonly userAgent: string;
    /** Keyed digest of the raw request, hex. */
    readonly digest: string;
    readonly body: BodyNote | null;
    readonly decision: {
      readonly effect: Effect;
      readonly policy: string;
      readonly rule: string;
      readonly reasonCode: ReasonCode;
      readonly reason: string;
      readonly policyVersion: string;
      /** Sequence of the authority that the decision knew; 0 where none was made. */
      readonly authority: number;
      readonly impersonate: Impersonation | null;
    };
  };
  readonly response: {
    readonly status: number;
    readonly contentType: string;
  };
  readonly outcome: {
    readonly outcome: Outcome;
    /** HTTP status the agent got; 0 when it got none. */
    readonly status: number;
    /** Why Sluice refused, cut or withheld; empty otherwise. */
    readonly reasonCode: ReasonCode | '';
    /** The masked response body as delivered: its size and SHA-256 (hex), recorded in full or not. */
    readonly body: BodyNote | null;
    readonly sha256: string;
    readonly durationMicros: number;
  };
}

/** One call as `sluice calls list --json` prints it. */
export interface CallRow {
  readonly id: string;
  /** ISO 8601, UTC. */
  readonly at: string;
  readonly agent: string;
  readonly task: string | null;
  readonly session: string;
  readonly connection: string;
  readonly verb: string;
  /** `resource[.group][/subresource]`, or the path of a non-resource call. */
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
  readonly effect: Effect;
  /** Why the call ended as it did: the decision's code, or the outcome's where it has one. */
  readonly reasonCode: ReasonCode;
  /** HTTP status; `null` while the call runs. */
  readonly status: number | null;
  /** `null` while the call runs. */
  readonly outcome: Outcome | null;
}

/** One recorded frame, as `sluice replay` reads it. */
export interface FrameRow {
  readonly ledger: string;
  readonly seq: number;
  readonly call: string;
  readonly at: string;
  /** When the broker had it on disk, by the broker's clock: microseconds since the epoch. */
  readonly storedAtMicros: number;
  readonly kind: FrameKind;
  readonly offset: number;
  /** JSON text of `FrameMeta[kind]`. */
  readonly meta: string;
  readonly bytesBase64: string;
}

/** A question to the recorder; everything it reads is masked. */
export type RecordsQuestion =
  | {
      readonly kind: 'calls';
      readonly agent?: string;
      readonly effect?: Effect;
      /** Only calls at or after this time: milliseconds since the epoch. */
      readonly sinceMs?: number;
      /** 1 to 1,000. */
      readonly limit: number;
    }
  | {
      readonly kind: 'frames';
      readonly call: string;
      /** Answer frames after this position (0 to start); an answer holds what fits one message. */
      readonly afterSeq: number;
    };

export type RecordsAnswer =
  | { readonly kind: 'calls'; readonly calls: readonly CallRow[] }
  | { readonly kind: 'frames'; readonly frames: readonly FrameRow[]; readonly more: boolean }
  | { readonly kind: 'error'; readonly message: string };
