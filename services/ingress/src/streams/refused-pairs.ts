import type { Agent } from '@sluice/model';
import type { CanonicalRequest } from '../request.ts';

/** A client that falls back to SPDY does so at once. Milliseconds. */
const pairMs = 5_000;
/** Beyond this the oldest goes. */
const maxPairs = 10_000;

/** What an agent was told, as it is said to it again. */
interface Told<T> {
  readonly said: T;
  readonly untilMs: number;
}

/**
 * kubectl asks for a port-forward over WebSocket first and, whatever it is told, once more over SPDY. Both are one call: what
 * was refused is told again, and not decided, asked about or recorded twice.
 */
export class RefusedPairs<T> {
  readonly #told = new Map<string, Told<T>>();

  /** What was refused over WebSocket. */
  refused(agent: Agent, canonical: CanonicalRequest, said: T): void {
    if (canonical.method !== 'GET') return;
    const [oldest] = this.#told.keys();
    if (this.#told.size >= maxPairs && oldest !== undefined) this.#told.delete(oldest);
    this.#told.set(keyOf(agent, canonical), { said, untilMs: performance.now() + pairMs });
  }

  /** What its second half is told: once. */
  takeSecond(agent: Agent, canonical: CanonicalRequest): T | undefined {
    if (canonical.method !== 'POST') return undefined;
    const key = keyOf(agent, canonical);
    const told = this.#told.get(key);
    this.#told.delete(key);
    return told !== undefined && performance.now() < told.untilMs ? told.said : undefined;
  }
}

function keyOf({ issuer, name }: Agent, { target }: CanonicalRequest): string {
  return JSON.stringify([issuer, name, target.canonical]);
}
