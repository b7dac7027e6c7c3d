import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { queryValue, refusalStatus, statusInsteadOf } from '@sluice/kube';
import type { BodyNote } from '@sluice/model';
import { raw } from '@sluice/runtime/raw';
import { breakOff } from './answer.ts';
import { type MaskClient, MaskError, type MaskSubject, maskedText } from './mask-client.ts';
import { maskedJson, maskedTextOf, type Passing } from './masked.ts';
import type { CallOver, CallRecord } from './record.ts';
import { Refusal } from './refusal.ts';
import { AgentGone, type CanonicalRequest, goneSignal, isGone, type Response } from './request.ts';
import { type Treatment, treatmentOf } from './treatment.ts';

/** What delivering an answer needs to know of its call. */
export interface Delivery {
  readonly canonical: CanonicalRequest;
  readonly subject: MaskSubject;
  /** `raw`: a rule says `mask: none`, so the agent gets the values; the record does not. */
  readonly shows: 'masked' | 'raw';
  readonly record: CallRecord;
  readonly maskClient: MaskClient;
  readonly isRecordFull: boolean;
  /** Aborts when the call is cut, with the `Refusal` that names why. */
  readonly cut: AbortSignal;
  /** The agent has all of its answer, and the outcome is not written yet. */
  readonly atEnd: () => Promise<void> | undefined;
}

const lastWordsMs = 2_000;

/** Headers of the cluster's answer that reach the agent. Everything that describes raw bytes stays behind. */
const passedHeaders = [
  'audit-id',
  'cache-control',
  'retry-after',
  'warning',
  'x-kubernetes-pf-flowschema-uid',
  'x-kubernetes-pf-prioritylevel-uid',
];

/**
 * Masks, records and delivers an answer, in that order for every byte, and writes the call's outcome. Throws
 * `Refusal` (`ResponseWithheld`) when a byte cannot go out, and `AgentGone`.
 */
export async function deliver(answer: IncomingMessage, response: Response, delivery: Delivery): Promise<void> {
  const status = answer.statusCode ?? 502;
  const { canonical, record } = delivery;
  const treatment = treatmentOf(canonical.attributes, answer);
  const contentType = treatment === 'substitute' ? 'application/json' : (answer.headers['content-type'] ?? '');
  const isWrite = canonical.method !== 'GET' && canonical.method !== 'HEAD';
  const isStream = isWatch(delivery, answer);
  const isWhole = isWrite || isStream || isFollowed(canonical) || delivery.isRecordFull;
  const isUnmasked = treatment === 'unmasked';
  // Where a policy wants it, a copy is masked as a text for the record.
  const recorded = isUnmasked && !delivery.isRecordFull ? 'digest' : recordedAs[treatment];
  const showsRaw = isUnmasked || (delivery.shows === 'raw' && recorded === 'masked');
  const body = record.response({ status, contentType }, { recorded, ...(showsRaw && { delivered: 'raw' }) }, isWhole);
  const live = isStream || isFollowed(canonical);
  const headers = await deliveredHeaders(answer, contentType, delivery);
  const out = new Outgoing(response, { status, headers });

  if (live) out.open();
  // Of a document the last bytes wait until all of it is recorded; what is live goes out as it comes.
  let held: Buffer | undefined;
  const stopReading = (): void => void answer.destroy(new Error('the call is cut'));
  delivery.cut.addEventListener('abort', stopReading);
  const over = new Over(delivery.cut, response);
  try {
    for await (const passing of treated(answer, treatment, delivery)) {
      // What the agent is shown goes out behind its masked form, never ahead of it.
      await body.append(passing.masked, over);
      if (recorded === 'digest') body.count(passing.raw.length);
      const bytes = showsRaw ? passing.raw : passing.masked;
      if (held !== undefined) await out.send(held, delivery.cut);
      if (live) await out.send(bytes, delivery.cut);
      else held = bytes;
    }
  } catch (error) {
    if (!delivery.cut.aborted) throw error;
    const why = delivery.cut.reason as Refusal;
    if (!live) throw why;
    const words = isStream ? errorEvent(why) : Buffer.from(`sluice: ${why.message}\n`);
    await body.conclude(words);
    record.outcome('cut', status, why.reasonCode, why.message);
    // A watch has a way of its own to say that it ends, and clients show it; a log that ended like this would look whole.
    if (isStream) out.end(words);
    else await out.breakOff(words);
    return;
  } finally {
    delivery.cut.removeEventListener('abort', stopReading);
  }
  await body.settled();
  out.end(held);
  await delivery.atEnd();
  record.outcome('completed', status);
}

/**
 * What ends a call while its answer waits for room in the store: it is cut, or the agent closes the connection. Few
 * answers ever wait, and a signal that watches for both is dear, so it is made for those alone.
 */
class Over implements CallOver {
  readonly #cut: AbortSignal;
  readonly #response: Response;
  #signal: AbortSignal | undefined;

  constructor(cut: AbortSignal, response: Response) {
    this.#cut = cut;
    this.#response = response;
  }

  get signal(): AbortSignal {
    this.#signal ??= AbortSignal.any([this.#cut, goneSignal(this.#response)]);
    return this.#signal;
  }

  throwIfOver(): void {
    this.#cut.throwIfAborted();
    if (isGone(this.#response)) throw new AgentGone();
  }
}

function errorEvent(why: Refusal): Buffer {
  return Buffer.from(`${JSON.stringify({ type: 'ERROR', object: JSON.parse(refusalStatus(why).body) })}\n`);
}

const recordedAs = {
  mask: 'masked',
  plain: 'plain',
  text: 'masked',
  substitute: 'plain',
  unmasked: 'masked',
} as const satisfies Record<Treatment, BodyNote['recorded']>;

async function* treated(answer: IncomingMessage, treatment: Treatment, delivery: Delivery): AsyncGenerator<Passing> {
  const { maskClient, subject } = delivery;
  switch (treatment) {
    case 'substitute': {
      answer.resume();
      const status = Buffer.from(statusInsteadOf(answer.statusCode ?? 502));
      yield { masked: status, raw: raw(status) };
      return;
    }
    case 'mask':
      return yield* maskedJson(arriving(answer), isWatch(delivery, answer) ? 'watch' : 'document', maskClient, subject);
    case 'text':
      return yield* maskedTextOf(arriving(answer), maskClient, subject);
    case 'unmasked':
      if (delivery.isRecordFull) return yield* maskedTextOf(arriving(answer), maskClient, subject);
      for await (const chunk of arriving(answer)) yield { masked: Buffer.alloc(0), raw: raw(chunk) };
      return;
    case 'plain':
      for await (const chunk of arriving(answer)) yield { masked: chunk, raw: raw(chunk) };
  }
}

/** A log that goes on is a stream, and recorded like one. */
function isFollowed({ attributes, target }: CanonicalRequest): boolean {
  const follow = queryValue(target, 'follow');
  return (
    attributes.kind === 'resource' && attributes.subresource === 'log' && follow !== undefined && follow !== 'false'
  );
}

/**
 * The answer's chunks as they arrive. Throws `Refusal` when the cluster breaks off. A stream's own iterator listens for
 * every way in which any stream could end, which costs as much as all else here.
 */
async function* arriving(answer: IncomingMessage): AsyncGenerator<Buffer> {
  let changed = Promise.withResolvers<void>();
  const change = (): void => changed.resolve();
  for (const event of changes) answer.on(event, change);
  try {
    for (;;) {
      const chunk = answer.read() as Buffer | null;
      if (chunk !== null) yield chunk;
      else if (answer.readableEnded) return;
      else if (answer.destroyed)
        throw withheld('the connection to the cluster broke before the whole answer was there');
      else {
        await changed.promise;
        changed = Promise.withResolvers();
      }
    }
  } finally {
    for (const event of changes) answer.off(event, change);
    // Whoever has enough of it leaves the rest with the connection.
    if (!answer.readableEnded) answer.destroy();
  }
}

const changes = ['readable', 'end', 'error', 'close'] as const;

/** A watch that failed is answered with one `Status`, not with events. */
function isWatch({ canonical: { attributes } }: Delivery, answer: IncomingMessage): boolean {
  return attributes.kind === 'resource' && attributes.verb === 'watch' && answer.statusCode === 200;
}

/** Throws `Refusal`. */
async function deliveredHeaders(
  answer: IncomingMessage,
  contentType: string,
  { maskClient, subject }: Delivery,
): Promise<Record<string, string>> {
  const headers: Record<string, string> = contentType === '' ? {} : { 'content-type': contentType };
  for (const name of passedHeaders) {
    const value = answer.headers[name];
    if (value !== undefined) headers[name] = String(value);
  }
  // Warnings quote what they warn of.
  if (headers['warning'] !== undefined) {
    try {
      headers['warning'] = await maskedText(maskClient, subject, headers['warning']);
    } catch (error) {
      if (error instanceof MaskError) throw withheld('the answer cannot be masked now, so it is withheld');
      throw error;
    }
  }
  return headers;
}

function withheld(message: string): Refusal {
  return new Refusal('ResponseWithheld', message);
}

/** The agent's side of an answer. Its head goes out with the first bytes. */
class Outgoing {
  readonly #response: Response;
  readonly #status: number;
  readonly #headers: Readonly<Record<string, string>>;

  constructor(
    response: Response,
    head: { readonly status: number; readonly headers: Readonly<Record<string, string>> },
  ) {
    this.#response = response;
    this.#status = head.status;
    this.#headers = head.headers;
  }

  /** Sends the head before there is a body: an agent that watches wants to know that the watch stands. */
  open(): void {
    this.#response.writeHead(this.#status, this.#headers);
    this.#response.flushHeaders();
  }

  /** Throws `AgentGone`, and what `cut` aborts with: an agent that does not read must not keep a call alive. */
  async send(bytes: Buffer, cut: AbortSignal): Promise<void> {
    const response = this.#response;
    if (isGone(response)) throw new AgentGone();
    if (!response.headersSent) response.writeHead(this.#status, this.#headers);
    if (response.write(bytes)) return;
    const settled = new AbortController();
    const signal = AbortSignal.any([settled.signal, cut]);
    await Promise.race([once(response, 'drain', { signal }), once(response, 'close', { signal })]).finally(() =>
      settled.abort(),
    );
    if (isGone(response)) throw new AgentGone();
  }

  /** The last words of an answer that is not whole. An agent that does not take them gets none. */
  async breakOff(words: Buffer): Promise<void> {
    const response = this.#response;
    const written = new Promise<void>((resolve) => response.write(words, () => resolve()));
    await Promise.race([written, sleep(lastWordsMs, undefined, { ref: false })]);
    breakOff(response);
  }

  /** The last bytes; with the head, when they are the first ones, too. */
  end(bytes: Buffer | undefined): void {
    const response = this.#response;
    if (isGone(response)) throw new AgentGone();
    if (!response.headersSent) {
      const length = bytes === undefined ? {} : { 'content-length': String(bytes.length) };
      response.writeHead(this.#status, { ...this.#headers, ...length });
    }
    response.end(bytes);
  }
}
