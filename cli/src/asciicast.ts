import type { FrameMeta, FrameRow } from '@sluice/model';
import { ChannelTexts, sizesIn, type TerminalSize } from './channels.ts';
import { shellLine } from './command-line.ts';
import { TerminalFilter } from './terminal-filter.ts';
import { printable } from './text.ts';

/** What a terminal has when nobody says so. */
const usualSize: TerminalSize = { columns: 80, rows: 24 };

/**
 * A stream as an asciicast, version 2 (docs.asciinema.org/manual/asciicast/v2): lines of JSON, the first of which is the
 * header. Times count from the first frame. Output draws and does nothing else to a terminal, as in a replay.
 * `size`: of the terminal as it began; `null` where nobody said.
 */
export async function* asciicast(
  stream: NonNullable<FrameMeta['call']['stream']>,
  size: TerminalSize | null,
  frames: AsyncIterable<FrameRow>,
): AsyncGenerator<string> {
  const texts = new ChannelTexts();
  const cast = new Cast(stream.tty);
  let isBegun = false;
  for await (const frame of frames) {
    const piece = texts.piece(frame);
    if (piece === null) continue;
    if (!isBegun) {
      isBegun = true;
      yield headerLine(stream, size ?? usualSize, piece.atMs);
      cast.begin(piece.atMs, size);
    }
    yield* cast.lines(piece.channel, piece.text, piece.atMs);
  }
  if (!isBegun) yield headerLine(stream, size ?? usualSize, 0);
  for (const [channel, text] of texts.rest()) yield* cast.lines(channel, text, 0);
}

/** The first size that the terminal of a stream had; `null` where nobody said. */
export async function firstSize(frames: AsyncIterable<FrameRow>): Promise<TerminalSize | null> {
  const texts = new ChannelTexts();
  let text = '';
  for await (const frame of frames) {
    const piece = texts.piece(frame);
    if (piece?.channel !== 'resize') continue;
    text += piece.text;
    const [size] = sizesIn(text);
    if (size !== undefined) return size;
  }
  return null;
}

function headerLine(
  { command }: NonNullable<FrameMeta['call']['stream']>,
  { columns, rows }: TerminalSize,
  atMs: number,
): string {
  return line({
    version: 2,
    width: columns,
    height: rows,
    timestamp: Math.floor(atMs / 1_000),
    ...(command.length === 0 ? {} : { command: shellLine(command) }),
    env: { TERM: 'xterm-256color' },
  });
}

class Cast {
  readonly #hasTerminal: boolean;
  /** Each channel ends its own sequences. */
  readonly #filters = { stdout: new TerminalFilter(), stderr: new TerminalFilter() };
  #startMs = 0;
  #lastMs = 0;
  #size: TerminalSize | null = null;

  constructor(hasTerminal: boolean) {
    this.#hasTerminal = hasTerminal;
  }

  begin(atMs: number, size: TerminalSize | null): void {
    this.#startMs = atMs;
    this.#lastMs = atMs;
    this.#size = size;
  }

  /** Clocks may go back; times of a cast do not. */
  *lines(channel: string, text: string, atMs: number): Generator<string> {
    this.#lastMs = Math.max(this.#lastMs, atMs);
    if (text === '') return;
    if (channel === 'stdin') yield this.#event('i', text);
    if (channel === 'stdout' || channel === 'stderr') {
      const drawn = this.#filters[channel].pass(text);
      // Where there was no terminal, nothing made a carriage return of a line feed.
      if (drawn !== '') yield this.#event('o', this.#hasTerminal ? drawn : drawn.replaceAll('\n', '\r\n'));
    }
    if (channel !== 'resize') return;
    for (const size of sizesIn(text)) {
      // The first stands in the header.
      const isNew = size.columns !== this.#size?.columns || size.rows !== this.#size.rows;
      if (isNew) yield this.#event('r', `${size.columns}x${size.rows}`);
      this.#size = size;
    }
  }

  #event(code: 'o' | 'i' | 'r', data: string): string {
    return line([(this.#lastMs - this.#startMs) / 1_000, code, data]);
  }
}

/** JSON in which nothing stands that the terminal obeys to which somebody prints the file. */
function line(value: unknown): string {
  return `${printable(JSON.stringify(value))}\n`;
}
