import { StringDecoder } from 'node:string_decoder';
import type { Channel, FrameMeta, FrameRow } from '@sluice/model';

/** Text of a channel, at a time: milliseconds since the epoch. */
export interface Piece {
  readonly atMs: number;
  readonly channel: Channel;
  readonly text: string;
}

/** Reads the texts of a stream's channels: what of UTF-8 a frame's end cuts is held until the next frame of its channel. */
export class ChannelTexts {
  readonly #decoders = new Map<Channel, StringDecoder>();

  /** What a frame adds; empty where it only begins a character. */
  read(channel: Channel, bytes: Uint8Array): string {
    const decoder = this.#decoders.get(channel) ?? new StringDecoder('utf8');
    this.#decoders.set(channel, decoder);
    return decoder.write(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  }

  /** The piece of a recorded frame; `null` for one of no channel, and of a port-forward. */
  piece(frame: FrameRow): Piece | null {
    const meta = channelOf(frame);
    if (meta === null || meta.channel === 'port') return null;
    const text = this.read(meta.channel, Buffer.from(frame.bytesBase64, 'base64'));
    return { atMs: Date.parse(frame.at), channel: meta.channel, text };
  }

  /** At the end: what was cut there, as the sign for what is no text. */
  rest(): readonly (readonly [Channel, string])[] {
    return [...this.#decoders].map(([channel, decoder]) => [channel, decoder.end()] as const);
  }
}

/** What a frame `channel` says; `null` for another. Throws an `Error` for what is no JSON. */
export function channelOf({ kind, meta }: Pick<FrameRow, 'kind' | 'meta'>): FrameMeta['channel'] | null {
  return kind === 'channel' ? (JSON.parse(meta) as FrameMeta['channel']) : null;
}

/** The size of a terminal. */
export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

/** Sizes that a text of the channel `resize` tells, one JSON object a line; what is none is left out. */
export function sizesIn(text: string): TerminalSize[] {
  return text.split('\n').flatMap((line) => {
    try {
      const { Width: columns, Height: rows } = JSON.parse(line) as { Width?: unknown; Height?: unknown };
      return isSize(columns) && isSize(rows) ? [{ columns, rows }] : [];
    } catch {
      return [];
    }
  });
}

/** As the protocols have it: 16 bits, and not none. */
function isSize(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) > 0 && Number(value) < 65_536;
}
