import { randomBytes } from 'node:crypto';
import { createInbox, type Msg } from '@nats-io/transport-node';
import {
  encodeFrame,
  FrameError,
  type FrameKind,
  type FrameMeta,
  maxPayloadBytes,
  noHash,
  partitionOf,
  type StreamKey,
  streams,
} from '@sluice/model';
import type { Broker } from './broker.ts';
import type { Logger } from './log.ts';

/** A frame to be written; the ledger gives it its place. */
export interface Entry<K extends Exclude<FrameKind, 'unknown'>> {
  readonly kind: K;
  readonly call: string;
  readonly session: string;
  readonly meta: FrameMeta[K];
  /** Masked bytes. Copied before `append` returns. */
  readonly bytes: Uint8Array;
  /** Default 0. */
  readonly offset?: number;
}

/** The ordered frames of one writer, from its start to its end. */
export interface Ledger {
  readonly name: string;
  /**
   * Gives the frame its `seq`, publishes it, and resolves when the broker has it on disk. It never
   * rejects: a frame that is not acknowledged is published again until it is. Callers who cannot wait
   * for ever race it against a deadline; the frame stays due all the same. Throws `FrameError` for a frame that
   * exceeds the broker's `max_payload`.
   */
  append<K extends Exclude<FrameKind, 'unknown'>>(stream: StreamKey, entry: Entry<K>): Promise<void>;
  /** Whether the broker keeps up. While it does not, no new call may be taken. */
  healthy(): boolean;
  /** Waits until everything appended is acknowledged, at most `timeoutMs`. Returns how many frames were not. */
  drain(timeoutMs: number): Promise<number>;
}

/** The oldest frame may wait this long for its ack before the ledger counts as unhealthy. */
const staleMs = 2_000;
/** A frame without an ack is published again after this long. */
const republishMs = 1_000;
/** Frames kept for republishing. Beyond this the ledger counts as unhealthy; nothing is dropped. */
const maxDueBytes = 64 * 1024 * 1024;

interface Due {
  readonly subject: string;
  readonly message: Uint8Array;
  readonly appendedAtMs: number;
  publishedAtMs: number;
  readonly acknowledged: () => void;
}

/**
 * Opens a new ledger on a connection of its own. Acks come to one private inbox, one token per frame:
 * the JetStream client's own `publish` makes a timer and a subscription entry per message.
 */
export function openLedger(broker: Broker, writer: string, log: Logger): Ledger {
  const name = `${writer}-${new Date().toISOString().replaceAll(/[-:.]/g, '')}-${randomBytes(4).toString('hex')}`;
  const inbox = createInbox();
  const due = new Map<number, Due>();
  let dueBytes = 0;
  let seq = 0;
  let prev: Uint8Array = noHash;
  const partition = partitionOf(name);
  let onEmpty: (() => void) | undefined;

  const publish = (position: number, frame: Due): void => {
    frame.publishedAtMs = performance.now();
    try {
      broker.nats.publish(frame.subject, frame.message, { reply: `${inbox}.${position}` });
    } catch (error) {
      log.warn({ ledger: name, seq: position, err: error }, 'a frame could not be published; it stays due');
    }
  };

  broker.nats.subscribe(`${inbox}.*`, {
    callback: (error, message) => {
      if (error !== null) return;
      const position = Number(message.subject.slice(inbox.length + 1));
      const frame = due.get(position);
      // A second ack, of a frame that was published twice, finds nothing: the recorder keeps one.
      if (frame === undefined) return;
      const refusal = refusalOf(message);
      if (refusal !== null) {
        log.error({ ledger: name, seq: position, refusal }, 'the broker refused a frame; it stays due');
        return;
      }
      due.delete(position);
      dueBytes -= frame.message.byteLength;
      frame.acknowledged();
      if (due.size === 0) onEmpty?.();
    },
  });

  const republish = setInterval(() => {
    if (!broker.connected()) return;
    const before = performance.now() - republishMs;
    for (const [position, frame] of due) {
      if (frame.publishedAtMs < before) publish(position, frame);
    }
  }, republishMs / 2);
  republish.unref();

  return {
    name,
    append(stream, entry) {
      const frame = {
        ledger: name,
        seq: seq + 1,
        call: entry.call,
        session: entry.session,
        atMicros: Date.now() * 1000,
        kind: entry.kind,
        offset: entry.offset ?? 0,
        meta: JSON.stringify(entry.meta),
        prev,
        bytes: entry.bytes,
      };
      const { message, hash } = encodeFrame(frame);
      // The broker would never take it, and the ledger would wait for its ack for ever.
      if (message.byteLength > maxPayloadBytes) throw new FrameError(`a frame has ${message.byteLength} bytes`);
      seq = frame.seq;
      prev = hash;
      return new Promise((resolve) => {
        const now = performance.now();
        const item: Due = {
          subject: `${streams[stream].prefix}.${partition}`,
          message,
          appendedAtMs: now,
          publishedAtMs: now,
          acknowledged: resolve,
        };
        due.set(frame.seq, item);
        dueBytes += message.byteLength;
        publish(frame.seq, item);
      });
    },
    healthy() {
      const oldest = due.values().next();
      if (oldest.done === true) return broker.connected();
      return broker.connected() && dueBytes < maxDueBytes && performance.now() - oldest.value.appendedAtMs < staleMs;
    },
    async drain(timeoutMs) {
      if (due.size > 0) {
        await new Promise<void>((resolve) => {
          onEmpty = resolve;
          setTimeout(resolve, timeoutMs).unref();
        });
      }
      clearInterval(republish);
      return due.size;
    },
  };
}

/** Why the broker did not store a frame, or `null` when it did. An ack is JSON; "no responders" has status 503 and no body. */
function refusalOf(message: Msg): string | null {
  if (message.data.byteLength === 0) return `status ${message.headers?.code ?? 0}`;
  const ack = message.json<{ readonly seq?: number; readonly error?: { readonly description?: string } }>();
  if (ack.error !== undefined) return ack.error.description ?? 'an error without a description';
  return typeof ack.seq === 'number' ? null : 'an ack without a sequence';
}
