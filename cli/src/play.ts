import { setTimeout as sleepMs } from 'node:timers/promises';
import type { FrameRow } from '@sluice/model';
import { ChannelTexts } from './channels.ts';
import { TerminalFilter } from './terminal-filter.ts';

/** How fast a terminal is played. */
export interface Pace {
  /** 2: twice as fast as it was. */
  readonly speed: number;
  /** A longer pause is shortened to this. Milliseconds. */
  readonly idleLimitMs: number;
}

/**
 * Plays the terminal of a stream on this one, in the time that it took; ends early when `signal` says so. What was typed
 * shows where the terminal echoed it. Only what draws is written, and in the end the terminal is as it was. Hands on the
 * frames of no channel. `sleep`: for tests.
 */
export async function play(
  frames: AsyncIterable<FrameRow>,
  { speed, idleLimitMs }: Pace,
  out: NodeJS.WritableStream,
  signal: AbortSignal,
  sleep: (ms: number) => Promise<unknown> = (ms) => sleepMs(ms, undefined, { signal }),
): Promise<FrameRow[]> {
  const texts = new ChannelTexts();
  const filters = { stdout: new TerminalFilter(), stderr: new TerminalFilter() };
  const others: FrameRow[] = [];
  let lastMs: number | null = null;
  try {
    for await (const frame of frames) {
      if (frame.kind !== 'channel') others.push(frame);
      const piece = texts.piece(frame);
      if (piece === null) continue;
      const pauseMs = Math.min(Math.max(0, piece.atMs - (lastMs ?? piece.atMs)), idleLimitMs) / speed;
      lastMs = Math.max(lastMs ?? 0, piece.atMs);
      if (pauseMs > 0) await sleep(pauseMs).catch(ignoreAborted);
      if (signal.aborted) break;
      if (piece.channel !== 'stdout' && piece.channel !== 'stderr') continue;
      out.write(filters[piece.channel].pass(piece.text));
    }
  } finally {
    out.write(filters.stdout.reset() + filters.stderr.reset());
  }
  return others;
}

function ignoreAborted(error: unknown): void {
  if ((error as Error).name !== 'AbortError') throw error;
}
