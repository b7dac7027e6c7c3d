import { randomBytes, randomUUID } from 'node:crypto';
import {
  type ApprovalEvent,
  type ApprovalRequest,
  approvals,
  decodeWithBody,
  encodeWithBody,
  type Reviewer,
} from '@sluice/model';
import type { EventLog, Logger, StoredMessage } from '@sluice/runtime';
import { summaryOf } from './cards.ts';
import { type Approval, begin, fold, type StoredEvent, stateAt, whyNot } from './fold.ts';

export interface ApprovalsParts {
  readonly events: EventLog;
  readonly log: Logger;
  /** The broker's clock, milliseconds since the epoch. */
  readonly now: () => number;
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

/** All approvals, by their events. They are judged by the log and the broker's clock, and by nothing else. */
export class Approvals {
  readonly #parts: ApprovalsParts;
  readonly #all = new Map<string, Kept>();
  readonly #waiting = new Map<string, Set<() => void>>();

  constructor(parts: ApprovalsParts) {
    this.#parts = parts;
  }

  /** Reads all there is. */
  async load(): Promise<void> {
    for await (const message of this.#parts.events.read(approvals.subject, 0)) this.#take(message);
  }

  /** A reviewer's vote. Throws `Inadmissible`. */
  async vote(id: string, vote: 'approve' | 'deny', by: Reviewer, reason: string, more: number): Promise<Approval> {
    return this.append(id, { id: randomUUID(), kind: 'voted', vote, reviewer: by, reason, more });
  }

  /** Writes that an approval has expired, if it has. */
  async expire(id: string): Promise<void> {
    await this.append(id, { id: randomUUID(), kind: 'expired' }).catch(ifInadmissible);
  }

  /** The stream keeps it no more. */
  forget(id: string): void {
    this.#all.delete(id);
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

  /** Opens one. `body`: masked. */
  async request(request: ApprovalRequest, body: Buffer): Promise<Approval> {
    const { events, log } = this.#parts;
    const id = Array.from(randomBytes(idLength), (byte) => alphabet[byte % alphabet.length]).join('');
    const event: ApprovalEvent = { id: randomUUID(), kind: 'requested', request };
    const stored = await events.append(approvals.of(id), encodeWithBody(event, body), 0);
    if (stored === null) throw new Error(`there is an approval ${id} already`);
    this.#take(stored);
    log.info({ approval: id, call: request.call }, summaryOf(request));
    return this.#changedTo(id);
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
}

/** Whether time alone will change it. */
function isOpen(approval: Approval, nowMs: number): boolean {
  const state = stateAt(approval, nowMs);
  return state === 'pending' || state === 'approved' || (state === 'expired' && approval.closed === null);
}

/** Takes an event that would change nothing for none. */
export function ifInadmissible(error: unknown): undefined {
  if (!(error instanceof Inadmissible)) throw error;
  return undefined;
}
