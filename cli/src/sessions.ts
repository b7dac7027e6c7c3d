import type { SessionRow } from '@sluice/model';
import type { Records } from './records.ts';
import { table } from './text.ts';

/** `sluice sessions list`, with its options parsed. */
export interface SessionsOptions {
  readonly agent?: string;
  /** Milliseconds. */
  readonly since?: number;
  readonly limit: number;
  readonly json?: true;
}

export async function listSessions(
  records: Records,
  options: SessionsOptions,
  out: NodeJS.WritableStream,
): Promise<void> {
  const { agent, since, limit } = options;
  const { sessions } = await records.ask({
    kind: 'sessions',
    limit,
    ...(agent === undefined ? {} : { agent }),
    ...(since === undefined ? {} : { sinceMs: Date.now() - since }),
  });
  out.write(options.json ? `${JSON.stringify(sessions)}\n` : sessionsTable(sessions));
}

/** The table for people. Exported for its test. */
export function sessionsTable(sessions: readonly SessionRow[]): string {
  if (sessions.length === 0) return 'No sessions.\n';
  return table(
    ['STARTED', 'ENDED', 'AGENT', 'CALLS', 'ID'],
    sessions.map(({ startedAt, endedAt, agent, calls, id }) => [
      secondOf(startedAt),
      endedAt === null ? 'running' : secondOf(endedAt),
      agent,
      String(calls),
      id,
    ]),
  );
}

function secondOf(at: string): string {
  return at.replace('T', ' ').slice(0, 19);
}
