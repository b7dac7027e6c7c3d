// Reviewers, time, the agent and two ingress at one approval, in any order, each going by what it has last read: the
// log has one end, and the grant one use.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ApprovalEvent } from '@sluice/model';
import fc from 'fast-check';
import { alice, bob, requestOf, terms } from './fixtures.ts';
import { type Approval, begin, fold, type StoredEvent, stateAt, whyNot } from './fold.ts';

const interleavings = 10_000;

/** Who wants what, before the first of them has read the log. */
const wants: readonly ((n: number) => ApprovalEvent)[] = [
  (n) => ({ id: `${n}`, kind: 'voted', vote: 'approve', reviewer: alice, reason: '', more: 0 }),
  (n) => ({ id: `${n}`, kind: 'voted', vote: 'approve', reviewer: alice, reason: 'again', more: 0 }),
  (n) => ({ id: `${n}`, kind: 'voted', vote: 'deny', reviewer: bob, reason: '', more: 0 }),
  (n) => ({ id: `${n}`, kind: 'expired' }),
  (n) => ({ id: `${n}`, kind: 'cancelled' }),
  (n) => ({ id: `${n}`, kind: 'taken', call: 'one', exact: 'e', shape: request.shape, instance: 'a' }),
  (n) => ({ id: `${n}`, kind: 'taken', call: 'other', exact: 'e', shape: request.shape, instance: 'b' }),
];
const request = requestOf();

/** A log that stores by compare-and-swap, and a clock that goes on as it is told. */
class World {
  readonly stored: StoredEvent[] = [];
  nowMs = 1_000_000;

  constructor() {
    this.#store({ id: 'open', kind: 'requested', request });
  }

  read(): Approval {
    const [first, ...rest] = this.stored as [StoredEvent, ...StoredEvent[]];
    return rest.reduce(fold, begin('id', first) as Approval);
  }

  /** `false`: somebody has written since. */
  append(event: ApprovalEvent, after: Approval): boolean {
    if (this.stored.at(-1)?.seq !== after.seq) return false;
    this.#store(event);
    return true;
  }

  #store(event: ApprovalEvent): void {
    this.stored.push({ seq: this.stored.length + 1, atMs: this.nowMs, event });
  }
}

/** One of them: reads, sees whether what it wants counts, writes, and reads again when somebody was faster. */
async function act(world: World, want: (n: number) => ApprovalEvent, n: number, turn: () => Promise<void>) {
  const event = want(n);
  for (;;) {
    await turn();
    const seen = world.read();
    if (whyNot(seen, event, world.nowMs) !== null) return 'void';
    await turn();
    if (!world.append(event, seen)) continue;
    await turn();
    // Whether it counted is told by the log, and the time at which it was stored there.
    const after = world.read();
    if (event.kind === 'taken') return after.uses.some(({ call }) => call === event.call) ? 'counted' : 'void';
    return 'counted';
  }
}

/** What happened, told by the events alone: the first that ends it, by the order of the log. */
function endings(world: World): string[] {
  const expiresAtMs = (world.stored[0]?.atMs ?? 0) + terms.expiresMs;
  const ends: string[] = [];
  let isApproved = false;
  for (const { event, atMs } of world.stored.slice(1)) {
    if (ends.length > 0) continue;
    const isLate = atMs >= expiresAtMs;
    if (event.kind === 'voted' && !isLate) {
      if (event.vote === 'deny') ends.push('denied');
      else isApproved = true;
    }
    if (event.kind === 'cancelled' && !isApproved && !isLate) ends.push('cancelled');
    if (event.kind === 'taken' && isApproved && !isLate) ends.push(`used by ${event.call}`);
    if (event.kind === 'expired' && isLate) ends.push('expired');
  }
  return ends;
}

test(`${interleavings} interleavings of approve, deny, expire, cancel and use: one end, one use`, async () => {
  const seen = new Map<string, number>();
  await fc.assert(
    fc.asyncProperty(
      fc.scheduler(),
      // Of each turn, how far the clock goes on: the longest steps are past the end.
      fc.infiniteStream(fc.constantFrom(0, 0, 0, 1_000, terms.expiresMs / 8, terms.expiresMs)),
      fc.shuffledSubarray([...wants], { minLength: 2 }),
      async (scheduler, steps, chosen) => {
        const world = new World();
        const clock = steps[Symbol.iterator]();
        const turn = scheduler.scheduleFunction(async () => {
          world.nowMs += clock.next().value ?? 0;
        });
        const acting = chosen.map((want, n) => act(world, want, n, turn));
        await scheduler.waitAll();
        const results = await Promise.all(acting);

        const taking = chosen.flatMap((want, n) => (want(n).kind === 'taken' && results[n] === 'counted' ? [n] : []));
        assert.ok(taking.length <= 1, 'two uses of one grant');
        const ends = endings(world);
        const [end = 'none'] = ends;
        seen.set(end.replace(/ .*/, ''), (seen.get(end.replace(/ .*/, '')) ?? 0) + 1);
        const folded = world.read();
        const state = stateAt(folded, world.nowMs);
        if (end.startsWith('used')) assert.equal(state, 'used');
        else if (end !== 'none') assert.equal(state, end);
        else assert.ok(['pending', 'approved', 'expired'].includes(state), state);
        assert.equal(folded.uses.length, end.startsWith('used') ? 1 : 0);
        assert.equal(taking.length, folded.uses.length, 'whoever was told that it may has a use in the log');
        // Time goes on, and what is not over by then expires.
        const late = stateAt(folded, world.nowMs + terms.expiresMs);
        assert.equal(late, end === 'none' ? 'expired' : end.startsWith('used') ? 'used' : end);
      },
    ),
    { numRuns: interleavings },
  );
  // Each way to end was gone, or nothing was tried.
  for (const end of ['used', 'denied', 'cancelled', 'expired', 'none']) assert.ok((seen.get(end) ?? 0) > 20, end);
});
