import type { IncomingMessage } from 'node:http';
import { createInterface } from 'node:readline';
import { pipeline } from 'node:stream/promises';
import type { ApprovalState, Effect, Outcome, ReasonCode } from '@sluice/model';
import type { HomePaths } from './home.ts';
import { listenRunning, tailPath } from './running.ts';
import { placeOf, printable } from './text.ts';

/** What a call is about; all empty for one that was first decided before anybody listened. */
export interface TailCall {
  readonly agent: string;
  readonly verb: string;
  /** `resource[.group][/subresource]`, or the path of a non-resource call. */
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
}

/**
 * One line of `sluice tail --json`. `at`: ISO 8601, UTC. A call that a reviewer lets through is decided twice: `ask`, then
 * `allow`.
 */
export type TailEvent =
  | (TailCall & {
      readonly kind: 'decision';
      readonly call: string;
      readonly at: string;
      readonly effect: Effect;
      readonly reasonCode: ReasonCode;
    })
  | (TailCall & {
      readonly kind: 'outcome';
      readonly call: string;
      readonly at: string;
      readonly outcome: Outcome;
      /** HTTP status the agent got; 0 when it got none. */
      readonly status: number;
      readonly reasonCode: ReasonCode | '';
      readonly durationMs: number;
    })
  /** A vote, or a new state of an approval. */
  | (TailCall & {
      readonly kind: 'approval';
      /** The call that asked. */
      readonly call: string;
      readonly at: string;
      readonly approval: string;
      readonly state: ApprovalState;
      /** Who voted; empty where nobody did. */
      readonly by: string;
    })
  /** So many lines were dropped here: the listener was too slow. */
  | { readonly kind: 'skipped'; readonly count: number };

/** `sluice tail`, with its options parsed. */
export interface TailOptions {
  readonly agent?: string;
  readonly json?: true;
}

/** Prints calls as they happen, until Sluice stops or `signal` says so. Throws an `Error` where none runs. */
export async function tail(
  home: HomePaths,
  { agent, json }: TailOptions,
  out: NodeJS.WritableStream,
  signal: AbortSignal,
): Promise<void> {
  const query = agent === undefined ? '' : `?${new URLSearchParams({ agent }).toString()}`;
  const events = await listenRunning(home, tailPath + query);
  if (events === null) throw new Error('Sluice does not run here, and `tail` shows what happens while it does');
  const printed = async function* (source: IncomingMessage): AsyncGenerator<string> {
    for await (const line of createInterface({ input: source })) {
      yield json === true ? `${line}\n` : tailLine(JSON.parse(line) as TailEvent);
    }
  };
  try {
    await pipeline(events, printed, out, { end: false, signal });
  } catch (error) {
    // A reader that has seen enough, `head` for instance, closes the pipe.
    const isEnough = signal.aborted || (error as NodeJS.ErrnoException).code === 'EPIPE';
    if (!isEnough) throw new Error('the running Sluice has died', { cause: error });
  }
}

/** An event as people read it. Exported for its test. */
export function tailLine(event: TailEvent): string {
  if (event.kind === 'skipped') return `… ${event.count} skipped …\n`;
  const { agent, verb, resource, namespace, name } = event;
  const about = agent === '' ? 'a call from before' : `${agent}: ${verb} ${resource}${placeOf(namespace, name)}`;
  const line = `${event.at.slice(11, 23)}  ${about}  ${whatOf(event)}  ${event.call}`;
  return `${printable(line).replaceAll('\n', '\\n')}\n`;
}

function whatOf(event: Exclude<TailEvent, { kind: 'skipped' }>): string {
  if (event.kind === 'decision') return `${event.effect} ${event.reasonCode}`;
  if (event.kind === 'approval') {
    return `approval ${event.approval} ${event.state}${event.by === '' ? '' : `, ${event.by} voted`}`;
  }
  const status = event.status === 0 ? '' : ` ${event.status}`;
  const reason = event.reasonCode === '' ? '' : ` ${event.reasonCode}`;
  return `${event.outcome}${status}${reason} after ${event.durationMs.toFixed(1)} ms`;
}
