// What a call is held to while it runs: its deadline, and where its answer may go on for ever, everything that gave it its right.
import type { Allow, Decision, RequestAttributes } from '@sluice/model';
import type { Call } from './call.ts';
import type { LiveCalls } from './live.ts';
import { Refusal } from './refusal.ts';

export interface Bound {
  /** Aborts with the `Refusal` that names why the call is cut. */
  readonly cut: AbortSignal;
  readonly release: () => void;
}

/** By which right a call runs. */
export interface Right {
  readonly decision: Allow;
  /** Asks again, for what is in force now. Throws `Refusal`. */
  readonly decideAgain: () => Promise<Decision>;
  /** When the approval ends by which it runs: milliseconds since the epoch. */
  readonly grantEndsMs?: number | undefined;
}

/** A timer holds no more (HTML, 8.6): over 24 days. Milliseconds. */
const longestMs = 2 ** 31 - 1;

export function bind({ live }: { readonly live: LiveCalls }, call: Call, right: Right): Bound {
  const { decision, decideAgain, grantEndsMs } = right;
  const cutter = new AbortController();
  const cut = (why: Refusal): void => cutter.abort(why);
  const ends: readonly (readonly [atMs: number | undefined, why: () => Refusal])[] = [
    [decision.obligations.deadline, deadlineReached],
    ...(isLive(call.canonical.attributes)
      ? ([
          [call.tokenEndsMs, tokenExpired],
          [grantEndsMs, grantExpired],
        ] as const)
      : []),
  ];
  const timers = ends.map(([atMs, why]) =>
    atMs === undefined ? undefined : setTimeout(() => cut(why()), Math.min(longestMs, atMs - Date.now())),
  );
  const { id, session } = call.record;
  const isStream = call.pod !== undefined;
  const forget = isLive(call.canonical.attributes)
    ? live.add({ id, session, isStream, decision, cut, decideAgain })
    : undefined;
  return {
    cut: cutter.signal,
    release: () => {
      forget?.();
      for (const timer of timers) clearTimeout(timer);
    },
  };
}

/** Whether the answer may go on for as long as it likes. */
function isLive(attributes: RequestAttributes): boolean {
  if (attributes.kind !== 'resource') return false;
  return attributes.verb === 'watch' || (attributes.resource === 'pods' && endless.has(attributes.subresource));
}

const endless: ReadonlySet<string> = new Set(['log', 'exec', 'attach', 'portforward']);

function deadlineReached(): Refusal {
  return new Refusal('DeadlineReached', 'the call ran as long as the policy lets it run');
}

function tokenExpired(): Refusal {
  const hint = 'Ask the operator of Sluice for a new kubeconfig.';
  return new Refusal('TokenExpired', 'the token by which the call ran has expired', hint);
}

function grantExpired(): Refusal {
  return new Refusal('GrantExpired', 'the approval by which the call ran has expired', 'Make the same call again.');
}
