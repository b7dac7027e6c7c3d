import type { KeyObject } from 'node:crypto';
import {
  type Agent,
  decodeParts,
  encodeHead,
  type MaskReply,
  type MaskRequest,
  type MaskRule,
  type Obligations,
  type RequestAttributes,
  subjects,
} from '@sluice/model';
import { type Broker, BrokerError } from '@sluice/runtime';
import { openSeal, type Raw, raw, seal, sealNonce } from '@sluice/runtime/raw';

/**
 * Code `unavailable`: no worker answered, or its answer cannot be read. `unreadable`: a value is not JSON. `tooLarge`: its
 * masked form does not fit a message.
 */
export class MaskError extends Error {
  readonly code: 'unavailable' | 'unreadable' | 'tooLarge';
  constructor(code: MaskError['code'], options?: ErrorOptions) {
    super(`masking: ${code}`, options);
    this.code = code;
  }
}

/** Whose values are masked, and by what. */
export interface MaskSubject {
  readonly agent: Agent;
  readonly attributes: RequestAttributes;
  /** Of the decision, beside what always holds; none before there is one. */
  readonly rules: readonly MaskRule[];
}

/** The masked bytes of a piece, and what goes with the next one. */
export interface MaskedPiece {
  /** `null`: nothing is masked in what was held back before and what was given, without what is held back now. */
  readonly bytes: Buffer | null;
  readonly carry: string;
  /** So many of the last bytes given come with a later piece. */
  readonly held: number;
}

/** Has raw bytes masked. Throws `MaskError`. */
export interface MaskClient {
  /** JSON values; the masked ones come back in the same order. */
  values(
    subject: MaskSubject,
    as: { readonly form: 'object' | 'json-patch'; readonly direction: MaskRequest['direction'] },
    values: readonly Raw[],
  ): Promise<Buffer[]>;
  /** The next bytes of a text. `carry`: what the piece before gave, empty for the first. */
  text(subject: MaskSubject, as: TextForm, piece: Raw, carry: string, until: 'more' | 'flush'): Promise<MaskedPiece>;
}

/** What kind of text it is: see `MaskRequest`. */
export type TextForm = Pick<MaskRequest, 'direction' | 'typing' | 'keepLength'>;

const timeoutMs = 1_500;
/** A message of at most this size holds up nothing that goes the same way. Bytes. */
const smallBytes = 16 * 1024;

/** Connections to the broker that masking messages go by. */
export interface MaskWays {
  /** Shared with other small messages, with which they leave in one write. */
  readonly small: Broker;
  /** For whole objects and long texts, which would hold up the others. */
  readonly large: Broker;
}

export function createMaskClient(ways: MaskWays, sealKey: KeyObject): MaskClient {
  const ask = async (
    { agent, attributes, rules }: MaskSubject,
    as: Pick<MaskRequest, 'form' | 'direction' | 'typing' | 'keepLength' | 'carry' | 'flush'>,
    values: readonly Raw[],
  ): Promise<{ readonly head: Extract<MaskReply, { kind: 'masked' }>; readonly parts: Buffer[] }> => {
    const head: MaskRequest = {
      agent: { issuer: agent.issuer, name: agent.name },
      apiGroup: attributes.kind === 'resource' ? attributes.apiGroup : '',
      resource: attributes.kind === 'resource' ? attributes.resource : '',
      subresource: attributes.kind === 'resource' ? attributes.subresource : '',
      ...as,
      rules,
      lengths: values.map((value) => value.length),
    };
    const sealed = seal(sealKey, { kind: 'request' }, [encodeHead(head), ...values]);
    let opened: { head: MaskReply; parts: Buffer[] };
    try {
      const broker = sealed.length <= smallBytes ? ways.small : ways.large;
      const reply = await requestTwice(broker, sealed);
      opened = decodeParts<MaskReply>(openSeal(sealKey, { kind: 'reply', to: sealNonce(sealed) }, reply));
    } catch (cause) {
      throw new MaskError('unavailable', { cause });
    }
    if (opened.head.kind !== 'masked') throw new MaskError(opened.head.kind);
    if (opened.parts.length !== (opened.head.isUnchanged ? 0 : values.length)) throw new MaskError('unavailable');
    return { head: opened.head, parts: opened.parts };
  };
  return {
    async values(subject, as, values) {
      const { head, parts } = await ask(subject, as, values);
      if (head.isUnchanged) throw new MaskError('unavailable');
      return parts;
    },
    async text(subject, form, piece, carry, until) {
      const as = { form: 'text', ...form, carry, flush: until === 'flush' } as const;
      const { head, parts } = await ask(subject, as, [piece]);
      return { bytes: parts[0] ?? null, carry: head.carry ?? '', held: head.held ?? 0 };
    },
  };
}

/** A whole text, masked. Throws `MaskError`. */
export async function maskedText(
  client: MaskClient,
  subject: MaskSubject,
  text: string,
  direction: MaskRequest['direction'] = 'shown',
): Promise<string> {
  const { bytes } = await client.text(subject, { direction }, raw(Buffer.from(text)), '', 'flush');
  return bytes === null ? text : bytes.toString();
}

/** The rules of an obligation. What goes into the record is masked by what always holds, even where it says `none`. */
export function rulesOf({ mask }: Pick<Obligations, 'mask'>): readonly MaskRule[] {
  return mask === undefined || mask === 'none' ? [] : mask;
}

/** Masking is stateless: a worker that died with the message costs one retry at another. */
async function requestTwice(broker: Broker, sealed: Uint8Array): Promise<Uint8Array> {
  try {
    return await broker.request(subjects.mask, sealed, timeoutMs);
  } catch (error) {
    if (!(error instanceof BrokerError) || error.code !== 'timeout') throw error;
    return broker.request(subjects.mask, sealed, timeoutMs);
  }
}
