// Who goes by the authority, and up to where. Pure: the clock is an argument.
import { type LeaseRequest, type LeaseRole, leaseMs } from '@sluice/model';

interface Member {
  readonly role: LeaseRole;
  readonly seq: number;
  readonly untilMs: number;
}

/**
 * The leases that may still run. A member's own clock ends its lease no later than it ends here: it counts from when
 * it asked, and this from when it was answered.
 */
export class Leases {
  readonly #members = new Map<string, Member>();
  /** Until then there may be members of the writer before, of whom nothing is known. */
  readonly #strangersUntilMs: number;

  /** `succeeds`: whether there was a writer before this one. */
  constructor({ succeeds }: { readonly succeeds: boolean }, nowMs: number) {
    this.#strangersUntilMs = succeeds ? nowMs + leaseMs : nowMs;
  }

  renew({ instance, role, seq }: LeaseRequest, nowMs: number): void {
    this.#members.set(instance, { role, seq, untilMs: nowMs + leaseMs });
  }

  /**
   * How long at most until nobody can go by anything older than `seq` any more: 0 once every member has confirmed
   * it. Milliseconds.
   */
  outstandingMs(seq: number, nowMs: number): number {
    this.#forget(nowMs);
    const behind = [...this.#members.values()].filter((member) => member.seq < seq).map(({ untilMs }) => untilMs);
    return Math.max(this.#strangersUntilMs, nowMs, ...behind) - nowMs;
  }

  /** Whether a member may still go by its lease: nobody knows of one whose lease has ended. */
  mayRun(instance: string, nowMs: number): boolean {
    this.#forget(nowMs);
    return this.#members.has(instance) || nowMs < this.#strangersUntilMs;
  }

  /** Members by role. */
  count(nowMs: number): Record<LeaseRole, number> {
    this.#forget(nowMs);
    const roles = [...this.#members.values()].map(({ role }) => role);
    const of = (role: LeaseRole): number => roles.filter((one) => one === role).length;
    return { ingress: of('ingress'), policy: of('policy') };
  }

  #forget(nowMs: number): void {
    for (const [instance, { untilMs }] of this.#members) {
      if (untilMs <= nowMs) this.#members.delete(instance);
    }
  }
}
