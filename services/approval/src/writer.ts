import { createHash } from 'node:crypto';
import {
  type ApplyAnswer,
  authority,
  type CompileAnswer,
  type LeaseReply,
  type LeaseRequest,
  leaseMs,
  type PolicyFiles,
  queueGroups,
  subjects,
} from '@sluice/model';
import { type AuthorityStore, type Broker, BrokerError, FencedError, type Logger } from '@sluice/runtime';
import { Leases } from './leases.ts';

export interface WriterParts {
  readonly broker: Broker;
  readonly store: AuthorityStore;
  /** Of this process, unique. */
  readonly instance: string;
  readonly log: Logger;
  /** Another writer has taken over: this one must not go on. */
  readonly onFenced: () => void;
}

const compileTimeoutMs = 10_000;
/** A change is waited for this long beyond the longest lease. */
const slackMs = 1_000;
/** How often it is looked whether everybody has confirmed. */
const lookMs = 10;

/** Writes the authority, and answers for who goes by it. */
export class AuthorityWriter {
  readonly #parts: WriterParts;
  readonly #epoch: number;
  readonly #leases: Leases;
  #head: number;
  /** One change after another. */
  #applying: Promise<unknown> = Promise.resolve();

  private constructor(parts: WriterParts, epoch: number, leases: Leases) {
    this.#parts = parts;
    this.#epoch = epoch;
    this.#leases = leases;
    this.#head = epoch;
  }

  /** Becomes the writer: whoever was it before is fenced from now on. */
  static async open(parts: WriterParts): Promise<AuthorityWriter> {
    const { broker, store, instance } = parts;
    const head = await store.head();
    const epoch = await store.append(authority.writer, encode({ instance }), head);
    const writer = new AuthorityWriter(parts, epoch, new Leases({ succeeds: head > 0 }, performance.now()));
    broker.respond(subjects.lease, queueGroups.approval, (payload) => writer.#lease(decode(payload) as LeaseRequest));
    broker.respond(subjects.apply, queueGroups.approval, async (payload) => {
      const applied = writer.#applying.then(() => writer.#apply(payload));
      writer.#applying = applied.catch(() => undefined);
      return encode(await applied);
    });
    broker.tell(subjects.renew);
    return writer;
  }

  /** Whether a process that had a lease may still be at work. */
  mayRun(instance: string): boolean {
    return this.#leases.mayRun(instance, performance.now());
  }

  #lease(request: LeaseRequest): Buffer {
    this.#leases.renew(request, performance.now());
    return encode({ epoch: this.#epoch, seq: this.#head } satisfies LeaseReply);
  }

  async #apply(payload: Uint8Array): Promise<ApplyAnswer> {
    const { broker, store, log, onFenced } = this.#parts;
    try {
      const compiled = decode(await broker.request(subjects.compile, payload, compileTimeoutMs)) as CompileAnswer;
      if (compiled.kind === 'faults') return compiled;
      const before = await store.last(authority.policies);
      if (before === null || digest(before.payload) !== digest(payload)) {
        this.#head = await store.append(authority.policies, payload, this.#head);
        log.info({ authority: this.#head, version: compiled.version }, 'policies changed');
        broker.tell(subjects.renew);
      }
      if (!(await this.#isInForce(this.#head)))
        return {
          kind: 'failed',
          message: `committed as ${this.#head}, but not every process has confirmed it in time`,
        };
      const { version, policies, rules } = compiled;
      const members = this.#leases.count(performance.now());
      return { kind: 'applied', version, authority: this.#head, policies, rules, members };
    } catch (error) {
      if (error instanceof FencedError) {
        onFenced();
        return {
          kind: 'failed',
          message: 'another process has taken over the policies; nothing has changed, try again',
        };
      }
      if (error instanceof BrokerError && error.code === 'no-responders')
        return { kind: 'failed', message: 'no policy worker is there to compile the policies; nothing has changed' };
      log.error({ err: error }, 'policies could not be applied');
      return { kind: 'failed', message: `the policies could not be applied: ${(error as Error).message}` };
    }
  }

  /** Waits until nobody goes by anything older. */
  async #isInForce(seq: number): Promise<boolean> {
    const giveUpMs = performance.now() + leaseMs + slackMs;
    while (this.#leases.outstandingMs(seq, performance.now()) > 0) {
      if (performance.now() > giveUpMs) return false;
      await new Promise((resolve) => setTimeout(resolve, lookMs));
    }
    return true;
  }
}

/** The texts of policies, not their order, make them what they are. */
function digest(payload: Uint8Array): string {
  const { files } = decode(payload) as PolicyFiles;
  const sorted = files.map(({ name, text }) => JSON.stringify([name, text])).toSorted();
  return createHash('sha256').update(sorted.join('\n')).digest('hex');
}

function encode(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function decode(payload: Uint8Array): unknown {
  return JSON.parse(Buffer.from(payload).toString());
}
