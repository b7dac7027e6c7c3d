import type { Cursor, FrameRow, RecordsAnswer, RecordsQuestion } from '@sluice/model';
import type { Store } from './store.ts';

/** An answer must fit one message: base64 makes four bytes of three, and JSON escapes `meta`. */
const answerBytes = 1_500_000;
/** Frames read at once: each carries at most 256 KiB, but a call frame its whole request. */
const framesAtOnce = 4;

/** Answers a question; one that cannot be answered gets an answer that says so. */
export async function answerQuestion(store: Store, question: RecordsQuestion): Promise<RecordsAnswer> {
  try {
    switch (question.kind) {
      case 'calls':
        return { kind: 'calls', calls: await store.calls({ ...question, limit: clamp(question.limit) }) };
      case 'frames':
        return await framesOf(store, question.call, question.after);
      default:
        return { kind: 'error', message: `not a question: ${question.kind}` };
    }
  } catch (error) {
    return { kind: 'error', message: `the record cannot be read: ${(error as Error).message}` };
  }
}

async function framesOf(store: Store, call: string, after: Cursor | null): Promise<RecordsAnswer> {
  const frames: FrameRow[] = [];
  let bytes = 0;
  for (;;) {
    const found = await store.frames(call, frames.at(-1) ?? after ?? { ledger: '', seq: 0 }, framesAtOnce);
    for (const frame of found) {
      bytes += frame.bytesBase64.length + frame.meta.length;
      if (frames.length > 0 && bytes > answerBytes) return { kind: 'frames', frames, more: true };
      frames.push(frame);
    }
    if (found.length < framesAtOnce) return { kind: 'frames', frames, more: false };
  }
}

function clamp(limit: number): number {
  return Math.min(Math.max(1, Math.trunc(limit)), 1_000);
}
