// What Sluice itself says on a stream that has begun: in words on what the agent's user reads, and as a `Status` for the
// agent's program.
import { execRefusal, type Refused, refusalStatus } from '@sluice/kube';
import type { Channel, StreamRequest } from '@sluice/model';
import type { Leg } from './leg.ts';

/** The words, and the channels they go to. `error` comes last. */
export type Words = readonly (readonly [channel: Channel, bytes: Buffer])[];

/** For a stream that does not begin: one line, and the exit code 126. */
export function refusalWords(leg: Leg, stream: StreamRequest, refused: Refused): Words {
  const { message, hint = '', reasonCode } = refused;
  const line = `Error from Sluice (${reasonCode}): ${sentence(message)}${hint === '' ? '' : ` ${hint}`}`;
  return [...spoken(stream, line), ['error', leg.hasStatus ? execRefusal(refused) : Buffer.from(line)]];
}

/** For one that is cut. */
export function cutWords(leg: Leg, stream: StreamRequest, refused: Refused): Words {
  const line = `sluice: ${refused.message}`;
  const status = leg.hasStatus ? refusalStatus(refused).body : line;
  return [...spoken(stream, line), ['error', Buffer.from(status)]];
}

/** stderr, where the agent reads it; a terminal has but stdout, and may stand anywhere in a line. */
function spoken({ stdout, stderr, tty }: StreamRequest, line: string): Words {
  const shown = printable(line);
  if (stderr && !tty) return [['stderr', Buffer.from(`${shown}\n`)]];
  return stdout ? [['stdout', Buffer.from(tty ? `\r\n${shown}\r\n` : `${shown}\n`)]] : [];
}

function sentence(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

/** Reasons are the words of people. */
function printable(line: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
  return line.replaceAll(/[\x00-\x1f\x7f-\x9f]/g, ' ');
}
