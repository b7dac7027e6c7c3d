// An answer's bytes, masked as they come: JSON value by value, a text piece by piece.
import { type Framing, type Piece, SplitError, Splitter } from '@sluice/kube';
import { maxValueBytes } from '@sluice/model';
import { type Raw, raw } from '@sluice/runtime/raw';
import { type MaskClient, MaskError, type MaskSubject, type TextForm } from './mask-client.ts';
import { Refusal } from './refusal.ts';

/** Bytes on their way: masked, and as the cluster sent them. Both stand for the same part of the answer. */
export interface Passing {
  readonly masked: Buffer;
  readonly raw: Raw;
}

/** Values of one masking message add up to at most this, unless one alone is larger. Bytes. */
const batchBytes = 256 * 1024;
/** What may be the beginning of a secret is not held for longer, when nothing follows. */
const quietMs = 1_000;

/** Throws `Refusal` (`ResponseWithheld`). */
export async function* maskedJson(
  chunks: AsyncIterable<Buffer>,
  framing: Framing,
  client: MaskClient,
  subject: MaskSubject,
): AsyncGenerator<Passing> {
  const splitter = new Splitter(framing, maxValueBytes);
  try {
    for await (const chunk of chunks) yield* maskPieces(splitter.push(chunk), client, subject);
    yield* maskPieces(splitter.end(), client, subject);
  } catch (error) {
    throw asWithheld(error);
  }
}

async function* maskPieces(
  pieces: readonly Piece[],
  client: MaskClient,
  subject: MaskSubject,
): AsyncGenerator<Passing> {
  for (let from = 0; from < pieces.length; ) {
    let to = from;
    let bytes = 0;
    do bytes += pieces[to++]?.bytes.length ?? 0;
    while (to < pieces.length && bytes + (pieces[to]?.bytes.length ?? 0) <= batchBytes);
    const batch = pieces.slice(from, to);
    const values = batch.filter(({ kind }) => kind === 'value').map((piece) => raw(piece.bytes));
    const as = { form: 'object', direction: 'shown' } as const;
    const done = values.length === 0 ? [] : await client.values(subject, as, values);
    let next = 0;
    const masked = batch.map((piece) => (piece.kind === 'value' ? (done[next++] as Buffer) : piece.bytes));
    yield { masked: Buffer.concat(masked), raw: raw(Buffer.concat(batch.map((piece) => piece.bytes))) };
    from = to;
  }
}

/** A text on its way, masked piece by piece. */
export class MaskedText {
  readonly #client: MaskClient;
  readonly #subject: MaskSubject;
  readonly #as: TextForm;
  #carry = '';
  #held: Buffer = Buffer.alloc(0);

  constructor(client: MaskClient, subject: MaskSubject, as: TextForm) {
    this.#client = client;
    this.#subject = subject;
    this.#as = as;
  }

  /** Whether bytes are held back, which `flush` would give. */
  get isHolding(): boolean {
    return this.#held.length > 0;
  }

  /** Throws `MaskError`. One at a time. */
  async push(chunk: Buffer, until: 'more' | 'flush' = 'more'): Promise<Passing> {
    const given = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    const piece = await this.#client.text(this.#subject, this.#as, raw(chunk), this.#carry, until);
    if (piece.held > given.length) throw new MaskError('unavailable');
    this.#carry = piece.carry;
    this.#held = given.subarray(given.length - piece.held);
    const passing = raw(given.subarray(0, given.length - piece.held));
    return { masked: piece.bytes ?? passing, raw: passing };
  }

  flush(): Promise<Passing> {
    return this.push(Buffer.alloc(0), 'flush');
  }
}

/** Throws `Refusal` (`ResponseWithheld`). */
export async function* maskedTextOf(
  chunks: AsyncIterable<Buffer>,
  client: MaskClient,
  subject: MaskSubject,
): AsyncGenerator<Passing> {
  const text = new MaskedText(client, subject, { direction: 'shown' });
  const arriving = chunks[Symbol.asyncIterator]();
  const take = (): Promise<IteratorResult<Buffer>> => {
    const taken = arriving.next();
    // It is awaited below, unless the answer is given up while it is on its way; nobody hears then that it failed, too.
    taken.catch(() => undefined);
    return taken;
  };
  try {
    let next = take();
    for (;;) {
      if (text.isHolding && (await isQuiet(next))) yield await text.flush();
      const { done, value } = await next;
      if (done === true) break;
      next = take();
      yield await text.push(value);
    }
    yield await text.flush();
  } catch (error) {
    throw asWithheld(error);
  }
}

/** Whether nothing comes for so long that what is held back should go. */
export async function isQuiet(next: Promise<unknown>, ms: number = quietMs): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const quiet = new Promise<true>((resolve) => {
    timer = setTimeout(resolve, ms, true);
  });
  const came = next.then(
    () => false,
    () => false,
  );
  return Promise.race([came, quiet]).finally(() => clearTimeout(timer));
}

/** What a failure to mask an answer is to the agent. */
export function asWithheld(error: unknown): unknown {
  if (error instanceof SplitError)
    return new Refusal('ResponseWithheld', `the cluster's answer cannot be masked: ${error.message}`);
  if (error instanceof MaskError && error.code === 'tooLarge')
    return new Refusal('ResponseWithheld', 'an object in the answer is too large once it is masked, so it is withheld');
  if (error instanceof MaskError)
    return new Refusal('ResponseWithheld', 'the answer cannot be masked now, so it is withheld');
  return error;
}
