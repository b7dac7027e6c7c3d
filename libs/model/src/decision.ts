import type { Agent } from './agent.ts';
import type { RequestAttributes } from './attributes.ts';
import type { ReasonCode } from './reasons.ts';

/** What ingress asks on `sluice.decide`. Evaluation is pure, so asking twice is harmless. */
export interface DecisionRequest {
  /** Call id, a UUIDv7. */
  readonly call: string;
  /** Keyed digest of the raw request, hex. The decision must name the same one. */
  readonly digest: string;
  readonly agent: Agent;
  /** Name of the cluster connection. */
  readonly connection: string;
  readonly attributes: RequestAttributes;
}

/** The identity a call has towards the cluster: a fixed user per tier, never `system:*`. */
export interface Impersonation {
  readonly user: string;
  readonly groups: readonly string[];
}

/** What an allow demands of ingress. Ingress refuses a decision with a key it does not know. */
export interface Obligations {
  readonly impersonate: Impersonation;
}

interface DecisionBase {
  readonly digest: string;
  /** Name of the policy that decided; empty when nothing matched. */
  readonly policy: string;
  /** Name or position (`rules[2]`) of the rule that decided; empty when nothing matched. */
  readonly rule: string;
  /** Content hash of the policy set that was in force, 16 hex digits. */
  readonly policyVersion: string;
  /** The decision cannot be used from this time on: milliseconds since the epoch. */
  readonly notAfter: number;
}

export interface Allow extends DecisionBase {
  readonly effect: 'allow';
  readonly reasonCode: 'AllowedByRule';
  readonly obligations: Obligations;
}

export interface Deny extends DecisionBase {
  readonly effect: 'deny';
  readonly reasonCode: ReasonCode;
  /** One sentence for the agent. */
  readonly reason: string;
  /** What the agent may do instead; empty when there is nothing to say. */
  readonly hint: string;
}

export type Decision = Allow | Deny;
