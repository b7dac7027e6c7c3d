// What of an answer is masked besides what always is: the mask rules of all policies that grant a call, as one. Pure.
import type { MaskRule, Obligations, RequestAttributes } from '@sluice/model';
import { type ResourceMatcher, resourceMatcher } from './match.ts';
import type { Policy } from './policy.ts';
import type { Entry } from './rule-index.ts';

/** One entry of `obligations.mask`. */
export interface PolicyMask {
  readonly rule: MaskRule;
  readonly matchesResource: ResourceMatcher;
}

export function policyMask(rule: MaskRule): PolicyMask {
  return { rule, matchesResource: resourceMatcher(rule.resources) };
}

/** What lets one judgement of a call through: rules, or where none matches the policies that ask about all else. */
export interface Grants {
  readonly rules: readonly Entry[];
  readonly otherwise: readonly Policy[];
}

/**
 * Masks unite, so that a policy more never shows more. `mask: none` is a leave that a policy gives: it holds within
 * that policy when one of its granting rules says so, since somebody wrote that rule for this very thing; and it holds
 * for the call only when every policy that grants it gives it, in everything the call is judged as. What is let
 * through by `otherwise` alone has no leave. Where the leave does not hold, it counts for nothing: the rules of all
 * granting policies apply, those of the policy that gave it too. Only rules on the call's resource are kept, as
 * decisions travel with every call. Empty when there is nothing to say.
 */
export function mergeMasks(grants: readonly Grants[], attributes: RequestAttributes): Pick<Obligations, 'mask'> {
  if (grants.length > 0 && grants.every(isNone)) return { mask: 'none' };
  const policies = new Set(
    grants.flatMap(({ rules, otherwise }) => [...rules.map(({ policy }) => policy), ...otherwise]),
  );
  const masks = [...policies]
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap(({ obligations }) => obligations?.masks ?? [])
    .filter((mask) => concerns(mask, attributes));
  const distinct = new Map(masks.map(({ rule }) => [JSON.stringify(rule), rule]));
  return distinct.size === 0 ? {} : { mask: [...distinct.values()] };
}

function isNone({ rules, otherwise }: Grants): boolean {
  if (rules.length === 0 || otherwise.length > 0) return false;
  const without = new Set(
    rules.filter(({ rule }) => rule.kind === 'resource' && rule.isUnmasked).map((entry) => entry.policy),
  );
  return rules.every(({ policy }) => without.has(policy));
}

/** Subresources are masked like their resource; a URL is no resource, and only what is for everything is for it. */
function concerns({ rule, matchesResource }: PolicyMask, attributes: RequestAttributes): boolean {
  if (rule.resources.includes('*')) return true;
  return attributes.kind === 'resource' && matchesResource.matches(attributes.apiGroup, attributes.resource, '');
}
