// What ledgers say in frames of no call, and streams of their channels. A text that is not of its kind's shape says nothing: `null`.
import { channels, type FrameMeta, type Head, type SealKey } from '@sluice/model';

export function openedIn(meta: string): FrameMeta['opened'] | null {
  const { writer, instance, previous, key } = fields(meta);
  if (typeof writer !== 'string' || typeof instance !== 'string' || !isKey(key)) return null;
  return previous === null || isHead(previous) ? { writer, instance, previous, key } : null;
}

export function sealIn(meta: string): FrameMeta['seal'] | null {
  const { kid, signature } = fields(meta);
  return typeof kid === 'string' && typeof signature === 'string' ? { kid, signature } : null;
}

export function headsIn(meta: string): readonly Head[] | null {
  const { heads } = fields(meta);
  return Array.isArray(heads) && heads.every(isHead) ? heads : null;
}

/** Runs of positions, first and last of each. */
export type Run = readonly [first: number, last: number];

export function closingIn(meta: string): { readonly head: Head; readonly missing: readonly Run[] } | null {
  const { head, missing } = fields(meta);
  return isHead(head) && Array.isArray(missing) && missing.every(isRun) ? { head, missing } : null;
}

/** The channel of a frame; `null` for a port-forward, of whose bytes only a part may be recorded. */
export function channelIn(meta: string): string | null {
  const { channel } = fields(meta);
  return isChannel(channel) ? channel : null;
}

/** A channel as an outcome sums it up. */
export interface StatedChannel {
  readonly channel: string;
  readonly bytes: number;
  /** Hex. */
  readonly sha256: string;
}

/** What an outcome says of a stream's channels, a port-forward left aside; `null` where it is no stream's. */
export function endIn(meta: string): readonly StatedChannel[] | null {
  const { stream } = fields(meta);
  const { channels: stated } = object(stream);
  if (!Array.isArray(stated)) return null;
  return stated
    .map(object)
    .flatMap(({ channel, bytes, sha256 }) =>
      isChannel(channel) ? [{ channel, bytes: Number(bytes), sha256: String(sha256) }] : [],
    );
}

function isChannel(value: unknown): value is string {
  return (channels as readonly unknown[]).includes(value);
}

export function isHead(value: unknown): value is Head {
  const { ledger, seq, hash } = object(value);
  return typeof ledger === 'string' && isPosition(seq) && typeof hash === 'string';
}

export function isKey(value: unknown): value is SealKey {
  const { kid, writer, publicKey, certificate } = object(value);
  return [kid, writer, publicKey, certificate].every((field) => typeof field === 'string');
}

export function fields(json: string): Readonly<Record<string, unknown>> {
  try {
    return object(JSON.parse(json));
  } catch {
    return {};
  }
}

function isRun(value: unknown): value is Run {
  return Array.isArray(value) && value.length === 2 && value.every(isPosition);
}

/** 0 stands in a closing of a ledger whose first frame was lost. */
function isPosition(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function object(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
