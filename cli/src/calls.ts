import type { CallRow, Effect } from '@sluice/model';
import { shellLine } from './command-line.ts';
import type { Records } from './records.ts';
import { shortened, table } from './text.ts';

/** `sluice calls list`, with its options parsed. */
export interface CallsOptions {
  readonly agent?: string;
  readonly effect?: Effect;
  /** Milliseconds. */
  readonly since?: number;
  readonly limit: number;
  readonly json?: true;
}

export async function listCalls(records: Records, options: CallsOptions, out: NodeJS.WritableStream): Promise<void> {
  const { agent, effect, since, limit } = options;
  const { calls } = await records.ask({
    kind: 'calls',
    limit,
    ...(agent === undefined ? {} : { agent }),
    ...(effect === undefined ? {} : { effect }),
    ...(since === undefined ? {} : { sinceMs: Date.now() - since }),
  });
  out.write(options.json ? `${JSON.stringify(calls)}\n` : callsTable(calls));
}

const heads = ['TIME', 'AGENT', 'VERB', 'RESOURCE', 'NAMESPACE', 'NAME', 'EFFECT', 'STATUS', 'OUTCOME', 'REASON', 'ID'];

/** Of a command, so much fits a row. Characters. */
const shownCommand = 60;

/** The table for people: with commands, where one ran. Exported for its test. */
export function callsTable(calls: readonly CallRow[]): string {
  if (calls.length === 0) return 'No calls.\n';
  const haveCommands = calls.some(({ command }) => command !== null);
  return table(
    haveCommands ? [...heads, 'COMMAND'] : heads,
    calls.map((call) => [
      call.at.replace('T', ' ').slice(0, 19),
      call.agent,
      call.verb,
      call.resource,
      call.namespace || '-',
      call.name || '-',
      call.effect,
      call.status === null ? '-' : String(call.status || '-'),
      call.outcome ?? 'running',
      call.reasonCode,
      call.id,
      ...(haveCommands ? [call.command === null ? '-' : shortened(shellLine(call.command), shownCommand)] : []),
    ]),
  );
}
