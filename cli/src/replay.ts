import type { CallRow, FrameRow } from '@sluice/model';
import { isJson } from './json.ts';
import type { Records } from './records.ts';
import { printable } from './text.ts';
import { callTimeline, sessionEntry, sessionHead } from './timeline.ts';

/** `sluice replay`, with its options parsed. */
export interface ReplayOptions {
  readonly full?: true;
  readonly json?: true;
}

/** Longer bodies are shortened, unless asked for in full. Lines. */
const shownLines = 120;
const callsAtOnce = 1_000;

/** Shows a call by its id, or a session, which has 32 hex digits. Throws an `Error` where there is none. */
export async function replay(
  records: Records,
  id: string,
  options: ReplayOptions,
  out: NodeJS.WritableStream,
): Promise<void> {
  if (/^[0-9a-f]{32}$/.test(id)) await replaySession(records, id, options, out);
  else await replayCall(records, id, options, out);
}

async function replayCall(
  records: Records,
  call: string,
  { full, json }: ReplayOptions,
  out: NodeJS.WritableStream,
): Promise<void> {
  const frames = await framesOf(records, call);
  if (frames.length === 0) throw new Error(`no call ${printable(call)} in the record; \`sluice calls list\` shows ids`);
  if (json === true) {
    out.write(`[${frames.map(frameJson).join(',')}]\n`);
    return;
  }
  const { calls } = await records.ask({ kind: 'calls', call, limit: 1 });
  out.write(callTimeline(calls[0] ?? null, frames, full === true ? Number.POSITIVE_INFINITY : shownLines));
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
      for (const frame of await framesOf(records, id)) {
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
      out.write(`\n${callTimeline(call, await framesOf(records, call.id), Number.POSITIVE_INFINITY)}`);
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

/** All frames of a call, with their bodies. */
async function framesOf(records: Records, call: string): Promise<FrameRow[]> {
  const frames: FrameRow[] = [];
  for (let after: { ledger: string; seq: number } | null = null; ; ) {
    const answer: { readonly frames: readonly FrameRow[]; readonly more: boolean } = await records.ask({
      kind: 'frames',
      call,
      after,
    });
    for (const frame of answer.frames) {
      frames.push(await withBody(records, frame));
      after = { ledger: frame.ledger, seq: frame.seq };
    }
    if (!answer.more || answer.frames.length === 0) return frames;
  }
}

/** A frame with its body, of which an answer leaves out a large one. */
async function withBody(records: Records, frame: FrameRow): Promise<FrameRow> {
  if (frame.bytesBase64 !== '' || frame.size === 0) return frame;
  const { ledger, seq, size } = frame;
  const parts: Buffer[] = [];
  for (let offset = 0; offset < size; ) {
    const { bytesBase64 } = await records.ask({ kind: 'part', ledger, seq, row: 0, offset });
    const part = Buffer.from(bytesBase64, 'base64');
    if (part.length === 0) throw new Error(`frame ${seq} of ledger ${ledger} ends before its end`);
    parts.push(part);
    offset += part.length;
  }
  return { ...frame, bytesBase64: Buffer.concat(parts).toString('base64') };
}

/** Its meta laid open as it was written, where that is JSON. */
function frameJson({ meta, ...frame }: FrameRow): string {
  return `${JSON.stringify(frame).slice(0, -1)},"meta":${isJson(meta) ? meta : JSON.stringify(meta)}}`;
}
