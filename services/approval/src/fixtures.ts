// Requests, reviewers and events of tests.
import type { ApprovalEvent, ApprovalRequest, ApprovalTerms, Reviewer } from '@sluice/model';
import { type Approval, begin, fold, type StoredEvent } from './fold.ts';

export const alice: Reviewer = { name: 'local:alice', groups: ['sre'] };
export const bob: Reviewer = { name: 'local:bob', groups: [] };

export const terms: ApprovalTerms = { reviewers: [], quorum: 1, holdMs: 60_000, expiresMs: 1_800_000 };

let calls = 0;

/** An id of a call that no other test has. */
export function newCall(): string {
  return `01a20850-635b-7dcb-abe1-${String(++calls).padStart(12, '0')}`;
}

/** A request to delete a deployment; `shape` is that of no other one, unless it is given. */
export function requestOf(more: Partial<ApprovalRequest> = {}): ApprovalRequest {
  const call = newCall();
  return {
    call,
    session: '0'.repeat(32),
    agent: { name: 'deployer', issuer: 'https://id.example', groups: [] },
    connection: 'prod',
    attributes: {
      kind: 'resource',
      verb: 'delete',
      apiGroup: 'apps',
      version: 'v1',
      resource: 'deployments',
      subresource: '',
      namespace: 'shop',
      name: 'web',
    },
    method: 'DELETE',
    target: '/apis/apps/v1/namespaces/shop/deployments/web',
    bodyBytes: 0,
    exact: `exact of ${call}`,
    shape: `shape of ${call}`,
    mayDiffer: [],
    object: { kind: 'known', uid: 'a-uid', resourceVersion: '7' },
    policy: 'deployers',
    rule: 'ask-first',
    reason: 'Deployments of the shop are deleted by two people.',
    policyVersion: '0123456789abcdef',
    authority: 3,
    terms,
    ...more,
  };
}

/** Events as the log keeps them, one a second, from `atMs` on. */
export class Log {
  readonly stored: StoredEvent[] = [];
  readonly request: ApprovalRequest;
  approval: Approval;
  #atMs: number;

  constructor(request = requestOf(), atMs = 1_000_000) {
    this.request = request;
    this.#atMs = atMs;
    const opened = begin('7k2m9xqd4t', this.#store({ id: 'requested', kind: 'requested', request }));
    if (opened === null) throw new Error('not an opening event');
    this.approval = opened;
  }

  get nowMs(): number {
    return this.#atMs;
  }

  passes(ms: number): this {
    this.#atMs += ms;
    return this;
  }

  happens(event: Happening): this {
    this.approval = fold(this.approval, this.#store({ id: `event ${this.stored.length}`, ...event }));
    return this;
  }

  approves(reviewer = alice, more = 0): this {
    return this.happens({ kind: 'voted', vote: 'approve', reviewer, reason: '', more });
  }

  denies(reviewer = alice): this {
    return this.happens({ kind: 'voted', vote: 'deny', reviewer, reason: 'no', more: 0 });
  }

  takes(call: string, shape = this.request.shape): this {
    return this.happens({ kind: 'taken', call, exact: 'e', shape, instance: 'ingress' });
  }

  concludes(call: string, end: 'known' | 'unknown' = 'known'): this {
    return this.happens({ kind: 'concluded', call, end });
  }

  #store(event: ApprovalEvent): StoredEvent {
    this.#atMs += 1_000;
    const stored = { seq: this.stored.length + 1, atMs: this.#atMs, event };
    this.stored.push(stored);
    return stored;
  }
}

type Without<E> = E extends ApprovalEvent ? Omit<E, 'id'> : never;
export type Happening = Without<ApprovalEvent>;
