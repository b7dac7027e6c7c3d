// What an approval is, by its events alone: in the order in which they were stored, at the times the broker stored
// them. Pure: the clock is an argument.
import {
  type ApprovalEvent,
  type ApprovalRequest,
  type ApprovalState,
  commandMs,
  type JoinedCall,
  meansReviewer,
  type Reviewer,
} from '@sluice/model';

/** An event as the stream keeps it. */
export interface StoredEvent {
  /** Its place in the stream. */
  readonly seq: number;
  /** By the broker's clock: milliseconds since the epoch. */
  readonly atMs: number;
  readonly event: ApprovalEvent;
}

export interface Vote {
  readonly vote: 'approve' | 'deny';
  readonly reviewer: Reviewer;
  readonly reason: string;
  readonly more: number;
  readonly atMs: number;
}

/** A call that spends the grant, or a part of it. `end`: `null` while nobody knows what came of it. */
export interface Use {
  readonly call: string;
  readonly shape: string;
  readonly instance: string;
  readonly atMs: number;
  readonly end: 'known' | 'unknown' | null;
  readonly endedAtMs: number;
}

export interface Approval {
  readonly id: string;
  readonly request: ApprovalRequest;
  readonly requestedAtMs: number;
  readonly expiresAtMs: number;
  readonly votes: readonly Vote[];
  readonly joined: readonly JoinedCall[];
  readonly uses: readonly Use[];
  readonly closed: 'denied' | 'expired' | 'cancelled' | null;
  /** Place and kind of the last event that was stored, void ones too. */
  readonly seq: number;
  readonly last: ApprovalEvent['kind'];
}

/** Calls that share a card, at most. */
const maxJoined = 100;

/** The approval that its first event opens; `null` for another event. */
export function begin(id: string, { event, seq, atMs }: StoredEvent): Approval | null {
  if (event.kind !== 'requested') return null;
  const { request } = event;
  const expiresAtMs = atMs + request.terms.expiresMs;
  return {
    id,
    request,
    requestedAtMs: atMs,
    expiresAtMs,
    votes: [],
    joined: [],
    uses: [],
    closed: null,
    seq,
    last: event.kind,
  };
}

/**
 * The approval after one more event. One that comes too late, or twice, or from whom it may not, is void: it stays in the
 * log, and changes nothing but `seq`.
 */
export function fold(approval: Approval, { event, seq, atMs }: StoredEvent): Approval {
  const next = { ...approval, seq, last: event.kind };
  if (whyNot(approval, event, atMs) !== null) return next;
  switch (event.kind) {
    case 'requested':
      return next;
    case 'joined':
      return { ...next, joined: [...approval.joined, event.joined] };
    case 'voted': {
      const { vote, reviewer, reason, more } = event;
      const votes = [...approval.votes, { vote, reviewer, reason, more, atMs }];
      return { ...next, votes, closed: vote === 'deny' ? 'denied' : null };
    }
    case 'cancelled':
      return { ...next, closed: 'cancelled' };
    case 'expired':
      return { ...next, closed: 'expired' };
    case 'taken': {
      const { call, shape, instance } = event;
      return { ...next, uses: [...approval.uses, { call, shape, instance, atMs, end: null, endedAtMs: atMs }] };
    }
    case 'concluded': {
      const end = (use: Use): Use => (use.call === event.call ? { ...use, end: event.end, endedAtMs: atMs } : use);
      return { ...next, uses: approval.uses.map(end) };
    }
  }
}

/** What the approval is at a time. */
export function stateAt(approval: Approval, nowMs: number): ApprovalState {
  const { closed, uses, expiresAtMs } = approval;
  if (closed !== null) return closed;
  const isOver = nowMs >= expiresAtMs;
  if (uses.length > 0) {
    if (!isOver && !isSpent(approval, nowMs)) return 'approved';
    return uses.some(({ end }) => end === 'unknown') ? 'ambiguous' : 'used';
  }
  if (isOver) return 'expired';
  return isApproved(approval) ? 'approved' : 'pending';
}

/** Why an event would change nothing, as a clause that ends a sentence; `null` where it counts. */
export function whyNot(approval: Approval, event: ApprovalEvent, nowMs: number): string | null {
  const state = stateAt(approval, nowMs);
  switch (event.kind) {
    case 'requested':
      return 'it is there already';
    case 'joined':
      if (state !== 'pending') return `it is ${state}`;
      return approval.joined.length < maxJoined ? null : 'too many calls share it';
    case 'voted':
      return whyNoVote(approval, event, state);
    case 'cancelled':
      return state === 'pending' ? null : `it is ${state}`;
    case 'expired':
      return state === 'expired' && approval.closed === null ? null : `it is ${state}`;
    case 'taken':
      if (approval.uses.some(({ call }) => call === event.call)) return 'the call has it already';
      if (state !== 'approved') return `it is ${state}`;
      return covers(approval, event.shape, nowMs) ? null : 'it is for another call';
    case 'concluded':
      return approval.uses.some(({ call, end }) => call === event.call && end === null)
        ? null
        : 'no such use is under way';
  }
}

/** Whether a grant covers a call of this shape now: the one that was reviewed, or a further one of its command. */
export function covers(approval: Approval, shape: string, nowMs: number): boolean {
  const isReviewed = shape === approval.request.shape;
  if (isReviewed && !approval.uses.some((use) => use.shape === shape)) return true;
  return furtherLeft(approval, nowMs) > 0;
}

/** Those who approved. */
export function approvers({ votes }: Approval): readonly Reviewer[] {
  return votes.filter(({ vote }) => vote === 'approve').map(({ reviewer }) => reviewer);
}

function whyNoVote(
  approval: Approval,
  { vote, reviewer }: Extract<ApprovalEvent, { kind: 'voted' }>,
  state: ApprovalState,
): string | null {
  const { request, uses, votes } = approval;
  // A grant that is not used yet can still be taken back.
  const isOpen = state === 'pending' || (state === 'approved' && uses.length === 0);
  if (!isOpen) return `it is ${state}`;
  if (
    reviewer.name === `local:${request.agent.name}` ||
    reviewer.name === `${request.agent.issuer}:${request.agent.name}`
  )
    return 'nobody decides on what they have asked for themselves';
  const missed = request.terms.reviewers.find((list) => !list.some((entry) => meansReviewer(entry, reviewer)));
  if (missed !== undefined) return `${reviewer.name} is not among its reviewers: ${missed.join(', ')}`;
  if (vote === 'deny') return null;
  if (state === 'approved') return 'it is approved already';
  const hasVoted = votes.some((one) => one.vote === vote && one.reviewer.name === reviewer.name);
  return hasVoted ? `${reviewer.name} has approved it already` : null;
}

function isApproved({ request, votes }: Approval): boolean {
  const names = new Set(votes.filter(({ vote }) => vote === 'approve').map(({ reviewer }) => reviewer.name));
  return names.size >= request.terms.quorum;
}

/** Whether nothing can be used of a grant that was used before. */
function isSpent(approval: Approval, nowMs: number): boolean {
  const isReviewedUsed = approval.uses.some(({ shape }) => shape === approval.request.shape);
  return isReviewedUsed && furtherLeft(approval, nowMs) === 0;
}

/** How many further calls of the command are covered now. Each comes within `commandMs` of what was before it. */
function furtherLeft({ request, votes, uses }: Approval, nowMs: number): number {
  const granted = Math.max(0, ...votes.filter(({ vote }) => vote === 'approve').map(({ more }) => more));
  if (granted === 0) return 0;
  const isUnderWay = uses.some(({ end }) => end === null);
  const lastAtMs = Math.max(...votes.map(({ atMs }) => atMs), ...uses.map(({ endedAtMs }) => endedAtMs));
  if (!isUnderWay && nowMs - lastAtMs > commandMs) return 0;
  // The first use of the call that was reviewed is not one of the further ones.
  const isReviewedUsed = uses.some(({ shape }) => shape === request.shape);
  return granted - (uses.length - (isReviewedUsed ? 1 : 0));
}
