import type { Decision, KillQuestion } from '@sluice/model';
import type { Logger } from '@sluice/runtime';
import { Refusal } from './refusal.ts';

/** A call whose answer goes on for as long as it likes: a watch, a log that is followed, a stream. */
export interface LiveCall {
  readonly id: string;
  readonly session: string;
  /** It can be told why it ends; a watch that just ends is begun again by its client, and that is better. */
  readonly isStream: boolean;
  readonly decision: Decision;
  /** Asks again, for what is in force now. Throws `Refusal`. */
  decideAgain(): Promise<Decision>;
  /** Ends the answer where it is; the call's outcome names the refusal. */
  cut(why: Refusal): void;
}

/** After a change, calls are decided again spread over this time, or all would ask at once. */
const jitterMs = 1_000;
/** Between two attempts, where no decision came. */
const retryMs = 500;
const attempts = 5;

/** The live calls of this process: decided again when the authority changes, cut when it is lost. */
export class LiveCalls {
  readonly #calls = new Set<LiveCall>();
  readonly #log: Logger;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Returns what takes it out again. */
  add(call: LiveCall): () => void {
    this.#calls.add(call);
    return () => this.#calls.delete(call);
  }

  /** Cuts the call, or the calls of the session, of this id; returns their ids. */
  kill({ id, by, reason }: KillQuestion): string[] {
    const killed = [...this.#calls].filter((call) => call.id === id || call.session === id);
    for (const call of killed) {
      this.#log.info({ call: call.id, by }, 'a live call is killed');
      call.cut(new Refusal('Killed', `killed by ${by}: ${reason}`));
    }
    return killed.map((call) => call.id);
  }

  authorityChanged(): void {
    for (const call of this.#calls) {
      setTimeout(() => {
        this.#decideAgain(call).catch((error: unknown) => call.cut(refusalFrom(error)));
      }, Math.random() * jitterMs).unref();
    }
  }

  /** Sluice stops, and what still runs ends. */
  stopping(): void {
    for (const call of this.#calls) if (call.isStream) call.cut(new Refusal('Draining', 'Sluice is stopping'));
  }

  authorityLost(): void {
    for (const call of this.#calls)
      call.cut(new Refusal('AuthorityLost', 'Sluice no longer knows which policies are in force'));
  }

  async #decideAgain(call: LiveCall): Promise<void> {
    for (let attempt = 1; this.#calls.has(call); attempt++) {
      try {
        const decision = await call.decideAgain();
        if (isSame(decision, call.decision)) return;
        this.#log.info(
          { call: call.id, reasonCode: decision.reasonCode },
          'a live call is cut by a change of policies',
        );
        call.cut(
          decision.effect === 'allow'
            ? new Refusal('AuthorityChanged', 'the policies now give this call another identity, or other masks')
            : new Refusal(decision.reasonCode, decision.reason, decision.hint),
        );
        return;
      } catch (error) {
        if (!(error instanceof Refusal) || attempt === attempts) throw error;
        await new Promise((resolve) => setTimeout(resolve, retryMs));
      }
    }
  }
}

/** Whether the call may go on as it is: allowed, with the identity it has in the cluster and the masks of its answer. */
function isSame(now: Decision, then: Decision): boolean {
  return (
    now.effect === 'allow' &&
    then.effect === 'allow' &&
    JSON.stringify(now.obligations.impersonate) === JSON.stringify(then.obligations.impersonate) &&
    JSON.stringify(now.obligations.mask) === JSON.stringify(then.obligations.mask)
  );
}

function refusalFrom(error: unknown): Refusal {
  return error instanceof Refusal ? error : new Refusal('PolicyUnavailable', 'Sluice cannot decide this call now');
}
