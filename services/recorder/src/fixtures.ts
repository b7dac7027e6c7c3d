// What the recorder's tests put into a record.
import { encodeFrame, type FrameKind, type FrameMeta, noHash } from '@sluice/model';
import type { StoredFrame } from '@sluice/runtime';

export const everyByte: Buffer = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
export const callId = (n: number): string => `01a20850-635b-7dcb-abe1-${String(n).padStart(12, '0')}`;
export const sessionId = (n: number): string => String(n).padStart(32, '0');
/** 2026-11-23T12:09:47.932Z, in microseconds. */
export const epochMicros = 1_795_435_787_932_000;

export const asked = (effect: 'allow' | 'deny', agent = 'demo'): FrameMeta['call'] => ({
  agent: { name: agent, issuer: 'https://issuer', groups: ['agents/a', 'agents/b'] },
  connection: 'c',
  attributes: {
    kind: 'resource',
    verb: 'patch',
    apiGroup: 'apps',
    version: 'v1',
    resource: 'deployments',
    subresource: 'scale',
    namespace: 'n',
    name: 'web',
  },
  method: 'PATCH',
  target: '/x',
  userAgent: 'kubectl',
  digest: '',
  body: null,
  decision: {
    effect,
    policy: 'p',
    rule: 'r',
    reasonCode: effect === 'allow' ? 'AllowedByRule' : 'DeniedByRule',
    reason: effect === 'allow' ? '' : 'Because.',
    authority: 7,
    policyVersion: '0123456789abcdef',
    impersonate: effect === 'allow' ? { user: 'sluice:tier:x', groups: ['sluice:x'] } : null,
  },
});

export const ended = (outcome: FrameMeta['outcome']['outcome'], status: number): FrameMeta['outcome'] => ({
  outcome,
  status,
  reasonCode: outcome === 'refused' ? 'DeniedByRule' : outcome === 'cut' ? 'ResponseWithheld' : '',
  body: status === 0 ? null : { bytes: 17, contentType: 'application/json', recorded: 'masked' },
  sha256: '',
  durationMicros: 1_500,
});

/** A frame whose place is given, as the broker holds it. It is chained to nothing. */
export interface Placed<K extends FrameKind> {
  readonly ledger: string;
  readonly seq: number;
  readonly call: string;
  /** Default: `sessionId(0)`. */
  readonly session?: string;
  readonly kind: Exclude<K, 'unknown'>;
  readonly meta: FrameMeta[K];
  /** Default: of a first frame, so that it is chained to nothing. */
  readonly prev?: Uint8Array;
  /** Default: `everyByte`. */
  readonly bytes?: Uint8Array;
  /** Default: the second that is its `seq`, counted from `epochMicros`. */
  readonly atMicros?: number;
}

let streamSeq = 0;

export function stored<K extends FrameKind>(placed: Placed<K>): StoredFrame {
  const { message } = encodeFrame({
    session: sessionId(0),
    bytes: everyByte,
    atMicros: epochMicros + placed.seq * 1_000_000,
    ...placed,
    offset: 0,
    meta: JSON.stringify(placed.meta),
    prev: placed.prev ?? noHash,
  });
  const stream = placed.kind === 'response' ? 'bytes' : 'calls';
  return { stream, streamSeq: ++streamSeq, storedAtMicros: epochMicros + 123, message };
}
