import {
  type ApprovalAnswer,
  type ApprovalChange,
  type ApprovalQuestion,
  type ApprovalRequest,
  encodeWithBody,
  subjects,
} from '@sluice/model';
import { type Broker, BrokerError, type Logger } from '@sluice/runtime';
import { Refusal } from './refusal.ts';

export type Standing = Extract<ApprovalAnswer, { kind: 'standing' }>;

/** A call, as far as an approval cares. Digests are hex. */
export interface Asking {
  readonly approval: string;
  readonly call: string;
  readonly exact: string;
  readonly shape: string;
}

/** How ingress speaks to the approval service. */
export interface ApprovalClient {
  /** Opens an approval, or attaches to one that fits. Throws `Refusal`. */
  open(request: ApprovalRequest, maskedBody: Uint8Array): Promise<Standing>;
  /** Where it stands; `null` while nobody answers. */
  look(asking: Asking): Promise<Standing | null>;
  /** Resolves when something is told of the approval, when `over` aborts, or after `ms`. */
  changed(approval: string, ms: number, over: AbortSignal): Promise<void>;
  /** The call waits no more. */
  leave(asking: Asking, why: 'told' | 'gone'): void;
  /** Spends the grant. What comes back instead is where the approval stands. Throws `Refusal`. */
  take(asking: Asking): Promise<'taken' | Standing>;
  /** Says what came of the use, until somebody has heard it. */
  conclude(asking: Asking, end: 'known' | 'unknown'): void;
}

const answerMs = 5_000;
const retryMs = 1_000;
/** A part that died is there again within seconds. */
const concludeAttempts = 30;
const takeAttempts = 3;

/** `instance`: of this process, as its lease names it. */
export function createApprovalClient(broker: Broker, instance: string, log: Logger): ApprovalClient {
  const waiting = new Map<string, Set<() => void>>();
  broker.listen(subjects.approvalChanged, (payload) => {
    const { approval } = JSON.parse(Buffer.from(payload).toString()) as ApprovalChange;
    for (const wake of waiting.get(approval) ?? []) wake();
  });
  const ask = async (question: ApprovalQuestion, body: Uint8Array = new Uint8Array(0)): Promise<ApprovalAnswer> => {
    const answer = await broker.request(subjects.approvalAsk, encodeWithBody(question, body), answerMs);
    return JSON.parse(Buffer.from(answer).toString()) as ApprovalAnswer;
  };

  return {
    async open(request, maskedBody) {
      const answer = await ask({ kind: 'open', request }, maskedBody).catch(unavailable);
      if (answer.kind === 'refused') throw new Refusal(answer.reasonCode, answer.message);
      if (answer.kind !== 'standing') throw new Refusal('ApprovalUnavailable', 'Sluice cannot ask for an approval now');
      return answer;
    },
    async look(asking) {
      const answer = await ask({ kind: 'look', ...asking }).catch(() => null);
      return answer?.kind === 'standing' ? answer : null;
    },
    async changed(approval, ms, over) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const waiters = waiting.get(approval) ?? new Set();
      waiting.set(approval, waiters.add(resolve));
      const wake = (): void => resolve();
      over.addEventListener('abort', wake);
      if (over.aborted) resolve();
      const timer = setTimeout(resolve, ms);
      await promise;
      clearTimeout(timer);
      over.removeEventListener('abort', wake);
      waiters.delete(resolve);
      if (waiters.size === 0) waiting.delete(approval);
    },
    leave({ approval, call }, why) {
      // Whoever does not hear of it sees that nobody looks any more.
      ask({ kind: 'leave', approval, call, why }).catch(() => undefined);
    },
    async take(asking) {
      for (let attempt = 1; ; attempt++) {
        try {
          const answer = await ask({ kind: 'take', ...asking, instance });
          if (answer.kind === 'taken') return 'taken';
          if (answer.kind === 'standing') return answer;
        } catch (error) {
          // Asked twice, it is taken once: the call is what it is known by.
          if (attempt === takeAttempts) return unavailable(error);
        }
      }
    },
    conclude({ approval, call }, end) {
      void (async () => {
        for (let attempt = 1; attempt <= concludeAttempts; attempt++) {
          try {
            await ask({ kind: 'conclude', approval, call, end });
            return;
          } catch {
            await new Promise((resolve) => setTimeout(resolve, retryMs));
          }
        }
        log.error({ approval, call, end }, 'nobody has heard what came of an approval');
      })();
    },
  };
}

function unavailable(error: unknown): never {
  if (!(error instanceof BrokerError)) throw error;
  throw new Refusal(
    'ApprovalUnavailable',
    'the call needs the approval of a reviewer, and nobody answers who could ask for one now',
  );
}
