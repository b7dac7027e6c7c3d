// What the recorder's tests put into a record.
import { type ApprovalEvent, type Effect, encodeFrame, type FrameKind, type FrameMeta, noHash } from '@sluice/model';
import type { StoredFrame } from '@sluice/runtime';

export const everyByte: Buffer = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
export const callId = (n: number): string => `01a20850-635b-7dcb-abe1-${String(n).padStart(12, '0')}`;
export const sessionId = (n: number): string => String(n).padStart(32, '0');
/** 2026-11-23T12:09:47.932Z, in microseconds. */
export const epochMicros = 1_795_435_787_932_000;

const decidedCodes = { allow: 'AllowedByRule', ask: 'ApprovalRequired', deny: 'DeniedByRule' } as const;

export const asked = (effect: Effect, agent = 'demo'): FrameMeta['call'] => ({
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
    reasonCode: decidedCodes[effect],
    reason: effect === 'allow' ? '' : 'Because.',
    authority: 7,
    policyVersion: '0123456789abcdef',
    impersonate: effect === 'allow' ? { user: 'sluice:tier:x', groups: ['sluice:x'] } : null,
  },
  ...(effect === 'ask' ? { held: { shape: 'shape', look: null } } : {}),
});

/** A command in the pod `n/web`, which refers to a Secret `db`. */
export const ran = (command: readonly string[], agent = 'demo'): FrameMeta['call'] => {
  const usual = asked('allow', agent);
  return {
    ...usual,
    attributes: {
      kind: 'resource',
      verb: 'create',
      apiGroup: '',
      version: 'v1',
      resource: 'pods',
      subresource: 'exec',
      namespace: 'n',
      name: 'web',
    },
    stream: {
      kind: 'exec',
      command,
      container: 'main',
      stdin: false,
      stdout: true,
      stderr: true,
      tty: true,
      ports: [],
      grade: 'plain',
      pod: { uid: 'u', resourceVersion: '7', secrets: ['db'] },
    },
  };
};

/** The end of a stream. `killed`: with what the agent was told, where it was cut. */
export const streamEnded = (exitCode: number | null, killed = ''): FrameMeta['outcome'] => ({
  ...ended(killed === '' ? 'completed' : 'cut', 101),
  body: null,
  reasonCode: killed === '' ? '' : 'Killed',
  ...(killed === '' ? {} : { message: killed }),
  stream: {
    client: 'SPDY/3.1 v4.channel.k8s.io',
    upstream: 'v5.channel.k8s.io',
    exitCode,
    channels: [
      { channel: 'stdin', bytes: 3, sha256: 'aa' },
      { channel: 'stdout', bytes: 40, sha256: 'bb' },
    ],
  },
});

/** The second decision of a call that was held. */
export const letThrough = (approval: string, reviewers: readonly string[]): FrameMeta['decision'] => ({
  decision: { ...asked('allow').decision, rule: 'asks', reasonCode: 'AllowedByApproval', authority: 8 },
  approval,
  reviewers,
  precondition: { kind: 'known', uid: 'u', resourceVersion: '7' },
});

/** What `asked` asks, as a reviewer is asked it. */
export const requested = (n: number, agent = 'demo'): ApprovalEvent => {
  const { connection, attributes, method, target, ...call } = asked('ask', agent);
  const request: Extract<ApprovalEvent, { kind: 'requested' }>['request'] = {
    call: callId(n),
    session: sessionId(n),
    agent: call.agent,
    connection,
    attributes,
    method,
    target,
    bodyBytes: 0,
    exact: 'exact',
    shape: 'shape',
    mayDiffer: [],
    object: { kind: 'absent' },
    policy: 'p',
    rule: 'asks',
    reason: 'A person looks at it.',
    policyVersion: '0123456789abcdef',
    authority: 7,
    terms: { reviewers: [], quorum: 1, holdMs: 30_000, expiresMs: 600_000 },
  };
  return { id: `requested-${n}`, kind: 'requested', request };
};

export const voted = (vote: 'approve' | 'deny', name: string, reason: string): ApprovalEvent => ({
  id: `voted-${name}`,
  kind: 'voted',
  vote,
  reviewer: { name, groups: ['group:sre'] },
  reason,
  more: 0,
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
  const stream = placed.kind === 'response' || placed.kind === 'channel' ? 'bytes' : 'calls';
  return { stream, streamSeq: ++streamSeq, storedAtMicros: epochMicros + 123, message };
}
