// What policies are once they are compiled. Types only.
import type { ApprovalTerms, Effect, Impersonation } from '@sluice/model';
import type { Condition } from './condition.ts';
import type { ExecTerms, PortRange } from './exec/terms.ts';
import type { PolicyMask } from './masks.ts';
import type { Matcher, ResourceMatcher } from './match.ts';
import type { RuleIndex } from './rule-index.ts';

/** Every policy that is in force, compiled. */
export interface PolicySet {
  /** 16 hex digits: changes with any text. */
  readonly version: string;
  /** Sorted by name. */
  readonly policies: readonly Policy[];
  readonly index: RuleIndex;
}

export interface Policy {
  readonly name: string;
  readonly subjects: readonly Subject[];
  readonly connections: Matcher;
  /** What a call is that matches none of the rules. */
  readonly otherwise: 'ask' | 'deny';
  readonly rules: readonly Rule[];
  /** Always there when the policy can let a call through. */
  readonly obligations: PolicyObligations | null;
}

export interface PolicyObligations {
  readonly impersonate: Impersonation;
  readonly isRecordFull: boolean;
  /** How long a call may run; `null`: as long as it likes. */
  readonly deadlineMs: number | null;
  /** What is masked besides what always is. */
  readonly masks: readonly PolicyMask[];
}

/** Whom a policy is for. Empty `issuer`: the one that is configured. */
export interface Subject {
  readonly kind: 'agent' | 'group';
  readonly name: string;
  readonly issuer: string;
}

export type Rule = ResourceRule | NonResourceRule;

interface RuleBase {
  /** Its name, or `rules[2]`. */
  readonly name: string;
  readonly effect: Effect;
  readonly verbs: readonly string[];
  readonly when: Condition | null;
  /** Empty unless the policy gives one. */
  readonly reason: string;
  /** Of a rule that asks, or may ask about what is opaque or interactive; `null` of any other. */
  readonly terms: ApprovalTerms | null;
  /** As written, for hints: `get, list on pods, pods/log in shop-*`. */
  readonly summary: string;
}

export interface ResourceRule extends RuleBase {
  readonly kind: 'resource';
  /** As written. */
  readonly resources: readonly string[];
  readonly matchesResource: ResourceMatcher;
  /** Matches the namespace; a call that has none matches only where this matches everything. */
  readonly namespaces: Matcher;
  readonly names: Matcher;
  /** `mask: none`: the agent gets the values of what this rule lets through. */
  readonly isUnmasked: boolean;
  /** With it, the rule is about what runs in a pod and nothing else; `null` without. */
  readonly exec: ExecTerms | null;
  /** With it, the rule is about port-forwards and nothing else; `null` without. */
  readonly ports: readonly PortRange[] | null;
}

export interface NonResourceRule extends RuleBase {
  readonly kind: 'nonResource';
  /** As written. */
  readonly urls: readonly string[];
}
