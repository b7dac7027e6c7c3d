// What an ask takes to be approved: the strictest of what the rules that ask say. Pure.
import type { ApprovalTerms } from '@sluice/model';

/** What a rule that asks and says no more means, and a policy whose `otherwise` asks. */
export const defaultTerms: ApprovalTerms = { reviewers: [], quorum: 1, holdMs: 60_000, expiresMs: 30 * 60_000 };

/**
 * Terms that satisfy all of `asks`: every list of reviewers, the largest quorum, the shortest hold and the shortest
 * expiry. The hold stays within the expiry, as it does in each of them. Without any, `defaultTerms`.
 */
export function mergeTerms(asks: readonly ApprovalTerms[]): ApprovalTerms {
  const [first = defaultTerms, ...others] = asks;
  const merged = others.reduce(stricter, first);
  // A rule may ask twice: of the call, and of what it amounts to.
  const lists = new Map(merged.reviewers.map((list) => [JSON.stringify(list), list]));
  return { ...merged, reviewers: [...lists.values()] };
}

function stricter(one: ApprovalTerms, other: ApprovalTerms): ApprovalTerms {
  return {
    reviewers: [...one.reviewers, ...other.reviewers],
    quorum: Math.max(one.quorum, other.quorum),
    holdMs: Math.min(one.holdMs, other.holdMs),
    expiresMs: Math.min(one.expiresMs, other.expiresMs),
  };
}
