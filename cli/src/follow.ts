// One call as somebody follows it: whether it runs, and its bytes as they are shown.
import { StringDecoder } from 'node:string_decoder';
import type { CallRow, FrameMeta } from '@sluice/model';
import type { HomePaths } from './home.ts';
import { openRecords } from './records.ts';
import type { TailBytes } from './tail.ts';
import { TerminalFilter } from './terminal-filter.ts';
import { onOneLine, shortened } from './text.ts';
import { metaOf } from './timeline.ts';

/** Of a line, so much is shown. Characters. */
const shownLine = 2_000;

/**
 * Looks in the record for a call that runs: what it is, and whether it has a terminal. Throws an `Error` of one sentence
 * where there is none.
 */
export async function lookAt(
  home: HomePaths,
  call: string,
): Promise<{ readonly row: CallRow; readonly hasTerminal: boolean }> {
  const records = openRecords(home);
  try {
    const { calls } = await records.ask({ kind: 'calls', call, limit: 1 });
    const [row] = calls;
    if (row === undefined) throw new Error(`no call ${onOneLine(call)} in the record; \`sluice tail\` shows what runs`);
    if (row.outcome !== null) throw new Error(`call ${call} has ended; \`sluice replay ${call}\` shows it`);
    const { frames } = await records.ask({ kind: 'frames', call, after: null });
    const begun = frames.find(({ kind }) => kind === 'call');
    const stream = begun === undefined ? undefined : (metaOf(begun) as FrameMeta['call']).stream;
    return { row, hasTerminal: stream?.tty === true };
  } finally {
    await records.close();
  }
}

/**
 * The bytes of a call for a person. `lines`: each line with its time and channel, and nothing that a terminal would obey.
 * `terminal`: what a stream's terminal shows, of which only what draws is let through.
 */
export class FollowedText {
  readonly #as: 'lines' | 'terminal';
  readonly #decoders = new Map<string, StringDecoder>();
  readonly #filter = new TerminalFilter();

  constructor(as: 'lines' | 'terminal') {
    this.#as = as;
  }

  bytes(event: TailBytes): string {
    const { channel, forward } = event;
    const text = this.#decode(`${channel} ${forward?.connection} ${forward?.event}`, event);
    if (this.#as === 'terminal') return channel === 'stdout' || channel === 'stderr' ? this.#filter.pass(text) : '';
    const at = event.at.slice(11, 23);
    const where = forward === undefined ? channel : forwarded(forward);
    const lines = text.split('\n').map((line) => line.replace(/\r$/, ''));
    if (lines.at(-1) === '') lines.pop();
    if (lines.length === 0 && forward !== undefined) lines.push('');
    return lines.map((line) => `${onOneLine(`${at}  ${where}  ${shortened(line, shownLine)}`).trimEnd()}\n`).join('');
  }

  /** What stands before a line of Sluice's own. */
  pause(): string {
    return this.#as === 'terminal' ? `${this.#filter.reset()}\r\n` : '';
  }

  /** What brings a terminal back to itself. */
  end(): string {
    return this.#as === 'terminal' ? this.#filter.reset() : '';
  }

  /** A character that a frame's end cuts is held. */
  #decode(key: string, { text, bytesBase64 }: TailBytes): string {
    const decoder = this.#decoders.get(key) ?? new StringDecoder('utf8');
    this.#decoders.set(key, decoder);
    return decoder.write(text === undefined ? Buffer.from(bytesBase64 ?? '', 'base64') : Buffer.from(text));
  }
}

function forwarded(forward: NonNullable<TailBytes['forward']>): string {
  const where = `connection ${forward.connection} to port ${forward.port} ${forward.event}`;
  if (forward.event === 'refused') return `${where}: ${forward.reasonCode} ${forward.reason}`;
  return forward.event === 'closed' ? `${where}: ${forward.inBytes} bytes in, ${forward.outBytes} bytes out` : where;
}
