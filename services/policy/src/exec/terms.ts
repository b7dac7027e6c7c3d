// What a rule makes of a stream: of what an exec runs, of the ports of a port-forward. Pure.
import type { Effect, StreamRequest } from '@sluice/model';
import type { CommandPattern } from './patterns.ts';
import type { Reading } from './reading.ts';

/** `exec` of a rule. */
export interface ExecTerms {
  /** `null`: whatever is run. */
  readonly commands: readonly CommandPattern[] | null;
  /** Whether the rule is about streams with a terminal too. */
  readonly tty: boolean;
  readonly stdin: boolean;
  /** What the rule does with what cannot be told beforehand. `allow`: nothing of its own. */
  readonly opaque: Effect;
  readonly interactive: Effect;
}

export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** A stream, and what is known of what it runs. */
export interface Running {
  readonly stream: StreamRequest;
  readonly reading: Reading;
}

/** What a rule of this effect does about a stream by its `exec`. `null`: it does not match. */
export function execEffect(effect: Effect, terms: ExecTerms, running: Running): Effect | null {
  const { stream, reading } = running;
  if (stream.kind === 'portforward') return null;
  if (effect === 'allow') return allowed(terms, running);
  const { isOpaque, isInteractive, commands } = reading;
  const isMeant =
    (isOpaque && terms.opaque === effect) ||
    (isInteractive && terms.interactive === effect) ||
    commands.some((words) => terms.commands?.some((pattern) => pattern.couldFit(words)));
  return isMeant ? effect : null;
}

function allowed(terms: ExecTerms, { stream, reading }: Running): Effect | null {
  if ((stream.tty && !terms.tty) || (stream.stdin && !terms.stdin)) return null;
  // An attach runs nothing that could be among the commands.
  if (stream.kind === 'attach' && terms.commands !== null) return null;
  const graded = [...(reading.isOpaque ? [terms.opaque] : []), ...(reading.isInteractive ? [terms.interactive] : [])];
  if (graded.includes('deny')) return null;
  if (graded.includes('ask')) return 'ask';
  const areKnown = reading.needed.every((words) => terms.commands?.some((pattern) => pattern.fits(words)) ?? true);
  return areKnown ? 'allow' : null;
}

/**
 * What a rule of this effect does about a port-forward by its `ports`. `port`: the one that is asked about. While none
 * is known, an allow lets the port-forward be opened, and a deny waits. `null`: it does not match.
 */
export function portsEffect(
  effect: Effect,
  ranges: readonly PortRange[],
  { kind, ports }: StreamRequest,
  port: number | undefined,
): Effect | null {
  if (kind !== 'portforward') return null;
  const asked = port === undefined ? ports : [port];
  const isIn = (one: number): boolean => ranges.some(({ first, last }) => first <= one && one <= last);
  return (effect === 'allow' ? asked.every(isIn) : asked.some(isIn)) ? effect : null;
}

/** The name of the pattern by which a rule speaks of what runs, for a reason: never an argument, which may be a secret. */
export function namedCommand(terms: ExecTerms | null, { reading }: Running): string {
  const found = terms?.commands?.find((pattern) => reading.commands.some((words) => pattern.couldFit(words)));
  return found?.text.split(' ')[0] ?? '';
}
