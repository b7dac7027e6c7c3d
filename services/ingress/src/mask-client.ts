import type { KeyObject } from 'node:crypto';
import {
  type Agent,
  decodeParts,
  encodeHead,
  type MaskReply,
  type MaskRequest,
  type RequestAttributes,
  subjects,
} from '@sluice/model';
import { type Broker, BrokerError } from '@sluice/runtime';
import { openSeal, type Raw, seal, sealNonce } from '@sluice/runtime/raw';

/** Code `unavailable`: no worker answered, or its answer cannot be read. Code `unreadable`: a value is not JSON. */
export class MaskError extends Error {
  readonly code: 'unavailable' | 'unreadable';
  constructor(code: MaskError['code'], options?: ErrorOptions) {
    super(`masking: ${code}`, options);
    this.code = code;
  }
}

/** Has raw JSON values masked. The masked ones come back in the same order. Throws `MaskError`. */
export type MaskClient = (
  agent: Agent,
  attributes: RequestAttributes,
  as: Pick<MaskRequest, 'form' | 'direction'>,
  values: readonly Raw[],
) => Promise<Buffer[]>;

const timeoutMs = 1_500;

export function createMaskClient(broker: Broker, sealKey: KeyObject): MaskClient {
  return async (agent, attributes, as, values) => {
    const head: MaskRequest = {
      agent: { issuer: agent.issuer, name: agent.name },
      apiGroup: attributes.kind === 'resource' ? attributes.apiGroup : '',
      resource: attributes.kind === 'resource' ? attributes.resource : '',
      subresource: attributes.kind === 'resource' ? attributes.subresource : '',
      ...as,
      rules: [],
      lengths: values.map((value) => value.length),
    };
    const sealed = seal(sealKey, { kind: 'request' }, [encodeHead(head), ...values]);
    let opened: { head: MaskReply; parts: Buffer[] };
    try {
      const reply = await requestTwice(broker, sealed);
      opened = decodeParts<MaskReply>(openSeal(sealKey, { kind: 'reply', to: sealNonce(sealed) }, reply));
    } catch (cause) {
      throw new MaskError('unavailable', { cause });
    }
    if (opened.head.kind === 'unreadable') throw new MaskError('unreadable');
    if (opened.parts.length !== values.length) throw new MaskError('unavailable');
    return opened.parts;
  };
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
