// A call that needs a reviewer: it is recorded, asked about, and kept waiting; what a reviewer gives is an input to a
// second decision.
import { shapeOf, withPrecondition } from '@sluice/kube';
import type { Agent, Allow, AskReviewer, Decision, DecisionRequest, ReviewedObject } from '@sluice/model';
import type { Lease, Logger } from '@sluice/runtime';
import { raw } from '@sluice/runtime/raw';
import type { ApprovalClient, Asking, Standing } from './approvals.ts';
import type { Ask } from './ask.ts';
import type { Body } from './body.ts';
import type { Call } from './call.ts';
import { type Look, lookTarget } from './look.ts';
import { Refusal } from './refusal.ts';

export interface HoldParts {
  readonly approvals: ApprovalClient;
  readonly look: Look;
  readonly ask: Ask;
  readonly lease: Pick<Lease, 'held'>;
  /** Aborts with a `Refusal` when Sluice begins to stop: whoever waits is told to come again. */
  readonly draining: AbortSignal;
  readonly log: Logger;
}

/** What a call needs to go upstream after a reviewer approved it. */
export interface Granted {
  readonly decision: Allow;
  /** What was asked, with the grant: the same question is asked again when the policies change. */
  readonly request: DecisionRequest;
  /** Bound to the object that was reviewed. */
  readonly body: Body;
  /** Until when the approval holds: milliseconds since the epoch. */
  readonly expiresAtMs: number;
  /** Spends the grant, right before the first byte goes upstream. Throws `Refusal`. */
  take(): Promise<void>;
  /** What came of it. `unknown`: the call may have taken effect, or not. */
  conclude(end: 'known' | 'unknown'): void;
}

/** Waits for a reviewer, until `gone` aborts. Throws `Refusal`, and what `gone` aborts with. */
export type Hold = (call: Call, decision: AskReviewer, gone: AbortSignal) => Promise<Granted>;

/** Where nobody tells of a change, it is looked for one. Also what shows that the call still waits. */
const lookMs = 2_000;

/** Calls that are kept waiting with all they hold, of one agent and in all; more are answered at once. */
const mostHeld = { ofAgent: 32, ofAll: 512 } as const;

export function createHold(parts: HoldParts): Hold {
  const { approvals, ask, draining, lease, log } = parts;
  const held = new Held();
  return async (call, decision, gone) => {
    const { canonical } = call;
    const { text, mayDiffer } = shapeOf(call.asHeld());
    const shape = call.shape(text);
    const target = lookTarget(canonical.attributes, canonical.target);
    await call.writeHeld({ shape, look: target });
    if (!lease.held()) throw new Refusal('AuthorityLost', 'Sluice does not know which policies are in force now');
    const object = call.pod ?? (await lookAt(parts, call, decision, target));
    const question = call.question();
    const request = call.approvalRequest(decision, { shape, mayDiffer, object });
    const opened = await approvals.open(request, call.reviewedBody);
    const asking: Asking = { approval: opened.approval, call: call.record.id, exact: call.digest, shape };

    const over = AbortSignal.any([gone, draining]);
    const release = held.add(call.agent);
    const waitMs = release === null ? 0 : decision.terms.holdMs;
    const standing = await decided(approvals, asking, opened, { decision, waitMs, over })
      .catch((error: unknown) => {
        approvals.leave(asking, error instanceof Refusal ? 'told' : 'gone');
        throw error;
      })
      .finally(() => release?.());
    const granted = { ...question.request, granted: { shape, grant: standing.grant ?? '' } };
    const second = await ask(granted, question.masked);
    if (second.effect !== 'allow') throw stillNot(second, opened.approval);
    const precondition = standing.object ?? object;
    if (call.pod !== undefined && !isSamePod(precondition, call.pod))
      throw changed('the pod is another one than a reviewer was asked about');
    if (precondition.kind === 'absent') await stillAbsent(parts, call, second, target);
    call.allowed(second, { approval: opened.approval, reviewers: standing.reviewers, precondition });
    log.info({ approval: opened.approval, call: call.record.id }, 'an approved call goes on');
    return {
      decision: second,
      request: granted,
      // A stream is bound to its pod by whoever opens it.
      body: call.pod === undefined ? boundTo(call, precondition) : call.body,
      expiresAtMs: standing.expiresAtMs,
      async take() {
        const taken = await approvals.take(asking);
        if (taken !== 'taken') throw refusalFor(taken, decision);
      },
      conclude: (end) => approvals.conclude(asking, end),
    };
  };
}

/** Counts the calls that wait. */
class Held {
  readonly #ofAgent = new Map<string, number>();
  #all = 0;

  /** `null`: there are too many already. What it returns takes the call out again. */
  add({ issuer, name }: Agent): (() => void) | null {
    const agent = JSON.stringify([issuer, name]);
    const count = this.#ofAgent.get(agent) ?? 0;
    if (count >= mostHeld.ofAgent || this.#all >= mostHeld.ofAll) return null;
    this.#ofAgent.set(agent, count + 1);
    this.#all++;
    return () => {
      this.#all--;
      const left = (this.#ofAgent.get(agent) ?? 1) - 1;
      if (left === 0) this.#ofAgent.delete(agent);
      else this.#ofAgent.set(agent, left);
    };
  }
}

/** Waits until the approval is decided, as long as the policy lets it wait. */
async function decided(
  approvals: ApprovalClient,
  asking: Asking,
  opened: Standing,
  { decision, waitMs, over }: { decision: AskReviewer; waitMs: number; over: AbortSignal },
): Promise<Standing> {
  const giveUpMs = performance.now() + waitMs;
  for (let standing = opened; ; ) {
    if (standing.state === 'approved') return standing;
    if (standing.state !== 'pending') throw refusalFor(standing, decision);
    const leftMs = giveUpMs - performance.now();
    if (leftMs <= 0 || standing.card === 'shared') throw refusalFor(standing, decision);
    await approvals.changed(asking.approval, Math.min(lookMs, leftMs), over);
    if (over.aborted) throw over.reason;
    // While nobody answers it is as it was: pending.
    standing = (await approvals.look(asking)) ?? standing;
  }
}

async function lookAt(
  { look }: HoldParts,
  call: Call,
  { obligations }: AskReviewer,
  target: string | null,
): Promise<ReviewedObject> {
  if (target === null) return { kind: 'none' };
  const { agent, record } = call;
  const object = await look({ target, call: record.id, agent, impersonate: obligations.impersonate });
  if (object.kind !== 'known' || bound(call, object) !== null) return object;
  return { kind: 'unreadable', why: 'a request of this form cannot be bound to a version of it' };
}

/**
 * No request can say that an object must not be there, so it is looked at once more: what has appeared since the reviewer
 * was asked, nobody has reviewed.
 */
async function stillAbsent(
  { look }: HoldParts,
  call: Call,
  { obligations }: Allow,
  target: string | null,
): Promise<void> {
  if (target === null) return;
  const { agent, record } = call;
  const object = await look({ target, call: record.id, agent, impersonate: obligations.impersonate });
  if (object.kind !== 'absent') throw changed('the object has appeared since a reviewer was asked about the call');
}

/** A stream cannot be bound to a version of its pod: whoever reviewed it looked at that pod, or knew that none could be seen. */
function isSamePod(reviewed: ReviewedObject, now: ReviewedObject): boolean {
  if (reviewed.kind !== 'known') return reviewed.kind === now.kind;
  return now.kind === 'known' && now.uid === reviewed.uid;
}

function changed(message: string): Refusal {
  return new Refusal('ObjectChanged', message, again);
}

function bound(call: Call, object: { readonly uid: string; readonly resourceVersion: string }): Body | null {
  const made = withPrecondition(call.asHeld(), object);
  if (made === null) return null;
  const { kind } = call.body;
  return { kind: kind === 'none' ? 'json' : kind, contentType: made.contentType, bytes: raw(made.body) };
}

/** What goes to the cluster: bound to what was reviewed, where it was there. Throws `Refusal`. */
function boundTo(call: Call, object: ReviewedObject): Body {
  if (object.kind !== 'known') return call.body;
  const body = bound(call, object);
  if (body === null) throw changed('the call cannot be bound to the object that was reviewed');
  return body;
}

/** The policies of now do not let it through, whatever a reviewer said. */
function stillNot(decision: Exclude<Decision, Allow>, approval: string): Refusal {
  if (decision.effect === 'deny') return new Refusal(decision.reasonCode, decision.reason, decision.hint, approval);
  const message = 'the policies have changed since the approval was asked for, and want another one';
  return new Refusal('ApprovalRequired', message, 'Make the same call again.', approval);
}

const again = 'Make the same call again: it asks for a new approval.';

function refusalFor(
  { approval, state, card, expiresAtMs, reviewers, comment }: Standing,
  decision: AskReviewer,
): Refusal {
  const what = decision.reason.replace(/\.$/, '');
  switch (state) {
    case 'denied': {
      const said = comment === '' ? '' : `: ${comment}`;
      const message = `${reviewers.join(', ') || 'a reviewer'} has denied approval ${approval}${said}`;
      return new Refusal('ApprovalDenied', message, decision.hint, approval);
    }
    case 'expired':
    case 'cancelled':
      return new Refusal('ApprovalExpired', `${what}; approval ${approval} has expired`, again, approval);
    case 'used':
    case 'ambiguous': {
      const message = `${what}; approval ${approval} was for another call, or has been used`;
      return new Refusal('ApprovalUsed', message, again, approval);
    }
    case 'pending':
    case 'approved': {
      const until = new Date(expiresAtMs).toISOString().slice(11, 16);
      const asked = card === 'own' ? `approval ${approval}` : `approval ${approval} of the call before`;
      const message = `${what}; ${asked} waits for a reviewer until ${until} UTC: make the same call again once it is approved`;
      const hint = `Wait for approval ${approval}, then make the same call again, unchanged. ${decision.hint}`.trim();
      return new Refusal('ApprovalRequired', message, hint, approval);
    }
  }
}
