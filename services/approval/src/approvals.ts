import { randomBytes, randomUUID } from 'node:crypto';
import {
  type ApprovalAnswer,
  type ApprovalEvent,
  type ApprovalQuestion,
  type ApprovalRequest,
  approvals,
  commandMs,
  decodeWithBody,
  encodeWithBody,
  type Grant,
  type Reviewer,
  resourceName,
} from '@sluice/model';
import type { EventLog, Logger, StoredMessage } from '@sluice/runtime';
import { Callers, Quota } from './callers.ts';
import { summaryOf } from './cards.ts';
import { type Approval, approvers, begin, covers, fold, type StoredEvent, stateAt, whyNot } from './fold.ts';

export interface ApprovalsParts {
  readonly events: EventLog;
  readonly log: Logger;
  /** The broker's clock, milliseconds since the epoch. */
  readonly now: () => number;
  /** Signs what an approval gives. */
  readonly sign: (grant: Grant) => string;
  /** Told after each event. */
  readonly onChanged: (approval: Approval) => void;
}

/** Code `Inadmissible`: an event that would change nothing. The message is one sentence. */
export class Inadmissible extends Error {
  readonly code = 'Inadmissible';
}

/** What is kept of an approval in memory: its fold, its events, and the masked body that was asked about. */
interface Kept {
  approval: Approval;
  readonly body: Buffer;
  readonly history: StoredEvent[];
}

/** Somebody else may write in between so often. */
const attempts = 5;
/** Without letters that are taken for others (Crockford's base32). */
const alphabet = '0123456789abcdefghjkmnpqrstvwxyz';
const idLength = 10;

/** All approvals, by their events. It judges by the log and the broker's clock, and by nothing else. */
export class Approvals {
  readonly #parts: ApprovalsParts;
  readonly #all = new Map<string, Kept>();
  /** By agent, connection and shape: the approval that a retry attaches to. */
  readonly #byShape = new Map<string, string>();
  /** By agent, connection, verb and resource: the last approval of the command, and when it was last spoken of. */
  readonly #byCommand = new Map<string, { readonly approval: string; atMs: number }>();
  readonly #callers = new Callers();
  readonly #quota = new Quota();
  readonly #waiting = new Map<string, Set<() => void>>();
  /** One after another: two asks of one shape must meet. */
  #opening: Promise<unknown> = Promise.resolve();

  constructor(parts: ApprovalsParts) {
    this.#parts = parts;
  }

  /** Reads all there is. */
  async load(): Promise<void> {
    for await (const message of this.#parts.events.read(approvals.subject, 0)) this.#take(message);
    for (const { approval } of this.#all.values()) this.#index(approval);
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
        const kept = this.#all.get(question.approval);
        if (kept === undefined) return gone(question.approval);
        this.#callers.waits(question.approval, question.call, this.#parts.now());
        return this.#standing(kept.approval, question.shape, 'own');
      }
      case 'leave': {
        const kept = this.#all.get(question.approval);
        const nowMs = this.#parts.now();
        this.#callers.leaves(question.approval, question.call, question.why, nowMs);
        if (kept !== undefined) this.#touch(kept.approval, nowMs);
        return { kind: 'concluded' };
      }
      case 'take':
        return this.#takeGrant(question);
      case 'conclude':
        return this.#conclude(question);
    }
  }

  /** A reviewer's vote. Throws `Inadmissible`. */
  async vote(id: string, vote: 'approve' | 'deny', by: Reviewer, reason: string, more: number): Promise<Approval> {
    return this.append(id, { id: randomUUID(), kind: 'voted', vote, reviewer: by, reason, more });
  }

  /** Writes that an approval has expired, if it has. */
  async expire(id: string): Promise<void> {
    await this.append(id, { id: randomUUID(), kind: 'expired' }).catch(ifInadmissible);
  }

  /** Looks for what has come to an end by itself: calls whose agents are gone, and uses whose ingress is. */
  async sweep(isAlive: (instance: string) => boolean): Promise<void> {
    const nowMs = this.#parts.now();
    for (const id of this.#callers.abandoned(nowMs)) {
      await this.append(id, { id: randomUUID(), kind: 'cancelled' }).catch(ifInadmissible);
      this.#callers.forget(id);
    }
    for (const { approval } of this.#all.values()) {
      if (nowMs - approval.requestedAtMs > approvals.maxAgeMs) this.#forget(approval);
      for (const { call, end, instance } of approval.uses) {
        if (end !== null || isAlive(instance)) continue;
        this.#parts.log.error(
          { approval: approval.id, call },
          'the ingress that used a grant died: its effect is unknown',
        );
        await this.append(approval.id, { id: randomUUID(), kind: 'concluded', call, end: 'unknown' }).catch(
          ifInadmissible,
        );
      }
    }
  }

  get(id: string): Approval | undefined {
    return this.#all.get(id)?.approval;
  }

  /** The masked body that was asked about, or its beginning. */
  bodyOf(id: string): Buffer {
    return this.#all.get(id)?.body ?? Buffer.alloc(0);
  }

  /** Newest first. */
  list(): Approval[] {
    return [...this.#all.values()]
      .map(({ approval }) => approval)
      .sort((a, b) => b.requestedAtMs - a.requestedAtMs || (a.id < b.id ? 1 : -1));
  }

  /** Those that time will change. */
  open(): Approval[] {
    const nowMs = this.#parts.now();
    return this.list().filter((approval) => isOpen(approval, nowMs));
  }

  /** The approval as it was right after an event of its log. */
  at(id: string, seq: number): Approval | undefined {
    let found: Approval | undefined;
    for (const stored of this.#all.get(id)?.history ?? []) {
      if (stored.seq > seq) break;
      found = found === undefined ? (begin(id, stored) ?? undefined) : fold(found, stored);
    }
    return found;
  }

  /** Makes sure that an event of the log is known here: its writer may not have been told yet that it is there. */
  async learn(id: string, seq: number): Promise<void> {
    if ((this.get(id)?.seq ?? 0) < seq) await this.#refresh(id);
  }

  /** Resolves at the approval's next event, or after `ms`. */
  async changed(id: string, ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiting = this.#waiting.get(id) ?? new Set();
    this.#waiting.set(id, waiting.add(resolve));
    const timer = setTimeout(resolve, ms);
    await promise;
    clearTimeout(timer);
    waiting.delete(resolve);
    if (waiting.size === 0) this.#waiting.delete(id);
  }

  /** Writes an event, if it counts. Throws `Inadmissible`. */
  async append(id: string, event: ApprovalEvent): Promise<Approval> {
    const { events, now } = this.#parts;
    for (let attempt = 1; attempt <= attempts; attempt++) {
      const kept = this.#all.get(id);
      if (kept === undefined) throw new Inadmissible(`there is no approval ${id}`);
      const why = whyNot(kept.approval, event, now());
      if (why !== null) throw new Inadmissible(`approval ${id} stays as it is: ${why}`);
      const stored = await events.append(approvals.of(id), encodeWithBody(event, Buffer.alloc(0)), kept.approval.seq);
      if (stored === null) {
        await this.#refresh(id);
        continue;
      }
      this.#take(stored);
      // The time at which the broker stored it decides, not the one at which it was written.
      const before = this.at(id, stored.seq - 1);
      const late = before === undefined ? null : whyNot(before, event, stored.atMs);
      if (late !== null) throw new Inadmissible(`approval ${id} stays as it is: ${late}`);
      return this.#changedTo(id);
    }
    throw new Error(`approval ${id} is written by others all the time`);
  }

  async #open(request: ApprovalRequest, body: Buffer): Promise<ApprovalAnswer> {
    const nowMs = this.#parts.now();
    const attached = this.#attachable(request, nowMs);
    if (attached !== undefined) {
      const { approval, card } = attached;
      if (card === 'own') this.#callers.waits(approval.id, request.call, nowMs);
      else if (stateAt(approval, nowMs) === 'pending') await this.#join(approval.id, request);
      return this.#standing(this.get(approval.id) ?? approval, request.shape, card);
    }
    const agent = agentKey(request);
    const excess = this.#quota.excess(agent, this.#openOf(agent, nowMs), nowMs);
    if (excess !== null) {
      const message = `agent "${request.agent.name}" may not ask for an approval now: ${excess}`;
      return { kind: 'refused', reasonCode: 'TooManyAsks', message };
    }
    const approval = await this.#request(request, body);
    this.#quota.asked(agent, nowMs);
    this.#callers.waits(approval.id, request.call, nowMs);
    return this.#standing(approval, request.shape, 'own');
  }

  /** How many approvals of an agent somebody may still have to look at. */
  #openOf(agent: string, nowMs: number): number {
    return this.list().filter((approval) => {
      const state = stateAt(approval, nowMs);
      return agentKey(approval.request) === agent && (state === 'pending' || state === 'approved');
    }).length;
  }

  /** The approval that is about this very call, or was just asked for by the same command. */
  #attachable(
    request: ApprovalRequest,
    nowMs: number,
  ): { readonly approval: Approval; readonly card: 'own' | 'shared' } | undefined {
    const same = this.get(this.#byShape.get(shapeKey(request)) ?? '');
    if (same !== undefined) {
      const state = stateAt(same, nowMs);
      if (state === 'pending' || (state === 'approved' && covers(same, request.shape, nowMs)))
        return { approval: same, card: 'own' };
    }
    const last = this.#byCommand.get(commandKey(request));
    const approval = last === undefined ? undefined : this.get(last.approval);
    if (last === undefined || approval === undefined) return undefined;
    const state = stateAt(approval, nowMs);
    if (state === 'approved' && covers(approval, request.shape, nowMs)) return { approval, card: 'own' };
    const isRecent = nowMs - last.atMs <= commandMs;
    return isRecent && (state === 'pending' || state === 'denied') ? { approval, card: 'shared' } : undefined;
  }

  async #request(request: ApprovalRequest, body: Buffer): Promise<Approval> {
    const { events, log } = this.#parts;
    const id = Array.from(randomBytes(idLength), (byte) => alphabet[byte % alphabet.length]).join('');
    const event: ApprovalEvent = { id: randomUUID(), kind: 'requested', request };
    const stored = await events.append(approvals.of(id), encodeWithBody(event, body), 0);
    if (stored === null) throw new Error(`there is an approval ${id} already`);
    this.#take(stored);
    const approval = this.#changedTo(id);
    this.#index(approval);
    log.info({ approval: id, call: request.call }, summaryOf(request));
    return approval;
  }

  async #join(id: string, request: ApprovalRequest): Promise<void> {
    const { call, attributes, method, target, exact, shape } = request;
    const known = this.get(id)?.joined.some((one) => one.shape === shape) ?? false;
    if (known) return;
    const joined = { call, attributes, method, target, exact, shape };
    const approval = await this.append(id, { id: randomUUID(), kind: 'joined', joined }).catch(ifInadmissible);
    if (approval !== undefined) this.#touch(approval, this.#parts.now());
  }

  async #takeGrant(question: Extract<ApprovalQuestion, { kind: 'take' }>): Promise<ApprovalAnswer> {
    const { approval: id, kind: _, ...use } = question;
    // Its answer was lost: it has what it asks for.
    if (this.get(id)?.uses.some(({ call, end }) => call === use.call && end === null)) return { kind: 'taken' };
    try {
      await this.append(id, { id: randomUUID(), kind: 'taken', ...use });
      return { kind: 'taken' };
    } catch (error) {
      if (!(error instanceof Inadmissible)) throw error;
      const approval = this.get(id);
      return approval === undefined ? gone(id) : this.#standing(approval, use.shape, 'own');
    }
  }

  async #conclude({ approval, call, end }: Extract<ApprovalQuestion, { kind: 'conclude' }>): Promise<ApprovalAnswer> {
    await this.append(approval, { id: randomUUID(), kind: 'concluded', call, end }).catch(ifInadmissible);
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

  /** Learns what somebody else has written. */
  async #refresh(id: string): Promise<void> {
    const known = this.get(id)?.seq ?? 0;
    for await (const message of this.#parts.events.read(approvals.of(id), known)) this.#take(message);
  }

  #take(message: StoredMessage): void {
    const id = message.subject.slice(message.subject.lastIndexOf('.') + 1);
    const { head: event, body } = decodeWithBody<ApprovalEvent>(message.payload);
    const stored: StoredEvent = { seq: message.seq, atMs: message.atMs, event };
    const kept = this.#all.get(id);
    if (kept === undefined) {
      const approval = begin(id, stored);
      if (approval !== null) this.#all.set(id, { approval, body: Buffer.from(body), history: [stored] });
      return;
    }
    if (message.seq <= kept.approval.seq) return;
    kept.approval = fold(kept.approval, stored);
    kept.history.push(stored);
  }

  #changedTo(id: string): Approval {
    const { approval } = this.#all.get(id) as Kept;
    this.#parts.onChanged(approval);
    for (const wake of this.#waiting.get(id) ?? []) wake();
    return approval;
  }

  #index(approval: Approval): void {
    this.#byShape.set(shapeKey(approval.request), approval.id);
    this.#byCommand.set(commandKey(approval.request), { approval: approval.id, atMs: approval.requestedAtMs });
  }

  /** The stream keeps it no more. */
  #forget(approval: Approval): void {
    const { id, request } = approval;
    this.#all.delete(id);
    this.#callers.forget(id);
    if (this.#byShape.get(shapeKey(request)) === id) this.#byShape.delete(shapeKey(request));
    if (this.#byCommand.get(commandKey(request))?.approval === id) this.#byCommand.delete(commandKey(request));
  }

  #touch(approval: Approval, nowMs: number): void {
    const last = this.#byCommand.get(commandKey(approval.request));
    if (last?.approval === approval.id) last.atMs = nowMs;
  }
}

/** Whether time alone will change it. */
function isOpen(approval: Approval, nowMs: number): boolean {
  const state = stateAt(approval, nowMs);
  return state === 'pending' || state === 'approved' || (state === 'expired' && approval.closed === null);
}

/** Of an approval that the stream keeps no more. */
function gone(approval: string): ApprovalAnswer {
  const ended = { expiresAtMs: 0, card: 'own', reviewers: [], comment: '' } as const;
  return { kind: 'standing', approval, state: 'expired', ...ended };
}

function ifInadmissible(error: unknown): undefined {
  if (!(error instanceof Inadmissible)) throw error;
  return undefined;
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
