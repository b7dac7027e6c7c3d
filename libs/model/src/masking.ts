import type { Agent } from './agent.ts';
import type { DetectorName } from './detectors.ts';

/** What a policy wants masked, beside what always is. Masks unite: each rule only adds. */
export interface MaskRule {
  /** `resource[.group]` as policies write it, with `*`; never a subresource: those of a resource are masked like it. */
  readonly resources: readonly string[];
  /** As `parseMaskPath` reads them: every value at or under such a place. */
  readonly paths: readonly string[];
  /** Globs over the names of fields, in any case: every value at or under a field of such a name, wherever it stands. */
  readonly keys: readonly string[];
  /** Detectors that look at every string, beside those that always do. */
  readonly detectors: readonly DetectorName[];
  /** RE2 expressions: what they match is masked, in every string and in texts. */
  readonly patterns?: readonly string[];
}

/** A column of a Table (`meta.k8s.io/v1`), for the cells of its rows. */
export interface TableColumn {
  readonly name: string;
  readonly type: string;
}

/** What goes with raw bytes to `sluice.mask`. Everything is sealed. */
export interface MaskRequest {
  readonly agent: Pick<Agent, 'issuer' | 'name'>;
  /** Of the call: decides together with the kinds found in the values. Empty where the call is on no resource. */
  readonly apiGroup: string;
  readonly resource: string;
  readonly subresource: string;
  /**
   * `object`: the values are JSON. `json-patch`: they are RFC 6902 documents, which name fields by path. `text`: one
   * value, the next bytes of a text.
   */
  readonly form: 'object' | 'json-patch' | 'text';
  /**
   * `shown`: the agent is to see the masked values, so what they stand for may come again in its texts. `sent`: it
   * sent them.
   */
  readonly direction: 'shown' | 'sent';
  readonly rules: readonly MaskRule[];
  /** Of the Table whose rows the values are. */
  readonly columns?: readonly TableColumn[];
  /** Of a text: what the answer to its last piece gave, base64. Nothing at its beginning. */
  readonly carry?: string;
  /** Of a text: nothing follows soon, so what might be the beginning of a secret and is not yet one goes out. */
  readonly flush?: boolean;
  /**
   * Of a text that somebody types or reads as it comes: what might begin a secret is held from its fourth byte on, not
   * from its first.
   */
  readonly typing?: boolean;
  /** Of a text in which places count, a tar: each mask is as long as what it stands for. */
  readonly keepLength?: boolean;
  /** Lengths of the values that follow, bytes. */
  readonly lengths: readonly number[];
}

/**
 * What comes back: the same values, masked, in the same order. `unreadable`: one of them is not JSON; `tooLarge`: masked
 * they would not fit a message. Then nothing comes back.
 */
export type MaskReply =
  | {
      readonly kind: 'masked';
      readonly lengths: readonly number[];
      readonly masks: number;
      /** Of a text: goes with its next piece, base64; at most 8 KiB before that. */
      readonly carry?: string;
      /** Of a text: so many of its last bytes are held back in the carry. */
      readonly held?: number;
      /**
       * Of a text: nothing is masked in what goes out, which is what was held back before and what was given, without what
       * is held back now. It does not come back, so there are no `lengths`.
       */
      readonly isUnchanged?: true;
    }
  | { readonly kind: 'unreadable' | 'tooLarge' };

/** How every mask begins, as text. */
export const maskPrefix = 'sluice-mask:v1:';

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

/** What `sluice mask test` asks the masking service's core, offline. */
export interface MaskQuestion {
  /** `objects`: JSON, or YAML with as many documents as it likes. */
  readonly form: 'objects' | 'text';
  readonly text: string;
}

/** A mask that would be put: in which document, where, and why. */
export interface MaskPlace {
  /** From 1. Of a text always 1. */
  readonly document: number;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  /** JSONPath of the value in the document; of a text `line:column`, from 1. */
  readonly path: string;
  readonly why: string;
  /** Length of what is masked. */
  readonly bytes: number;
}

export type MaskExplanation =
  | { readonly kind: 'masked'; readonly masks: readonly MaskPlace[]; readonly shown: string }
  | { readonly kind: 'fault'; readonly message: string };
