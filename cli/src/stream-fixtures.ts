// Frames of a stream, for tests of what shows them.
import type { CallRow, FrameKind, FrameMeta, FrameRow } from '@sluice/model';

export const id = '01a20850-635b-7dcb-abe1-3e7176b59372';
const startMs = Date.parse('2026-11-23T12:10:16.123Z');

/** `ms`: after the call. */
export function frame<K extends FrameKind>(
  kind: K,
  ms: number,
  meta: FrameMeta[K],
  bytes: string | Buffer = '',
): FrameRow {
  const body = Buffer.from(bytes);
  return {
    ledger: 'i-0',
    seq: ms + 1,
    call: id,
    at: new Date(startMs + ms).toISOString(),
    storedAtMicros: 0,
    kind,
    offset: 0,
    meta: JSON.stringify(meta),
    size: body.length,
    bytesBase64: body.toString('base64'),
  };
}

export type StreamMeta = NonNullable<FrameMeta['call']['stream']>;

export const ran: StreamMeta = {
  kind: 'exec',
  command: ['sh', '-c', 'ls; id'],
  container: 'main',
  stdin: true,
  stdout: true,
  stderr: true,
  tty: false,
  ports: [],
  grade: 'opaque',
  pod: { uid: 'u-1', resourceVersion: '7', secrets: ['db', 'tls'] },
};

export const begun = (stream: StreamMeta): FrameRow =>
  frame('call', 0, {
    agent: { name: 'demo', issuer: 'i', groups: [] },
    connection: 'c',
    attributes: {
      kind: 'resource',
      verb: 'create',
      apiGroup: '',
      version: 'v1',
      resource: 'pods',
      subresource: stream.kind,
      namespace: 'shop',
      name: 'web',
    },
    method: 'POST',
    target: '/api/v1/namespaces/shop/pods/web/exec?command=sh',
    userAgent: 'kubectl',
    digest: 'd',
    body: null,
    decision: {
      effect: 'allow',
      policy: 'p',
      rule: 'r',
      reasonCode: 'AllowedByRule',
      reason: '',
      authority: 1,
      policyVersion: 'v',
      impersonate: null,
    },
    stream,
  });

export const channel = (name: 'stdin' | 'stdout' | 'stderr' | 'error' | 'resize', ms: number, bytes: string | Buffer) =>
  frame('channel', ms, { channel: name }, bytes);

export const ended = (ms: number, exitCode: number | null, more: Partial<FrameMeta['outcome']> = {}): FrameRow =>
  frame('outcome', ms, {
    outcome: 'completed',
    status: 101,
    reasonCode: '',
    body: null,
    sha256: '',
    durationMicros: ms * 1_000,
    stream: {
      client: 'v5.channel.k8s.io',
      upstream: 'SPDY/3.1 v4.channel.k8s.io',
      exitCode,
      channels: [{ channel: 'stdout', bytes: 4, sha256: 'ab' }],
    },
    ...more,
  });

export const row: CallRow = {
  id,
  at: '2026-11-23T12:10:16.123Z',
  agent: 'demo',
  task: null,
  session: '00',
  connection: 'c',
  verb: 'create',
  resource: 'pods/exec',
  namespace: 'shop',
  name: 'web',
  command: ran.command,
  effect: 'allow',
  reasonCode: 'AllowedByRule',
  status: 101,
  outcome: 'completed',
  exitCode: 3,
  incomplete: false,
};

export async function* each(frames: readonly FrameRow[]): AsyncGenerator<FrameRow> {
  yield* frames;
}
