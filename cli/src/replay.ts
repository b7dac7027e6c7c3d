import type { CallRow, FrameMeta, FrameRow } from '@sluice/model';
import { asciicast, firstSize } from './asciicast.ts';
import { framesAsWritten, framesOf } from './call-frames.ts';
import { channelOf } from './channels.ts';
import { shellLine } from './command-line.ts';
import { isJson } from './json.ts';
import { type Pace, play } from './play.ts';
import type { Records } from './records.ts';
import { onOneLine, printable } from './text.ts';
import { callTimeline, metaOf, sessionEntry, sessionHead } from './timeline.ts';

/** `sluice replay`, with its options parsed. */
export interface ReplayOptions {
  readonly full?: true;
  readonly json?: true;
  readonly export?: 'asciicast';
  /** Of a terminal: 2 plays it twice as fast. */
  readonly speed: number;
  /** Of a terminal: longer pauses are shortened to so many seconds. */
  readonly idleLimit: number;
}

/** Where a replay is shown. A terminal is played on a terminal alone. */
export type ReplayOut = NodeJS.WritableStream & { readonly isTTY?: boolean; readonly columns?: number };

/** Longer bodies are shortened, unless asked for in full. Lines. */
const shownLines = 120;
/** Of a channel likewise, before it is made lines of. Bytes. */
const shownBytes = 256 * 1024;
/** Behind so many bytes of a channel, what others carry is told by its size as well. */
const enoughBytes = 32 * 1024 * 1024;
const callsAtOnce = 1_000;

/**
 * Shows a call by its id, or a session, which has 32 hex digits. `interrupted`: called when a terminal begins to be
 * played; its signal ends that. Throws an `Error` where there is none.
 */
export async function replay(
  records: Records,
  id: string,
  options: ReplayOptions,
  out: ReplayOut,
  interrupted: () => AbortSignal,
): Promise<void> {
  if (!/^[0-9a-f]{32}$/.test(id)) return replayCall(records, id, options, out, interrupted);
  if (options.export !== undefined)
    throw new Error('one call can be exported, no session; `sluice replay` shows its calls');
  return replaySession(records, id, options, out);
}

async function replayCall(
  records: Records,
  call: string,
  options: ReplayOptions,
  out: ReplayOut,
  interrupted: () => AbortSignal,
): Promise<void> {
  if (options.json === true) {
    let comma = '[';
    for await (const frame of framesOf(records, call)) {
      out.write(comma + frameJson(frame));
      comma = ',';
    }
    if (comma === '[') throw noSuchCall(call);
    out.write(']\n');
    return;
  }
  const { calls } = await records.ask({ kind: 'calls', call, limit: 1 });
  const row = calls[0] ?? null;
  const isOnTerminal = out.isTTY === true;
  const stream = isOnTerminal || options.export !== undefined ? await streamOf(records, call) : null;
  if (options.export === 'asciicast') return exportCast(records, call, stream, out);
  if (isOnTerminal && stream?.tty === true) {
    return playCall(
      records,
      call,
      row,
      stream,
      { ...options, idleLimitMs: options.idleLimit * 1_000 },
      out,
      interrupted(),
    );
  }
  out.write(await timelineOf(records, call, row, options.full === true ? Number.POSITIVE_INFINITY : shownLines));
}

async function timelineOf(records: Records, call: string, row: CallRow | null, maxLines: number): Promise<string> {
  const frames: FrameRow[] = [];
  const shown = new Map<string, number>();
  // What is not shown need not be read.
  const isEnough = (): boolean =>
    maxLines !== Number.POSITIVE_INFINITY && shown.values().some((bytes) => bytes > enoughBytes);
  for await (const frame of framesAsWritten(records, call, () => (isEnough() ? 'sizes' : 'all'))) {
    const channel = channelOf(frame)?.channel ?? '';
    const before = shown.get(channel) ?? 0;
    if (channel !== '') shown.set(channel, before + frame.size);
    const isLeftOut = channel !== '' && before > shownBytes && maxLines !== Number.POSITIVE_INFINITY;
    frames.push(isLeftOut ? { ...frame, bytesBase64: '' } : frame);
  }
  if (frames.length === 0) throw noSuchCall(call);
  return callTimeline(row, frames, maxLines);
}

/** Plays a terminal, between a line on what it is and the timeline of its call. */
async function playCall(
  records: Records,
  call: string,
  row: CallRow | null,
  stream: NonNullable<FrameMeta['call']['stream']>,
  pace: Pace,
  out: ReplayOut,
  signal: AbortSignal,
): Promise<void> {
  const size = await firstSize(framesAsWritten(records, call));
  const fits = size === null || size.columns <= (out.columns ?? size.columns) ? '' : ` (${size.columns} columns wide)`;
  const what = stream.kind === 'exec' ? shellLine(stream.command) : 'what was attached to';
  out.write(`${onOneLine(`replay of ${call}: ${what}${fits}; Ctrl-C ends it`)}\n`);
  const others = await play(framesAsWritten(records, call), pace, out, signal);
  out.write('\n');
  if (!signal.aborted) out.write(`end of the replay\n\n${callTimeline(row, others, shownLines)}`);
}

async function exportCast(
  records: Records,
  call: string,
  stream: FrameMeta['call']['stream'] | null,
  out: ReplayOut,
): Promise<void> {
  if (stream == null || stream.kind === 'portforward') {
    throw new Error(`${printable(call)} is no exec or attach, and has no output to export; \`sluice replay\` shows it`);
  }
  const size = stream.tty ? await firstSize(framesAsWritten(records, call)) : null;
  for await (const line of asciicast(stream, size, framesAsWritten(records, call))) out.write(line);
}

/** What a call streams; `null` where it is no stream. */
async function streamOf(records: Records, call: string): Promise<FrameMeta['call']['stream'] | null> {
  const { frames } = await records.ask({ kind: 'frames', call, after: null });
  if (frames.length === 0) throw noSuchCall(call);
  const begun = frames.find(({ kind }) => kind === 'call');
  return begun === undefined ? null : ((metaOf(begun) as FrameMeta['call']).stream ?? null);
}

function noSuchCall(call: string): Error {
  return new Error(`no call ${printable(call)} in the record; \`sluice calls list\` shows ids`);
}

async function replaySession(
  records: Records,
  session: string,
  { full, json }: ReplayOptions,
  out: NodeJS.WritableStream,
): Promise<void> {
  const calls = await callsOf(records, session);
  const [first] = calls;
  if (first === undefined) throw new Error(`no session ${session} in the record; \`sluice sessions list\` shows ids`);
  if (json === true) {
    let comma = '[';
    for (const { id } of calls) {
      for await (const frame of framesOf(records, id)) {
        out.write(comma + frameJson(frame));
        comma = ',';
      }
    }
    out.write(']\n');
    return;
  }
  out.write(sessionHead(session, calls));
  for (const [index, call] of calls.entries()) {
    out.write(sessionEntry(call, calls[index - 1] ?? null, first));
    if (full === true) {
      out.write(`\n${await timelineOf(records, call.id, call, Number.POSITIVE_INFINITY)}`);
    }
  }
}

/** The calls of a session, in their order. */
async function callsOf(records: Records, session: string): Promise<CallRow[]> {
  const found: CallRow[] = [];
  for (;;) {
    const before = found.at(-1)?.id;
    const page = { kind: 'calls', session, limit: callsAtOnce, ...(before === undefined ? {} : { before }) } as const;
    const { calls } = await records.ask(page);
    found.push(...calls);
    if (calls.length < callsAtOnce) return found.reverse();
  }
}

/** Its meta laid open as it was written, where that is JSON. */
function frameJson({ meta, ...frame }: FrameRow): string {
  return `${JSON.stringify(frame).slice(0, -1)},"meta":${isJson(meta) ? meta : JSON.stringify(meta)}}`;
}
