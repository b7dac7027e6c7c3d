import { createHmac, type KeyObject } from 'node:crypto';
import type { Agent } from '@sluice/model';

interface Session {
  readonly key: KeyObject;
  /** Days since the epoch, UTC. */
  readonly day: number;
  readonly id: string;
}

const dayMs = 24 * 60 * 60 * 1_000;
/** An agent is one object for as long as its token is believed. */
const sessions = new WeakMap<Agent, Session>();

/** The session of a call without a task: of its agent, for a day. 32 hex digits. `nowMs`: when the call began. */
export function sessionOf(agent: Agent, key: KeyObject, nowMs: number): string {
  const day = Math.floor(nowMs / dayMs);
  const known = sessions.get(agent);
  if (known?.day === day && known.key === key) return known.id;
  const date = new Date(nowMs).toISOString().slice(0, 10);
  const hmac = createHmac('sha256', key).update(JSON.stringify([agent.issuer, agent.name, date]));
  const id = hmac.digest('hex').slice(0, 32);
  sessions.set(agent, { key, day, id });
  return id;
}
