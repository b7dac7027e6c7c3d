import type { Agent } from './agent.ts';

/** What goes with raw JSON values to `sluice.mask`. Everything is sealed. */
export interface MaskRequest {
  readonly agent: Pick<Agent, 'issuer' | 'name'>;
  /** Of the call: decides together with the kinds found in the values. Empty for the core group. */
  readonly apiGroup: string;
  readonly resource: string;
  /** `json-patch`: the values are RFC 6902 documents, which name fields by path. */
  readonly form: 'object' | 'json-patch';
  /** Lengths of the values that follow, bytes. */
  readonly lengths: readonly number[];
}

/**
 * What comes back: the same values, masked, in the same order. `unreadable`: one of them is not JSON; nothing
 * comes back.
 */
export type MaskReply =
  | { readonly kind: 'masked'; readonly lengths: readonly number[]; readonly masks: number }
  | { readonly kind: 'unreadable' };

/** A message, taken apart. */
export interface Message<Head> {
  readonly head: Head;
  readonly parts: Buffer[];
}

/** The largest value that fits one message with its envelope, bytes. */
export const maxValueBytes = 4 * 1024 * 1024 - 64 * 1024;

/** Head of a message of several parts: length of the JSON (4 bytes, big-endian) ‖ JSON. The parts follow it. */
export function encodeHead(head: MaskRequest | MaskReply): Buffer {
  const json = Buffer.from(JSON.stringify(head));
  const encoded = Buffer.allocUnsafe(4 + json.length);
  encoded.writeUInt32BE(json.length);
  json.copy(encoded, 4);
  return encoded;
}

/**
 * Splits a message into its head and its parts, which are views. Its seal says that the other side of the
 * conversation made it; the caller says which side that is. Throws when the lengths disagree.
 */
export function decodeParts<Head extends MaskRequest | MaskReply>(message: Buffer): Message<Head> {
  const start = 4 + message.readUInt32BE(0);
  const head = JSON.parse(message.toString('utf8', 4, start)) as Head;
  let at = start;
  const parts = ('lengths' in head ? head.lengths : []).map((length) => message.subarray(at, (at += length)));
  if (at !== message.length) throw new RangeError('the lengths of the parts disagree with the message');
  return { head, parts };
}
