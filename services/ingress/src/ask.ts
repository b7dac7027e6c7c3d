import type { KeyObject } from 'node:crypto';
import { type Decision, type DecisionRequest, encodeDecisionRequest, subjects } from '@sluice/model';
import { type Broker, BrokerError, type Lease, type Logger, openDecision } from '@sluice/runtime';
import { Refusal } from './refusal.ts';

/** Asks for a decision. Throws `Refusal` when none comes that can be trusted. */
export type Ask = (request: DecisionRequest, masked: Uint8Array) => Promise<Decision>;

const deadlineMs = 2_000;
/** No answer after this: the same bytes are asked once more, and the first answer counts. */
const secondAskMs = 30;
/** No second ask once this share of the last second's needed one: it would feed a storm. */
const secondAskShare = 0.05;
/** Below this many asks a second a share says nothing. */
const secondAskFloor = 20;

/** After a decision by policies that are no longer in force: a worker needs this long to hear of a change. */
const staleMs = 20;

/** Keys of obligations this build fulfils; a decision with another is refused. */
const fulfilled: ReadonlySet<string> = new Set(['impersonate', 'record', 'deadline', 'mask']);

export function createAsk(broker: Broker, key: KeyObject, authority: Pick<Lease, 'seen' | 'hear'>, log: Logger): Ask {
  const budget = createBudget();
  const askOnce = async (request: DecisionRequest, payload: Uint8Array): Promise<Decision> => {
    const once = (): Promise<Uint8Array> => broker.request(subjects.decide, payload, deadlineMs);
    budget.asked();
    let reply: Uint8Array;
    try {
      reply = await withSecondAsk(once, budget);
    } catch (error) {
      if (!(error instanceof BrokerError) && !(error instanceof AggregateError)) throw error;
      throw new Refusal('PolicyUnavailable', 'Sluice cannot decide this call now: no policy worker answers');
    }
    const decision = openDecision(key, reply, request.digest, Date.now());
    if (decision === null) {
      log.error(
        { call: request.call, code: 'DecisionNotTrusted' },
        'a decision came that is forged, of another call, or over',
      );
      throw new Refusal('PolicyUnavailable', 'Sluice cannot decide this call now: the decision cannot be trusted');
    }
    if (decision.effect !== 'deny' && !Object.keys(decision.obligations).every((name) => fulfilled.has(name))) {
      log.error(
        { call: request.call, policy: decision.policy },
        'a decision has an obligation this build does not know',
      );
      throw new Refusal('PolicyUnavailable', 'Sluice cannot fulfil what the policy demands for this call');
    }
    return decision;
  };
  return async (request, masked) => {
    const payload = encodeDecisionRequest(request, masked);
    for (const giveUpMs = performance.now() + deadlineMs; ; ) {
      const decision = await askOnce(request, payload);
      authority.hear(decision.authority);
      if (decision.authority >= authority.seen()) return decision;
      if (performance.now() > giveUpMs)
        throw new Refusal('PolicyUnavailable', 'Sluice cannot decide this call now: no policy worker is up to date');
      await new Promise((resolve) => setTimeout(resolve, staleMs));
    }
  };
}

function withSecondAsk(once: () => Promise<Uint8Array>, budget: Budget): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const first = once();
    let isAskedAgain = false;
    const timer = setTimeout(() => {
      if (!budget.mayAskAgain()) return;
      isAskedAgain = true;
      Promise.any([first, once()]).then(resolve, reject);
    }, secondAskMs);
    first.then(
      (reply) => {
        clearTimeout(timer);
        resolve(reply);
      },
      (error: unknown) => {
        clearTimeout(timer);
        if (!isAskedAgain) reject(error);
      },
    );
  });
}

interface Budget {
  asked(): void;
  mayAskAgain(): boolean;
}

function createBudget(): Budget {
  let second = 0;
  let asks = 0;
  let again = 0;
  const turn = (): void => {
    const now = Math.floor(performance.now() / 1000);
    if (now === second) return;
    second = now;
    asks = 0;
    again = 0;
  };
  return {
    asked() {
      turn();
      asks++;
    },
    mayAskAgain() {
      turn();
      if (again >= Math.max(asks, secondAskFloor) * secondAskShare) return false;
      again++;
      return true;
    },
  };
}
