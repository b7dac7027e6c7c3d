// Who waits for which approval, and how much an agent may ask. Pure: the clock is an argument.

/** An agent whose approvals are open at once may have no more than these. */
const maxOpen = 20;
/** New approvals of one agent within an hour. */
const maxPerHour = 120;
const hourMs = 3_600_000;
/** A call that has not asked again for this long waits no more: its ingress is dead, or its agent gone. */
const silentMs = 10_000;
/** An agent whose call broke off may come again within this. */
const graceMs = 10_000;

/** What is left of a call: it waits; its agent has an answer, and may come again; or its agent is gone. */
type Stage = { readonly kind: 'waits' | 'gone'; readonly sinceMs: number } | { readonly kind: 'told' };

/** The calls that wait for approvals. This process's knowledge alone: after a restart nobody is held for gone. */
export class Callers {
  readonly #calls = new Map<string, Map<string, Stage>>();

  waits(approval: string, call: string, nowMs: number): void {
    const calls = this.#calls.get(approval) ?? new Map<string, Stage>();
    this.#calls.set(approval, calls.set(call, { kind: 'waits', sinceMs: nowMs }));
  }

  leaves(approval: string, call: string, why: 'told' | 'gone', nowMs: number): void {
    const stage: Stage = why === 'told' ? { kind: 'told' } : { kind: 'gone', sinceMs: nowMs };
    this.#calls.get(approval)?.set(call, stage);
  }

  /** Approvals that nobody will come back for. */
  abandoned(nowMs: number): string[] {
    const isGone = (stage: Stage): boolean =>
      stage.kind !== 'told' && nowMs - stage.sinceMs > (stage.kind === 'gone' ? graceMs : silentMs + graceMs);
    return [...this.#calls].filter(([, calls]) => calls.values().every(isGone)).map(([approval]) => approval);
  }

  /** The approval is over. */
  forget(approval: string): void {
    this.#calls.delete(approval);
  }
}

/** How many approvals an agent has asked for. */
export class Quota {
  /** Times of new approvals, by agent. */
  readonly #asked = new Map<string, number[]>();

  /** What is too much, as a clause; `null` where the agent may ask. `open`: how many it has open now. */
  excess(agent: string, open: number, nowMs: number): string | null {
    if (open >= maxOpen) return `it has ${open} approvals open already`;
    const recent = (this.#asked.get(agent) ?? []).filter((atMs) => nowMs - atMs < hourMs);
    if (recent.length === 0) this.#asked.delete(agent);
    else this.#asked.set(agent, recent);
    return recent.length >= maxPerHour ? `it has asked for ${recent.length} approvals within an hour` : null;
  }

  asked(agent: string, nowMs: number): void {
    this.#asked.set(agent, [...(this.#asked.get(agent) ?? []), nowMs]);
  }
}
