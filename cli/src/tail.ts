import type { IncomingMessage } from 'node:http';
import { createInterface } from 'node:readline';
import { pipeline } from 'node:stream/promises';
import type { ApprovalState, CallRow, Channel, Effect, FrameMeta, Outcome, ReasonCode } from '@sluice/model';
import { shellLine } from './command-line.ts';
import { FollowedText, lookAt } from './follow.ts';
import type { HomePaths } from './home.ts';
import { listenRunning, tailPath } from './running.ts';
import { onOneLine, placeOf, printable, shortened } from './text.ts';

/** What a call is about; all empty for one that was first decided before anybody listened. */
export interface TailCall {
  readonly agent: string;
  readonly verb: string;
  /** `resource[.group][/subresource]`, or the path of a non-resource call. */
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
  /** argv of an exec, masked; `null` for what runs no command. */
  readonly command: readonly string[] | null;
}

/** Bytes of one call that somebody follows, as they are recorded. */
export interface TailBytes {
  readonly kind: 'channel';
  readonly call: string;
  readonly at: string;
  /** `body`: of the answer of a call that is no stream, such as a watch or a followed log. */
  readonly channel: Channel | 'port' | 'body';
  /** Bytes of the channel before these. */
  readonly offset: number;
  /** The bytes, where they are UTF-8; */
  readonly text?: string;
  /** and where they are not. */
  readonly bytesBase64?: string;
  /** Of a port-forward: the connection, its port, and what became of it. */
  readonly forward?: Extract<FrameMeta['channel'], { channel: 'port' }>;
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
      /** Of the command of an exec; `null` where it had none, or nobody knows. */
      readonly exitCode: number | null;
      /** Of a call that was cut: what the agent was told; empty otherwise. */
      readonly message: string;
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
  | TailBytes
  /** So many lines were dropped here: the listener was too slow. */
  | { readonly kind: 'skipped'; readonly count: number };

/** `sluice tail`, with its options parsed. */
export interface TailOptions {
  readonly agent?: string;
  readonly json?: true;
}

/** Of a command, so much is shown. Characters. */
const shownCommand = 200;

/**
 * Prints calls as they happen, until Sluice stops or `signal` says so; or, with `call`, the bytes of one as they are
 * recorded, until it ends. A stream with a terminal is shown on a terminal as it is. Throws an `Error` where no Sluice
 * runs, and for a call that does not run.
 */
export async function tail(
  home: HomePaths,
  call: string | null,
  { agent, json }: TailOptions,
  out: NodeJS.WritableStream & { readonly isTTY?: boolean },
  signal: AbortSignal,
): Promise<void> {
  if (call !== null && agent !== undefined) throw new Error('a call is one agent’s: name the call, or the agent');
  const query = new URLSearchParams({ ...(agent === undefined ? {} : { agent }), ...(call === null ? {} : { call }) });
  const events = await listenRunning(home, `${tailPath}?${query.toString()}`);
  if (events === null) throw new Error('Sluice does not run here, and `tail` shows what happens while it does');
  // Who listens first misses nothing between the record and what is told.
  const followed =
    call === null
      ? null
      : await lookAt(home, call).catch((error: unknown) => {
          events.destroy();
          throw error;
        });
  const asTerminal = followed?.hasTerminal === true && out.isTTY === true && json !== true;
  const text = new FollowedText(asTerminal ? 'terminal' : 'lines');
  try {
    const print = json === true ? jsonOf : (event: TailEvent) => shown(event, text);
    await pipeline(events, printed(followed?.row ?? null, print), out, { end: false, signal });
  } catch (error) {
    // A reader that has seen enough, `head` for instance, closes the pipe.
    const isEnough = signal.aborted || (error as NodeJS.ErrnoException).code === 'EPIPE';
    if (!isEnough) throw new Error('the running Sluice has died', { cause: error });
  } finally {
    events.destroy();
    out.write(text.end());
  }
}

/** Events as they are printed; of a call that is followed, its beginning as the record has it, and no more than its end. */
function printed(followed: CallRow | null, print: (event: TailEvent) => string) {
  return async function* (source: IncomingMessage): AsyncGenerator<string> {
    if (followed !== null) yield print(decisionIn(followed));
    for await (const line of createInterface({ input: source })) {
      const event = JSON.parse(line) as TailEvent;
      // It was first decided before anybody listened.
      yield print(followed !== null && 'agent' in event ? { ...event, ...aboutRow(followed) } : event);
      if (followed !== null && event.kind === 'outcome') return;
    }
  };
}

function jsonOf(event: TailEvent): string {
  return `${printable(JSON.stringify(event))}\n`;
}

function shown(event: TailEvent, text: FollowedText): string {
  return event.kind === 'channel' ? text.bytes(event) : text.pause() + tailLine(event);
}

function decisionIn(row: CallRow): Exclude<TailEvent, TailBytes> {
  const { id, at, effect, reasonCode } = row;
  return { kind: 'decision', call: id, at, ...aboutRow(row), effect, reasonCode };
}

function aboutRow({ agent, verb, resource, namespace, name, command }: CallRow): TailCall {
  return { agent, verb, resource, namespace, name, command };
}

/** An event as people read it. Exported for its test. */
export function tailLine(event: Exclude<TailEvent, TailBytes>): string {
  if (event.kind === 'skipped') return `… ${event.count} skipped …\n`;
  const { agent, verb, resource, namespace, name, command } = event;
  const runs = command === null ? '' : `: ${shortened(shellLine(command), shownCommand)}`;
  const about = agent === '' ? 'a call from before' : `${agent}: ${verb} ${resource}${placeOf(namespace, name)}${runs}`;
  return `${onOneLine(`${event.at.slice(11, 23)}  ${about}  ${whatOf(event)}  ${event.call}`)}\n`;
}

function whatOf(event: Exclude<TailEvent, TailBytes | { kind: 'skipped' }>): string {
  if (event.kind === 'decision') return `${event.effect} ${event.reasonCode}`;
  if (event.kind === 'approval') {
    return `approval ${event.approval} ${event.state}${event.by === '' ? '' : `, ${event.by} voted`}`;
  }
  const status = event.status === 0 ? '' : ` ${event.status}`;
  const reason = event.reasonCode === '' ? '' : ` ${event.reasonCode}`;
  const exit = event.exitCode === null ? '' : `, exit code ${event.exitCode}`;
  const told = event.message === '' ? '' : `, "${event.message}"`;
  return `${event.outcome}${status}${reason}${exit}${told} after ${event.durationMs.toFixed(1)} ms`;
}
