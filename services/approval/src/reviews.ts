import { commentLength, type ReviewAnswer, type ReviewQuestion, waitMs } from '@sluice/model';
import { type Approvals, Inadmissible } from './approvals.ts';
import { cardOf, rowOf } from './cards.ts';
import { stateAt } from './fold.ts';

const mostListed = 1_000;
/** Further calls that one approval can cover. */
const mostMore = 100;

/** Answers people. What cannot be done is said in one sentence. */
export async function answerReview(
  approvals: Approvals,
  now: () => number,
  question: ReviewQuestion,
): Promise<ReviewAnswer> {
  if (question.kind === 'list') {
    const { state, limit } = question;
    const rows = approvals.list().map((approval) => rowOf(approval, now()));
    const chosen = state === undefined ? rows : rows.filter((row) => row.state === state);
    return { kind: 'list', approvals: chosen.slice(0, Math.min(Math.max(1, Math.trunc(limit)), mostListed)) };
  }
  const { approval: id } = question;
  try {
    if (question.kind === 'vote') {
      const { vote, reviewer, reason, more } = question;
      if (!Number.isInteger(more) || more < 0 || more > mostMore)
        return { kind: 'error', message: `an approval covers 0 to ${mostMore} further calls` };
      if (reason.length > commentLength)
        return { kind: 'error', message: `a reason has at most ${commentLength} characters` };
      await approvals.vote(id, vote, reviewer, reason, more);
    } else if (question.kind === 'wait') {
      const known = approvals.get(id);
      if (known !== undefined && stateAt(known, now()) === question.state) {
        const leftMs = known.expiresAtMs - now();
        await approvals.changed(id, leftMs > 0 ? Math.min(waitMs, leftMs) : waitMs);
      }
    }
  } catch (error) {
    if (!(error instanceof Inadmissible)) throw error;
    return { kind: 'error', message: error.message };
  }
  const approval = approvals.get(id);
  if (approval === undefined)
    return { kind: 'error', message: `there is no approval ${id}; \`sluice approvals list\` shows ids` };
  return { kind: 'show', approval: cardOf(approval, approvals.bodyOf(id), now()) };
}
