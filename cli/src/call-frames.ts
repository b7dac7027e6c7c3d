import type { Cursor, FrameRow } from '@sluice/model';
import type { Records } from './records.ts';

/** All frames of a call with their bodies, in the order of their ledgers' names. Few are held at a time. */
export async function* framesOf(records: Records, call: string): AsyncGenerator<FrameRow> {
  for (let after: Cursor | null = null; ; ) {
    const { frames, more }: Page = await records.ask({ kind: 'frames', call, after });
    for (const frame of frames) {
      yield withBody(records, frame);
      after = { ledger: frame.ledger, seq: frame.seq };
    }
    if (!more || frames.length === 0) return;
  }
}

/**
 * The same in the order in which they were written: a stream may go on in its writer's next ledger, and names of ledgers
 * end with a number, so that the tenth comes before the ninth. `bodies`: asked before each answer; from `sizes` on, frames of
 * channels are without their bytes.
 */
export async function* framesAsWritten(
  records: Records,
  call: string,
  bodies: () => 'all' | 'sizes' = () => 'all',
): AsyncGenerator<FrameRow> {
  const first: Page = await records.ask({ kind: 'frames', call, after: null });
  if (!first.more) {
    for (const frame of first.frames.toSorted(asWritten)) yield withBody(records, frame);
    return;
  }
  for (const ledger of await ledgersOf(records, call)) {
    for (let seq = 0; ; ) {
      const sizes = bodies() === 'sizes' ? ({ bodies: 'sizes' } as const) : {};
      const { frames, more }: Page = await records.ask({ kind: 'frames', call, after: { ledger, seq }, ...sizes });
      const own = frames.filter((frame) => frame.ledger === ledger);
      for (const frame of own) yield 'bodies' in sizes && frame.kind === 'channel' ? frame : withBody(records, frame);
      seq = own.at(-1)?.seq ?? seq;
      if (!more || own.length < frames.length || own.length === 0) break;
    }
  }
}

type Page = { readonly frames: readonly FrameRow[]; readonly more: boolean };

/** The ledgers that hold frames of a call, in their order. */
async function ledgersOf(records: Records, call: string): Promise<string[]> {
  const ledgers: string[] = [];
  for (let after: Cursor | null = null; ; ) {
    const page: Page = await records.ask({ kind: 'frames', call, after, bodies: 'sizes' });
    const next: FrameRow | undefined = page.frames[0];
    if (next === undefined) break;
    ledgers.push(next.ledger);
    after = { ledger: next.ledger, seq: Number.MAX_SAFE_INTEGER };
  }
  return ledgers.toSorted((a, b) => byLedger(a, b));
}

/** Orders frames of one call. */
function asWritten(a: Cursor, b: Cursor): number {
  return a.ledger === b.ledger ? a.seq - b.seq : byLedger(a.ledger, b.ledger);
}

/** Ledgers of one process by their numbers, others by their names. */
function byLedger(a: string, b: string): number {
  const [instanceA, instanceB] = [a, b].map((name) => name.slice(0, name.lastIndexOf('-')));
  if (instanceA === instanceB) return Number(a.slice(a.lastIndexOf('-') + 1)) - Number(b.slice(b.lastIndexOf('-') + 1));
  return a < b ? -1 : 1;
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
