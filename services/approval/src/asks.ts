import { randomUUID } from 'node:crypto';
import {
  type ApprovalAnswer,
  type ApprovalQuestion,
  type ApprovalRequest,
  approvals as approvalStream,
  commandMs,
  type Grant,
  resourceName,
} from '@sluice/model';
import type { Logger } from '@sluice/runtime';
import { type Approvals, Inadmissible, ifInadmissible } from './approvals.ts';
import { Callers, Quota } from './callers.ts';
import { type Approval, approvers, covers, stateAt } from './fold.ts';

export interface AsksParts {
  readonly approvals: Approvals;
  readonly log: Logger;
  /** The broker's clock, milliseconds since the epoch. */
  readonly now: () => number;
  /** Signs what an approval gives. */
  readonly sign: (grant: Grant) => string;
}

/** What ingress asks: which approval is a call's, where it stands, and whether it may be used. */
export class Asks {
  readonly #parts: AsksParts;
  readonly #approvals: Approvals;
  /** By agent, connection and shape: the approval that a retry attaches to. */
  readonly #byShape = new Map<string, string>();
  /** By agent, connection, verb and resource: the last approval of the command, and when it was last spoken of. */
  readonly #byCommand = new Map<string, { readonly approval: string; atMs: number }>();
  readonly #callers = new Callers();
  readonly #quota = new Quota();
  /** One after another: two asks of one shape must meet. */
  #opening: Promise<unknown> = Promise.resolve();

  /** Knows what is in `approvals` by then. */
  constructor(parts: AsksParts) {
    this.#parts = parts;
    this.#approvals = parts.approvals;
    for (const approval of parts.approvals.list().reverse()) this.#index(approval);
  }

  /** Answers ingress. Throws what the broker's client throws. */
  async answer(question: ApprovalQuestion, body: Buffer): Promise<ApprovalAnswer> {
    switch (question.kind) {
      case 'open': {
        const opened = this.#opening.then(() => this.#open(question.request, body));
        this.#opening = opened.catch(() => undefined);
        return opened;
      }
      case 'look': {
        const approval = this.#approvals.get(question.approval);
        if (approval === undefined) return gone(question.approval);
        this.#callers.waits(question.approval, question.call, this.#parts.now());
        return this.#standing(approval, question.shape, 'own');
      }
      case 'leave': {
        const approval = this.#approvals.get(question.approval);
        const nowMs = this.#parts.now();
        this.#callers.leaves(question.approval, question.call, question.why, nowMs);
        if (approval !== undefined) this.#touch(approval, nowMs);
        return { kind: 'concluded' };
      }
      case 'take':
        return this.#takeGrant(question);
      case 'conclude':
        return this.#conclude(question);
    }
  }

  /** Looks for what has come to an end by itself: calls whose agents are gone, and uses whose ingress is. */
  async sweep(isAlive: (instance: string) => boolean): Promise<void> {
    const nowMs = this.#parts.now();
    for (const id of this.#callers.abandoned(nowMs)) {
      await this.#approvals.append(id, { id: randomUUID(), kind: 'cancelled' }).catch(ifInadmissible);
      this.#callers.forget(id);
    }
    for (const approval of this.#approvals.list()) {
      if (nowMs - approval.requestedAtMs > approvalStream.maxAgeMs) this.#forget(approval);
      for (const { call, end, instance } of approval.uses) {
        if (end !== null || isAlive(instance)) continue;
        this.#parts.log.error(
          { approval: approval.id, call },
          'the ingress that used a grant died: its effect is unknown',
        );
        await this.#approvals
          .append(approval.id, { id: randomUUID(), kind: 'concluded', call, end: 'unknown' })
          .catch(ifInadmissible);
      }
    }
  }

  async #open(request: ApprovalRequest, body: Buffer): Promise<ApprovalAnswer> {
    const nowMs = this.#parts.now();
    const attached = this.#attachable(request, nowMs);
    if (attached !== undefined) {
      const { approval, card } = attached;
      if (card === 'own') this.#callers.waits(approval.id, request.call, nowMs);
      else if (stateAt(approval, nowMs) === 'pending') await this.#join(approval.id, request);
      return this.#standing(this.#approvals.get(approval.id) ?? approval, request.shape, card);
    }
    const agent = agentKey(request);
    const excess = this.#quota.excess(agent, this.#openOf(agent, nowMs), nowMs);
    if (excess !== null) {
      const message = `agent "${request.agent.name}" may not ask for an approval now: ${excess}`;
      return { kind: 'refused', reasonCode: 'TooManyAsks', message };
    }
    const approval = await this.#approvals.request(request, body);
    this.#index(approval);
    this.#quota.asked(agent, nowMs);
    this.#callers.waits(approval.id, request.call, nowMs);
    return this.#standing(approval, request.shape, 'own');
  }

  /** How many approvals of an agent somebody may still have to look at. */
  #openOf(agent: string, nowMs: number): number {
    return this.#approvals.list().filter((approval) => {
      const state = stateAt(approval, nowMs);
      return agentKey(approval.request) === agent && (state === 'pending' || state === 'approved');
    }).length;
  }

  /** The approval that is about this very call, or was just asked for by the same command. */
  #attachable(
    request: ApprovalRequest,
    nowMs: number,
  ): { readonly approval: Approval; readonly card: 'own' | 'shared' } | undefined {
    const same = this.#approvals.get(this.#byShape.get(shapeKey(request)) ?? '');
    if (same !== undefined) {
      const state = stateAt(same, nowMs);
      if (state === 'pending' || (state === 'approved' && covers(same, request.shape, nowMs)))
        return { approval: same, card: 'own' };
    }
    const last = this.#byCommand.get(commandKey(request));
    const approval = last === undefined ? undefined : this.#approvals.get(last.approval);
    if (last === undefined || approval === undefined) return undefined;
    const state = stateAt(approval, nowMs);
    if (state === 'approved' && covers(approval, request.shape, nowMs)) return { approval, card: 'own' };
    // A stream is a command of its own.
    const isCommand = request.stream === undefined || approval.request.shape === request.shape;
    const isRecent = isCommand && nowMs - last.atMs <= commandMs;
    return isRecent && (state === 'pending' || state === 'denied') ? { approval, card: 'shared' } : undefined;
  }

  async #join(id: string, request: ApprovalRequest): Promise<void> {
    const { call, attributes, method, target, exact, shape } = request;
    const known = this.#approvals.get(id)?.joined.some((one) => one.shape === shape) ?? false;
    if (known) return;
    const joined = { call, attributes, method, target, exact, shape };
    const approval = await this.#approvals
      .append(id, { id: randomUUID(), kind: 'joined', joined })
      .catch(ifInadmissible);
    if (approval !== undefined) this.#touch(approval, this.#parts.now());
  }

  async #takeGrant(question: Extract<ApprovalQuestion, { kind: 'take' }>): Promise<ApprovalAnswer> {
    const { approval: id, kind: _, ...use } = question;
    // Its answer was lost: it has what it asks for.
    if (this.#approvals.get(id)?.uses.some(({ call, end }) => call === use.call && end === null))
      return { kind: 'taken' };
    try {
      await this.#approvals.append(id, { id: randomUUID(), kind: 'taken', ...use });
      return { kind: 'taken' };
    } catch (error) {
      if (!(error instanceof Inadmissible)) throw error;
      const approval = this.#approvals.get(id);
      return approval === undefined ? gone(id) : this.#standing(approval, use.shape, 'own');
    }
  }

  async #conclude({ approval, call, end }: Extract<ApprovalQuestion, { kind: 'conclude' }>): Promise<ApprovalAnswer> {
    await this.#approvals.append(approval, { id: randomUUID(), kind: 'concluded', call, end }).catch(ifInadmissible);
    return { kind: 'concluded' };
  }

  #standing(approval: Approval, shape: string, card: 'own' | 'shared'): ApprovalAnswer {
    const { id, request, expiresAtMs, votes } = approval;
    const nowMs = this.#parts.now();
    const state = stateAt(approval, nowMs);
    const last = votes.at(-1);
    const isGranted = state === 'approved' && covers(approval, shape, nowMs);
    return {
      kind: 'standing',
      approval: id,
      // Approved for others, and not for this call: another one has used it up.
      state: state === 'approved' && !isGranted ? 'used' : state,
      expiresAtMs,
      card,
      reviewers: votes.filter(({ vote }) => vote === last?.vote).map(({ reviewer }) => reviewer.name),
      comment: last?.reason ?? '',
      ...(isGranted && { grant: this.#grantFor(approval, shape) }),
      ...(isGranted && shape === request.shape && { object: request.object }),
    };
  }

  #grantFor(approval: Approval, shape: string): string {
    const { agent, connection } = approval.request;
    return this.#parts.sign({
      approval: approval.id,
      agent: { issuer: agent.issuer, name: agent.name },
      connection,
      shape,
      reviewers: approvers(approval),
    });
  }

  #index(approval: Approval): void {
    this.#byShape.set(shapeKey(approval.request), approval.id);
    this.#byCommand.set(commandKey(approval.request), { approval: approval.id, atMs: approval.requestedAtMs });
  }

  /** The stream keeps it no more. */
  #forget(approval: Approval): void {
    const { id, request } = approval;
    this.#approvals.forget(id);
    this.#callers.forget(id);
    if (this.#byShape.get(shapeKey(request)) === id) this.#byShape.delete(shapeKey(request));
    if (this.#byCommand.get(commandKey(request))?.approval === id) this.#byCommand.delete(commandKey(request));
  }

  #touch(approval: Approval, nowMs: number): void {
    const last = this.#byCommand.get(commandKey(approval.request));
    if (last?.approval === approval.id) last.atMs = nowMs;
  }
}

/** Of an approval that the stream keeps no more. */
function gone(approval: string): ApprovalAnswer {
  const ended = { expiresAtMs: 0, card: 'own', reviewers: [], comment: '' } as const;
  return { kind: 'standing', approval, state: 'expired', ...ended };
}

function agentKey({ agent }: ApprovalRequest): string {
  return JSON.stringify([agent.issuer, agent.name]);
}

function shapeKey(request: ApprovalRequest): string {
  return `${agentKey(request)} ${request.connection} ${request.shape}`;
}

/** What kubectl does in one go: the same verb on the same resource. */
function commandKey(request: ApprovalRequest): string {
  const { attributes, connection } = request;
  const resource = attributes.kind === 'resource' ? resourceName(attributes) : attributes.path;
  return JSON.stringify([agentKey(request), connection, attributes.verb, resource]);
}
