// Whether what a reviewer has approved is this call, under the policies in force now. Pure.
import { type ApprovalTerms, type DecisionRequest, type Grant, meansReviewer, type Reviewer } from '@sluice/model';

/**
 * Whether `grant` answers an ask: it is for this agent, connection and shape, and those who approved satisfy `terms`,
 * which may have changed since. `null`: there is none, or it could not be trusted.
 */
export function answers(grant: Grant | null, request: DecisionRequest, terms: ApprovalTerms): boolean {
  return (
    grant !== null &&
    grant.agent.issuer === request.agent.issuer &&
    grant.agent.name === request.agent.name &&
    grant.connection === request.connection &&
    grant.shape === request.granted?.shape &&
    satisfy(grant.reviewers, terms)
  );
}

function satisfy(approvers: readonly Reviewer[], { reviewers, quorum }: ApprovalTerms): boolean {
  const distinct = new Set(approvers.map(({ name }) => name));
  if (distinct.size < quorum) return false;
  return reviewers.every((list) => list.some((entry) => approvers.some((approver) => meansReviewer(entry, approver))));
}
