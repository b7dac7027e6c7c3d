import assert from 'node:assert/strict';
import { cut, type FuzzTarget, type Random } from '@sluice/testing/fuzz';
import { controlFrame, dataFrame, SpdyError, wordsFrame } from './frames.ts';
import { SpdySession } from './session.ts';

/** Of the sessions here: low, so that inputs of a few kilobytes reach them. */
const limits = { maxControlBytes: 512, maxHeaderBytes: 1024, maxHeaders: 8, maxStreams: 2 };

/** Of a stream of ours, until the input gives it window. */
const heldBytes = 1000;
/** A SETTINGS frame with an initial window of 0 bytes. */
const noWindow = controlFrame(4, 0, Buffer.from('000000010000000700000000', 'hex'));

/** What a session did with an input: events in order, data joined, and what it answered. */
interface Told {
  readonly events: string[];
  readonly answers: string;
}

export const spdy: FuzzTarget = {
  name: 'spdy',
  corpus: new URL('../../fuzz-corpus/spdy/', import.meta.url),
  words: [
    wordsFrame(6, 1),
    wordsFrame(7, 0, 0),
    wordsFrame(9, 0, 0x7fffffff),
    wordsFrame(9, 2, 0x10000),
    wordsFrame(3, 2, 5),
    dataFrame(2, 1, Buffer.from('abc')),
    dataFrame(1, 0, Buffer.from('abc')),
    Buffer.from('800300040000000c000000010000000700000000', 'hex'),
  ],
  run(input: Buffer, random: Random): string {
    const whole = told([input]);
    // However it is cut, the same is told and answered.
    assert.deepEqual(told(cut(input, random)), whole);
    // Answers are in proportion: beside what was held, a frame of 8 bytes draws one of 16 or so.
    const answered = whole.answers.length / 2;
    assert.ok(answered <= 2 * heldBytes + 200 + 4 * input.length, `${answered} bytes for ${input.length}`);
    return whole.events.map((event) => event.split(' ')[0]).join(' ');
  },
};

function told(pieces: readonly Buffer[]): Told {
  const events: string[] = [];
  const open = new Set<number>();
  const answers: Buffer[] = [];
  let dataBytes = 0;
  let data: { stream: number; parts: Buffer[] } | undefined;
  const flush = (): void => {
    if (data !== undefined) events.push(`data ${data.stream} ${Buffer.concat(data.parts).toString('hex')}`);
    data = undefined;
  };
  const tell = (event: string): void => {
    flush();
    events.push(event);
  };
  const session = new SpdySession(
    'server',
    (bytes) => answers.push(bytes),
    {
      opened(stream, headers, isEnded) {
        assert.ok(!open.has(stream));
        open.add(stream);
        assert.ok(open.size <= limits.maxStreams);
        tell(`opened ${stream} ${JSON.stringify([...headers])} ${isEnded}`);
        session.reply(stream);
        if (isEnded) ended(stream);
      },
      replied: (stream) => tell(`replied ${stream}`),
      data(stream, bytes, isEnded) {
        assert.ok(open.has(stream) || stream === ours, 'data on a stream that is not open');
        dataBytes += bytes.length;
        if (data?.stream !== stream) flush();
        data ??= { stream, parts: [] };
        data.parts.push(Buffer.from(bytes));
        session.consumed(stream, bytes.length);
        if (!isEnded) return;
        tell(`ended ${stream}`);
        ended(stream);
      },
      reset(stream, status) {
        tell(`reset ${stream} ${status}`);
        open.delete(stream);
      },
      goAway: () => tell('goAway'),
      writable: (stream) => tell(`writable ${stream}`),
    },
    limits,
  );
  // The peer's end is answered with ours, so that a stream of the peer is gone.
  const ended = (stream: number): void => {
    session.end(stream);
    open.delete(stream);
  };
  const ours = session.open(new Map([['streamtype', 'data']]));
  session.push(noWindow);
  assert.equal(session.write(ours, Buffer.alloc(heldBytes)), false);
  answers.length = 0;
  for (const piece of pieces) {
    try {
      session.push(piece);
    } catch (error) {
      if (!(error instanceof SpdyError)) throw error;
      tell('dead');
      assert.throws(() => session.push(piece), error);
      break;
    }
  }
  flush();
  assert.ok(dataBytes <= Buffer.concat(pieces).length);
  return { events, answers: Buffer.concat(answers).toString('hex') };
}
