import {
  type ApprovalCard,
  type ApprovalRow,
  type ApprovalState,
  longestApprovalMs,
  type ReviewAnswer,
  type ReviewQuestion,
} from '@sluice/model';
import { approvalsTable, cardText, standingLine } from './approval-card.ts';
import type { HomePaths } from './home.ts';
import { askRunning } from './running.ts';
import { onOneLine, printable } from './text.ts';

/** `sluice approvals list`, with its options parsed. */
export interface ListOptions {
  readonly state?: ApprovalState;
  readonly limit: number;
  readonly json?: true;
}

/** `sluice approvals approve` and `deny`, with their options parsed. */
export interface VoteOptions {
  readonly reason?: string;
  /** Further calls of the same command, at most. */
  readonly more?: number;
  readonly json?: true;
}

/** `sluice approvals wait`, with its options parsed. */
export interface WaitOptions {
  /** Milliseconds. */
  readonly timeout: number;
  readonly json?: true;
}

/** The first line of what is said to those who want to know how to vote. */
export const otherAccount =
  'Whoever approves must use another account than the agent: under its own, an agent could approve its own calls.';

/** Lists approvals, newest first. Throws an `Error` of one sentence, as the others below do. */
export async function listApprovals(
  home: HomePaths,
  { state, limit, json }: ListOptions,
  out: NodeJS.WritableStream,
): Promise<void> {
  const question = { kind: 'list', limit, ...(state === undefined ? {} : { state }) } as const;
  const { approvals } = (await ask(home, question)) as Extract<ReviewAnswer, { kind: 'list' }>;
  out.write(json === true ? asJson(approvals) : approvalsTable(approvals, Date.now()));
}

/** Shows one approval as a reviewer reads it; as JSON, all of it. */
export async function showApproval(
  home: HomePaths,
  id: string,
  { json }: { readonly json?: true },
  out: NodeJS.WritableStream,
): Promise<void> {
  const card = await askCard(home, { kind: 'show', approval: approvalId(id) });
  out.write(json === true ? asJson(card) : cardText(card, Date.now()));
}

/** Votes, as the person whose account Sluice runs under, and says what is now the case. */
export async function voteOnApproval(
  home: HomePaths,
  vote: 'approve' | 'deny',
  id: string,
  { reason = '', more = 0, json }: VoteOptions,
  out: NodeJS.WritableStream,
): Promise<void> {
  const card = await askCard(home, { kind: 'vote', approval: approvalId(id), vote, reason, more });
  out.write(json === true ? asJson(rowOf(card)) : standingLine(card));
}

/** Waits until an approval is no longer pending. Returns its state; throws when it still is after the timeout. */
export async function waitForApproval(
  home: HomePaths,
  id: string,
  { timeout, json }: WaitOptions,
  out: NodeJS.WritableStream,
): Promise<ApprovalState> {
  const approval = approvalId(id);
  const timedOut = AbortSignal.timeout(Math.min(timeout, longestApprovalMs));
  for (;;) {
    const card = await askCard(home, { kind: 'wait', approval, state: 'pending' }, timedOut).catch((error: unknown) => {
      if (!timedOut.aborted) throw error;
      throw new Error(
        `${approval} is still pending; wait longer with --timeout, or look: sluice approvals show ${approval}`,
      );
    });
    if (card.state === 'pending') continue;
    out.write(json === true ? asJson(rowOf(card)) : approvalsTable([card], Date.now()));
    return card.state;
  }
}

/** 0 where the call may go, or has gone, to the cluster. */
export function exitCodeOf(state: ApprovalState): 0 | 1 {
  return state === 'approved' || state === 'used' ? 0 : 1;
}

/** Ten characters of Crockford's base32, in lower case. Throws for what is no such thing. */
function approvalId(text: string): string {
  const id = text.toLowerCase();
  if (!/^[0-9a-hjkmnp-tv-z]{10}$/.test(id)) {
    throw new Error(`"${onOneLine(text)}" is no id of an approval; \`sluice approvals list\` shows them`);
  }
  return id;
}

/** Who votes is put in by the Sluice that runs here. */
type Vote = Extract<ReviewQuestion, { kind: 'vote' }>;
type Question = Exclude<ReviewQuestion, Vote> | Omit<Vote, 'reviewer'>;

/** All questions about one approval are answered with it, as it is then. */
async function askCard(
  home: HomePaths,
  question: Exclude<Question, { kind: 'list' }>,
  signal?: AbortSignal,
): Promise<ApprovalCard> {
  return ((await ask(home, question, signal)) as Extract<ReviewAnswer, { kind: 'show' }>).approval;
}

async function ask(
  home: HomePaths,
  question: Question,
  signal?: AbortSignal,
): Promise<Exclude<ReviewAnswer, { kind: 'error' }>> {
  const reply = await askRunning(home, '/v1/approvals', JSON.stringify(question), signal);
  if (reply === null) {
    throw new Error('no Sluice runs here, and approvals are decided while one does; start it: npm start');
  }
  const answer = JSON.parse(reply.toString()) as ReviewAnswer;
  if (answer.kind === 'error') throw new Error(onOneLine(answer.message));
  return answer;
}

function rowOf({ id, state, agent, task, summary, requestedAt, expiresAt, votes }: ApprovalCard): ApprovalRow {
  return { id, state, agent, task, summary, requestedAt, expiresAt, votes };
}

/** What a terminal would obey is escaped, which JSON reads as the same. */
function asJson(value: unknown): string {
  return `${printable(JSON.stringify(value))}\n`;
}
