import type { Agent } from '@sluice/model';
import { TokenError, type Verified } from '@sluice/runtime/identity';
import { Refusal } from './refusal.ts';
import { header, type Request } from './request.ts';

/** Who calls, and until when its token says so: milliseconds since the epoch. */
export interface Caller {
  readonly agent: Agent;
  readonly tokenEndsMs: number;
}

/** Who calls. Throws `Refusal`. */
export type Authenticate = (request: Request) => Promise<Caller>;

/** A verified token is believed again without a look for this long, and never past its own end. */
const cacheMs = 60_000;
/** Beyond this the oldest entry goes. */
const cacheEntries = 10_000;

/** Bearer tokens in `Authorization`; one in the query or in a subprotocol is not looked at. */
export function createAuthenticate(verify: (token: string) => Promise<Verified>): Authenticate {
  const known = new Map<string, { readonly caller: Caller; readonly untilMs: number }>();
  return async (request) => {
    const token = /^Bearer ([^\s]+)$/i.exec(header(request, 'authorization'))?.[1];
    if (token === undefined) {
      throw new Refusal(
        'NotAuthenticated',
        'Sluice needs a bearer token',
        'Use the kubeconfig Sluice gave to this agent.',
      );
    }
    const cached = known.get(token);
    const now = Date.now();
    if (cached !== undefined && now < cached.untilMs) return cached.caller;
    let verified: Verified;
    try {
      verified = await verify(token);
    } catch (error) {
      known.delete(token);
      if (!(error instanceof TokenError)) throw error;
      throw new Refusal('NotAuthenticated', error.message, 'Ask the operator of Sluice for a new kubeconfig.');
    }
    if (known.size >= cacheEntries) known.delete(known.keys().next().value ?? '');
    const caller = { agent: verified.agent, tokenEndsMs: verified.expiresAtMs };
    known.set(token, { caller, untilMs: Math.min(now + cacheMs, verified.expiresAtMs) });
    return caller;
  };
}
