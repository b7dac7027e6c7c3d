// What ingress writes of calls, at several sizes. The same frames in every run.
import { noSession } from '@sluice/model';
import type { Ledger } from '@sluice/runtime';

/** Appends the frames of one call; resolves when the broker has them. */
type WriteCall = (ledger: Ledger, n: number) => Promise<unknown>;

/** A mix of frames: how many calls fill the streams for one measurement, how many frames each has, what they are. */
export interface Mix {
  readonly calls: number;
  readonly framesPerCall: number;
  readonly write: WriteCall;
}

/** Text as clusters write it: an object of a list, over and over, no two the same. */
const text = Buffer.from(
  Array.from(
    { length: 4_000 },
    (_, n) =>
      `{"metadata":{"name":"web-${(n * 2_654_435_761) % 0x1_0000_0000}","namespace":"shop","uid":"${idOf(n * 31)}","resourceVersion":"${n * 7_919}"},"status":{"phase":"Running","podIP":"10.${n % 256}.3.${(n * 17) % 256}"}},`,
  ).join(''),
);

/** A call whose frame has about 2 KB, half of it the masked request. */
const smallCall: WriteCall = (ledger, n) => writeCall(ledger, n, bodyOf(n, 1_000));
const largeBody: WriteCall = (ledger, n) => writeResponse(ledger, n, bodyOf(n, 64 * 1024));
const typicalCall: WriteCall = (ledger, n) =>
  Promise.all([
    writeCall(ledger, n, new Uint8Array(0)),
    writeResponse(ledger, n, bodyOf(n, 4 * 1024)),
    writeOutcome(ledger, n),
  ]);

export const mixes: Readonly<Record<string, Mix>> = {
  'call frames, 2 KB': { calls: 20_000, framesPerCall: 1, write: smallCall },
  'bodies, 64 KiB': { calls: 1_200, framesPerCall: 1, write: largeBody },
  'calls with their ends': { calls: 6_000, framesPerCall: 3, write: typicalCall },
};

/** What a recorder sees of ingress in ordinary work. */
export const typicalMix = 'calls with their ends';

function writeCall(ledger: Ledger, n: number, bytes: Uint8Array): Promise<void> {
  return ledger.append('calls', {
    kind: 'call',
    call: idOf(n),
    session: noSession,
    meta: {
      agent: { name: 'deployer', issuer: 'https://issuer.example', groups: ['agents/deployer', 'agents/all'] },
      connection: 'demo',
      attributes: {
        kind: 'resource',
        verb: 'patch',
        apiGroup: 'apps',
        version: 'v1',
        resource: 'deployments',
        subresource: '',
        namespace: 'shop',
        name: `web-${n}`,
      },
      method: 'PATCH',
      target: `/apis/apps/v1/namespaces/shop/deployments/web-${n}?fieldManager=kubectl-client-side-apply`,
      userAgent: 'kubectl/v1.32.3 (linux/amd64) kubernetes/32cc146',
      digest: '9f'.repeat(32),
      body:
        bytes.byteLength === 0
          ? null
          : { bytes: bytes.byteLength, contentType: 'application/json', recorded: 'masked' },
      decision: {
        effect: 'allow',
        policy: 'deployer',
        rule: 'rules[3]',
        reasonCode: 'AllowedByRule',
        reason: '',
        policyVersion: '0123456789abcdef',
        authority: 7,
        impersonate: { user: 'sluice:tier:deployer', groups: ['sluice:deployers'] },
      },
    },
    bytes,
  });
}

function writeResponse(ledger: Ledger, n: number, bytes: Uint8Array): Promise<void> {
  const meta = { status: 200, contentType: 'application/json' };
  return ledger.append('bytes', { kind: 'response', call: idOf(n), session: noSession, meta, bytes });
}

function writeOutcome(ledger: Ledger, n: number): Promise<void> {
  return ledger.append('calls', {
    kind: 'outcome',
    call: idOf(n),
    session: noSession,
    meta: {
      outcome: 'completed',
      status: 200,
      reasonCode: '',
      body: { bytes: 4_096, contentType: 'application/json', recorded: 'masked' },
      sha256: 'c3'.repeat(32),
      durationMicros: 2_317,
    },
    bytes: new Uint8Array(0),
  });
}

function bodyOf(n: number, bytes: number): Uint8Array {
  const at = (n * 4_099) % (text.byteLength - bytes);
  return text.subarray(at, at + bytes);
}

function idOf(n: number): string {
  return `019a4c1e-7d2b-7c3a-9f10-${n.toString(16).padStart(12, '0')}`;
}
