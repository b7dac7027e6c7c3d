import type { Agent } from './agent.ts';
import type { ApprovalTerms } from './approval.ts';
import type { RequestAttributes } from './attributes.ts';
import type { MaskRule } from './masking.ts';
import type { ReasonCode } from './reasons.ts';
import type { Grade, StreamRequest } from './stream.ts';
import { decodeWithBody, encodeWithBody } from './with-body.ts';

/**
 * What ingress asks on `sluice.decide`. Evaluation is pure, so asking twice is harmless. `encodeDecisionRequest`
 * puts the masked body behind it, and the masked pod behind that.
 */
export interface DecisionRequest {
  /** Call id, a UUIDv7. */
  readonly call: string;
  /** Keyed digest of the raw request, hex. The decision must name the same one. */
  readonly digest: string;
  readonly agent: Agent;
  /** Name of the cluster connection. */
  readonly connection: string;
  /** Of the call; a create has the name its body gives. */
  readonly attributes: RequestAttributes;
  /** `metadata.generateName` of a create that leaves its name to the server; empty otherwise. */
  readonly generateName: string;
  /**
   * `json`: the masked body follows. `apply`: likewise, and it is a server-side apply. `opaque`: there is a body
   * that Sluice cannot read. `json-patch`: RFC 6902 operations, masked likewise; they say what to do and not what comes
   * of it, so no condition can look into them. `none`: there is none.
   */
  readonly body: 'none' | 'json' | 'apply' | 'json-patch' | 'opaque';
  /** As it stands in the query, decoded. Left out where the call has none. */
  readonly fieldSelector?: string;
  /** Likewise. */
  readonly labelSelector?: string;
  /** Of an exec, an attach or a port-forward. Its command is masked: an argument with a mask in it is not known. */
  readonly stream?: StreamRequest;
  /**
   * Of what runs in a pod: a stream, or ephemeral containers. `read`: the masked pod, without its status, follows behind
   * the body. `absent`: there is none. `unreadable`: nobody knows what it is.
   */
  readonly pod?: 'read' | 'absent' | 'unreadable';
  /** Where a body and a pod follow: how long the body is. */
  readonly bodyBytes?: number;
  /** Of a port-forward that runs: the one connection to this port is asked about. */
  readonly port?: number;
  /** After an approval: the call's shape, and the `Grant` for it, signed, base64. */
  readonly granted?: { readonly shape: string; readonly grant: string };
}

/** The identity a call has towards the cluster: a fixed user per tier, never `system:*`. */
export interface Impersonation {
  readonly user: string;
  readonly groups: readonly string[];
}

/** What an allow demands of ingress. Ingress refuses a decision with a key it does not know. */
export interface Obligations {
  readonly impersonate: Impersonation;
  /** Record every byte of the call that may be recorded. */
  readonly record?: 'full';
  /** The call is cut at this time: milliseconds since the epoch. */
  readonly deadline?: number;
  /** What is masked besides. `none`: the agent gets the values as they are; the record has them masked all the same. */
  readonly mask?: 'none' | readonly MaskRule[];
}

interface DecisionBase {
  readonly digest: string;
  /** Name of the policy that decided; empty when nothing matched. */
  readonly policy: string;
  /** Name or position (`rules[2]`) of the rule that decided; empty when no rule did. */
  readonly rule: string;
  /** Content hash of the policy set that was in force, 16 hex digits. */
  readonly policyVersion: string;
  /** Sequence of the authority that the decision knew. Ingress refuses one older than what it has seen itself. */
  readonly authority: number;
  /** The decision cannot be used from this time on: milliseconds since the epoch. */
  readonly notAfter: number;
  /** Of a stream. */
  readonly grade?: Grade;
}

export interface Allow extends DecisionBase {
  readonly effect: 'allow';
  readonly reasonCode: 'AllowedByRule' | 'AllowedByApproval';
  readonly obligations: Obligations;
}

/** A person has to approve the call first. */
export interface AskReviewer extends DecisionBase {
  readonly effect: 'ask';
  readonly reasonCode: 'ApprovalRequired';
  /** One sentence for the agent. */
  readonly reason: string;
  /** What the agent may do instead; empty when there is nothing to say. */
  readonly hint: string;
  readonly obligations: Obligations;
  readonly terms: ApprovalTerms;
}

export interface Deny extends DecisionBase {
  readonly effect: 'deny';
  readonly reasonCode: ReasonCode;
  /** One sentence for the agent. */
  readonly reason: string;
  /** What the agent may do instead; empty when there is nothing to say. */
  readonly hint: string;
}

export type Decision = Allow | AskReviewer | Deny;
export type Effect = Decision['effect'];

/** `masked`: the body, and the pod behind it. */
export function encodeDecisionRequest(request: DecisionRequest, masked: Uint8Array): Buffer {
  return encodeWithBody(request, masked);
}

/** The body is a view. Throws when the message is not one. */
export function decodeDecisionRequest(message: Uint8Array): {
  readonly request: DecisionRequest;
  readonly body: Buffer;
} {
  const { head, body } = decodeWithBody<DecisionRequest>(message);
  return { request: head, body };
}
