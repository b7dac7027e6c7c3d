import { asWithheld } from '../masked.ts';
import { Refusal } from '../refusal.ts';
import { Flow, type Gate } from './flow.ts';
import type { AgentConnection, ConnectionEvents } from './forward-agent.ts';

/** One connection between the agent and a port. */
export class Forwarded implements ConnectionEvents {
  readonly connection: AgentConnection;
  readonly into: Flow;
  readonly outOf: Flow;
  inBytes = 0;
  outBytes = 0;
  /** Called once each. */
  readonly whenClosed: (() => void)[] = [];
  /** Resolves when the agent was told what the cluster complains of, if it does. */
  told: Promise<void> = Promise.resolve();
  readonly #ends = new Set<'in' | 'out'>();
  #isClosed = false;

  constructor(connection: AgentConnection, into: Gate, outOf: Gate) {
    this.connection = connection;
    const failed = (error: unknown): void => {
      const why = asWithheld(error);
      this.close(why instanceof Refusal ? `Error from Sluice (${why.reasonCode}): ${why.message}` : '');
    };
    this.into = new Flow(into, failed);
    this.outOf = new Flow(outOf, failed);
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  data(bytes: Buffer): void {
    this.into.push(bytes);
  }

  ended(): void {
    this.into.push(null);
  }

  /** One direction has been carried to its end. */
  carried(way: 'in' | 'out'): void {
    this.#ends.add(way);
    if (this.#ends.size === 2) this.#over();
  }

  reset(): void {
    this.#over();
  }

  /** Ends both directions. `words`: why; empty where the agent needs none. */
  close(words: string): void {
    if (this.#isClosed) return;
    if (words === '') this.connection.end();
    else this.connection.fail(words);
    this.#over();
  }

  #over(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.into.stop();
    this.outOf.stop();
    this.connection.closed();
    for (const tell of this.whenClosed) tell();
  }
}
