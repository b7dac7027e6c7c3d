import type { Msg, NatsConnection } from '@nats-io/transport-node';

/** Why a request got no answer; see `BrokerError`. */
export type Unanswered = 'no-responders' | 'timeout' | 'disconnected';

interface Asked {
  readonly subject: string;
  readonly timer: NodeJS.Timeout;
  readonly answered: (payload: Uint8Array) => void;
  readonly unanswered: (why: Unanswered) => void;
}

/** A request on its way. */
export interface Question {
  /** Where its answer is to come. */
  readonly reply: string;
  readonly answer: Promise<Uint8Array>;
  /** It could not be sent. */
  readonly fail: () => void;
}

/**
 * Requests of one connection that wait for their answers. These come to one private inbox, one token per request: the
 * client's own `request` makes an error with its stack for each answer that comes, beside two promises more.
 */
export class Questions {
  readonly #nats: NatsConnection;
  readonly #inbox: string;
  readonly #asked = new Map<number, Asked>();
  #token = 0;

  /** `inbox`: a subject that only this role may listen on. */
  constructor(nats: NatsConnection, inbox: string) {
    this.#nats = nats;
    this.#inbox = inbox;
  }

  /** Expects an answer. It rejects with what `failure` makes of the reason why there is none. */
  expect(subject: string, timeoutMs: number, failure: (why: Unanswered) => Error): Question {
    if (this.#token === 0) this.#listen();
    const token = ++this.#token;
    const answer = new Promise<Uint8Array>((answered, reject) => {
      const unanswered = (why: Unanswered): void => reject(failure(why));
      const timer = setTimeout(() => this.#end(token)?.unanswered('timeout'), timeoutMs);
      this.#asked.set(token, { subject, timer, answered, unanswered });
    });
    return {
      reply: `${this.#inbox}.${token}`,
      answer,
      fail: () => this.#end(token)?.unanswered('disconnected'),
    };
  }

  /** The broker does not let this role ask there. It names no request, so the oldest one to the subject fails. */
  refused(subject: string): void {
    for (const [token, asked] of this.#asked) {
      if (asked.subject === subject) return this.#end(token)?.unanswered('disconnected');
    }
  }

  /** No more answers will come. */
  close(): void {
    for (const token of this.#asked.keys()) this.#end(token)?.unanswered('disconnected');
  }

  #listen(): void {
    this.#nats.subscribe(`${this.#inbox}.*`, {
      callback: (error, message) => {
        if (error === null) this.#answered(message);
      },
    });
  }

  #end(token: number): Asked | undefined {
    const asked = this.#asked.get(token);
    if (asked === undefined) return undefined;
    this.#asked.delete(token);
    clearTimeout(asked.timer);
    return asked;
  }

  #answered(message: Msg): void {
    // A second answer, to a request that was asked twice, finds nothing.
    const asked = this.#end(Number(message.subject.slice(this.#inbox.length + 1)));
    if (asked === undefined) return;
    if (message.data.byteLength === 0 && message.headers?.code === 503) asked.unanswered('no-responders');
    else asked.answered(message.data);
  }
}
