import type { Agent } from './agent.ts';
import type { ApprovalEvent, ApprovalState, ReviewedObject } from './approval.ts';
import type { RequestAttributes } from './attributes.ts';
import type { Effect, Impersonation } from './decision.ts';
import type { FrameKind } from './frame.ts';
import type { Outcome } from './outcome.ts';
import type { ReasonCode } from './reasons.ts';
import type { Head, SealKey } from './seal.ts';
import type { Channel, Grade, StreamPod, StreamRequest } from './stream.ts';

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
  /** The agent got the values, by a rule with `mask: none`; what is recorded is masked all the same. */
  readonly delivered?: 'raw';
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
    /** Of an exec, an attach or a port-forward: what it asks for, masked. `pod`: `null` where it could not be read. */
    readonly stream?: StreamRequest & { readonly grade: Grade; readonly pod: StreamPod | null };
    /** The pod of ephemeral containers, likewise. */
    readonly pod?: StreamPod | null;
    /** Of a call that is held until a reviewer decides. */
    readonly held?: {
      /** Keyed digest of the raw request without what may differ between two tries, hex. */
      readonly shape: string;
      /**
       * Sluice's own look at the object before it asks, a GET of this target with the identity of the obligations;
       * `null` where there is nothing to look at.
       */
      readonly look: string | null;
    };
  };
  /** Before the first byte upstream of a call that was held. */
  readonly decision: {
    readonly decision: FrameMeta['call']['decision'];
    readonly approval: string;
    /** Those who approved. */
    readonly reviewers: readonly string[];
    /** What the request to the cluster is bound to, beyond what the agent sent. */
    readonly precondition: ReviewedObject;
  };
  /** An event of an approval, in the order of `seq`. */
  readonly approval: {
    readonly approval: string;
    /** Its place in the stream of approvals. */
    readonly seq: number;
    /** By the broker's clock: milliseconds since the epoch. */
    readonly atMs: number;
    readonly event: ApprovalEvent;
    /** After the event. */
    readonly state: ApprovalState;
  };
  readonly response: {
    readonly status: number;
    readonly contentType: string;
  };
  /**
   * Bytes of a channel, or of one connection of a port-forward, `connection`, counted from 1: opened, refused or closed, or
   * what went into the pod or came out of it. `offset` of the frame counts the masked bytes of the channel, or of the
   * connection in that direction.
   */
  readonly channel:
    | { readonly channel: Channel }
    | { readonly channel: 'port'; readonly connection: number; readonly port: number; readonly event: 'opened' }
    | {
        readonly channel: 'port';
        readonly connection: number;
        readonly port: number;
        readonly event: 'refused';
        readonly reasonCode: ReasonCode;
        readonly reason: string;
      }
    | {
        readonly channel: 'port';
        readonly connection: number;
        readonly port: number;
        readonly event: 'closed';
        /** Bytes that went into the pod, and came out of it; unmasked. */
        readonly inBytes: number;
        readonly outBytes: number;
      }
    | {
        readonly channel: 'port';
        readonly connection: number;
        readonly port: number;
        readonly event: 'in' | 'out';
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
    /** Of a call that was cut: what the agent was told, who did it and why. */
    readonly message?: string;
    /** Of a stream that began. */
    readonly stream?: {
      /** The subprotocol towards the agent, and towards the cluster. */
      readonly client: string;
      readonly upstream: string;
      /** Of the command; `null` where it had none, or nobody knows. */
      readonly exitCode: number | null;
      /**
       * Each channel that carried something: masked bytes, and their SHA-256, hex. `port`: the bytes of all connections, in and
       * out, unmasked; no hash.
       */
      readonly channels: readonly {
        readonly channel: Channel | 'port';
        readonly bytes: number;
        readonly sha256: string;
      }[];
      /** Of an archive that was copied out of the pod, or into it: what its headers name, masked; the first thousand. */
      readonly files?: readonly { readonly name: string; readonly bytes: number }[];
      /** Of a port-forward: its bytes were not masked. */
      readonly unmasked?: true;
    };
  };
  readonly opened: {
    /** The service that writes it. */
    readonly writer: string;
    /** Of the process: its ledgers' names begin with it. */
    readonly instance: string;
    /** Where the same process's ledger before this one ended; `null` for the process's first. */
    readonly previous: Head | null;
    /** Whose seals this ledger bears. */
    readonly key: SealKey;
  };
  /** Of the frame before it: `seq` - 1 and `prev`. */
  readonly seal: { readonly kid: string; readonly signature: string };
  /** `drained`: the process ended in order. `rolled`: the process goes on in its next ledger. */
  readonly closed: { readonly cause: 'drained' | 'rolled' };
  readonly 'ledger-closed': {
    /** The last frame that is connected with the first. */
    readonly head: Head;
    /** `lease-ended`: its writer died. */
    readonly cause: 'drained' | 'rolled' | 'lease-ended';
    /** Positions that were lost with their writer, first and last of each run; frames behind them are kept. */
    readonly missing: readonly (readonly [first: number, last: number])[];
    /** How many calls got the outcome `presumed-unknown`. */
    readonly presumed: number;
  };
  /** Heads that moved since the list before; a recorder's first list names all ledgers. */
  readonly heads: { readonly heads: readonly Head[] };
  readonly unknown: Readonly<Record<string, unknown>>;
}

/** The last renewal of a lease on a ledger. */
export type LedgerLease =
  | { readonly state: 'held' }
  /** Its writer has written its last frame, which is this one. */
  | { readonly state: 'closed'; readonly seq: number; readonly cause: 'drained' | 'rolled' }
  /** The recorder holds its writer for dead: nothing may be written any more. */
  | { readonly state: 'ended' };

/** A writer renews its lease this often, */
export const ledgerRenewMs = 1_000;
/** writes no more after this long without success (`SLUICE_LEDGER_LEASE_MS`), */
export const ledgerLeaseMs = 10_000;
/** and is held for dead after this long (`SLUICE_LEDGER_GRACE_MS`). */
export const ledgerGraceMs = 30_000;

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
  /** argv of an exec, masked; `null` for what runs no command. */
  readonly command: readonly string[] | null;
  readonly effect: Effect;
  /** Why the call ended as it did: the decision's code, or the outcome's where it has one. */
  readonly reasonCode: ReasonCode;
  /** HTTP status; `null` while the call runs. */
  readonly status: number | null;
  /** `null` while the call runs. */
  readonly outcome: Outcome | null;
  /** Of the command of an exec; `null` where it had none, or nobody knows. */
  readonly exitCode: number | null;
  /** Frames of it were lost with their writer, or nobody knows how it ended. */
  readonly incomplete: boolean;
}

/** One session as `sluice sessions list --json` prints it. */
export interface SessionRow {
  readonly id: string;
  readonly agent: string;
  readonly task: string | null;
  /** ISO 8601, UTC. */
  readonly startedAt: string;
  /** End of its last call; `null` while one runs. */
  readonly endedAt: string | null;
  readonly calls: number;
}

/** A place in a ledger: answers begin behind it. */
export interface Cursor {
  readonly ledger: string;
  readonly seq: number;
}

/** One recorded frame, as `sluice replay` reads it. */
export interface FrameRow extends Cursor {
  readonly call: string;
  readonly at: string;
  /** When the broker had it on disk, by the broker's clock: microseconds since the epoch. */
  readonly storedAtMicros: number;
  readonly kind: FrameKind;
  readonly offset: number;
  /** JSON text of `FrameMeta[kind]`. */
  readonly meta: string;
  /** Size of the body, and the body itself. A large one may be left out: ask for its parts. */
  readonly size: number;
  readonly bytesBase64: string;
}

/** One ledger, counted. */
export interface LedgerRow {
  readonly ledger: string;
  /** Rows, and the lowest and highest position among them. */
  readonly rows: number;
  readonly first: number;
  readonly last: number;
  /** Bytes of headers and bodies. */
  readonly bytes: number;
}

/** One row of the record with everything that `sluice verify` needs, as it lies in the table. */
export interface ProofRow {
  readonly seq: number;
  readonly call: string;
  readonly session: string;
  readonly kind: string;
  readonly atMicros: number;
  readonly offset: number;
  readonly meta: string;
  readonly headerBase64: string;
  /** Size of the body, and the body itself. A large one may be left out: ask for its parts. */
  readonly size: number;
  readonly bytesBase64: string;
}

/**
 * A body over this size does not stand in an answer about frames, and none does that would let the rows of one position
 * exceed a message: `bytesBase64` is empty then, and `size` is not 0.
 */
export const largeBytes = 1_000_000;

/** Of a position that has several rows, which no writer makes, an answer holds so many. */
export const shownRows = 16;

/** A question to the recorder; everything it reads is masked. */
export type RecordsQuestion =
  | {
      readonly kind: 'calls';
      readonly agent?: string;
      readonly session?: string;
      readonly call?: string;
      readonly effect?: Effect;
      /** Only calls at or after this time: milliseconds since the epoch. */
      readonly sinceMs?: number;
      /** 1 to 1,000. */
      readonly limit: number;
      /** Only calls before this one: the next page. */
      readonly before?: string;
    }
  | {
      readonly kind: 'sessions';
      readonly agent?: string;
      /** Only sessions with a call at or after this time: milliseconds since the epoch. */
      readonly sinceMs?: number;
      /** 1 to 1,000. */
      readonly limit: number;
    }
  | {
      readonly kind: 'frames';
      readonly call: string;
      /** An answer holds what fits one message; `null` to start. */
      readonly after: Cursor | null;
      /** Sizes of bodies alone: what many frames carry need not be read to say how much it is. Default: bodies as well. */
      readonly bodies?: 'sizes';
    }
  | {
      readonly kind: 'ledgers';
      /** Only ledgers that hold frames of this session. */
      readonly session?: string;
    }
  | { readonly kind: 'proof'; readonly ledger: string; readonly afterSeq: number }
  | {
      /** Bytes of a body, from an offset, as many as an answer holds: of the row `row`, where one position has several. */
      readonly kind: 'part';
      readonly ledger: string;
      readonly seq: number;
      readonly row: number;
      readonly offset: number;
    }
  | { readonly kind: 'sql'; readonly sql: string; readonly params: Readonly<Record<string, string>> };

export type RecordsAnswer =
  | { readonly kind: 'calls'; readonly calls: readonly CallRow[] }
  | { readonly kind: 'sessions'; readonly sessions: readonly SessionRow[] }
  | { readonly kind: 'frames'; readonly frames: readonly FrameRow[]; readonly more: boolean }
  | { readonly kind: 'ledgers'; readonly ledgers: readonly LedgerRow[] }
  | { readonly kind: 'proof'; readonly rows: readonly ProofRow[]; readonly more: boolean }
  | { readonly kind: 'part'; readonly bytesBase64: string }
  | {
      readonly kind: 'sql';
      readonly columns: readonly string[];
      /** Values as JSON has them: 64-bit numbers as strings. */
      readonly rows: readonly (readonly unknown[])[];
    }
  | { readonly kind: 'error'; readonly message: string };
