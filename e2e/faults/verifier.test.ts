// The verifier finds each violation that is planted, and nothing in a record where all is well.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { encodeFrame, type FrameKind, noCall, noHash, noSession } from '@sluice/model';
import type { Arrived } from '@sluice/testing';
import type { Exchange } from './load.ts';
import { type Evidence, type Invariant, type RecordedFrame, verify } from './verifier.ts';

const storedAtMs = 1_795_435_787_932;
const written = call(1);
const read = call(2);
const denied = call(3);
const target = '/api/v1/namespaces/default/configmaps';
const sent = Buffer.from('{"kind":"ConfigMap"}');
const planted = { canary: 'the-canary-of-this-test-is-known-by-each-half', marker: 'the-marker-of-this-test' };
const answer = Buffer.from(`{"kind":"ConfigMap","metadata":{"uid":"${planted.marker}"}}`);
const list = Buffer.alloc(200_000, `list ${planted.marker} `);
const refusal = Buffer.from('{"details":{"causes":[{"reason":"SluiceReasonCode","message":"DeniedByRule"}]}}');

function call(n: number): string {
  return `01a20850-635b-7dcb-abe1-00000000000${n}`;
}

/** Frames of a ledger as its writer chains them. */
class Writer {
  readonly frames: RecordedFrame[] = [];
  readonly #ledger: string;
  #prev: Uint8Array = noHash;

  constructor(ledger: string) {
    this.#ledger = ledger;
  }

  write(kind: Exclude<FrameKind, 'unknown'>, id: string, meta: object, bytes: Uint8Array = new Uint8Array(0)): void {
    const frame = {
      ledger: this.#ledger,
      seq: this.frames.length + 1,
      call: id,
      session: noSession,
      atMicros: storedAtMs * 1000,
      kind,
      offset: 0,
      meta: JSON.stringify(meta),
      prev: this.#prev,
      bytes,
    } as const;
    const { message, hash } = encodeFrame(frame);
    this.frames.push({ frame: { ...frame, hash }, message, storedAtMicros: storedAtMs * 1000 });
    this.#prev = hash;
  }
}

function callMeta(tag: string, method: string, effect: 'allow' | 'deny'): object {
  const attributes = { kind: 'resource', resource: 'configmaps' };
  const body = method === 'POST' ? { recorded: 'masked' } : null;
  return { userAgent: tag, method, target, attributes, body, decision: { effect } };
}

function endMeta(outcome: string, body: Buffer): object {
  return { outcome, body: { bytes: body.length }, sha256: createHash('sha256').update(body).digest('hex') };
}

function exchange(tag: string, method: string, more: Partial<Exchange>): Exchange {
  const byDefault = { sent: Buffer.alloc(0), isLive: false, status: 200, received: answer, ended: 'whole', tookMs: 1 };
  return { ...byDefault, tag, method, target, ...more } as Exchange;
}

function request(auditId: string, tag: string, method: string, body: Buffer): Arrived {
  const headers = { 'user-agent': tag };
  return { kind: 'request', connection: 1, atMs: storedAtMs + 1, auditId, method, target, headers, body };
}

/** Evidence that can be tampered with. */
type Evil = { -readonly [K in Exclude<keyof Evidence, 'planted'>]: Evidence[K][number][] } & Pick<Evidence, 'planted'>;

/** A change, a read of which a part is recorded, and a refusal, as all sides saw them. */
function allIsWell(): Evil {
  const writer = new Writer('ledger');
  writer.write('call', written, callMeta('w', 'POST', 'allow'), sent);
  writer.write('call', denied, callMeta('d', 'DELETE', 'deny'));
  writer.write('response', written, {}, answer);
  writer.write('outcome', written, endMeta('completed', answer));
  writer.write('outcome', denied, { outcome: 'refused', body: null, sha256: '' });
  writer.write('call', read, callMeta('r', 'GET', 'allow'));
  writer.write('response', read, {}, list.subarray(0, 64 * 1024));
  writer.write('outcome', read, endMeta('completed', list));
  return {
    arrived: [request(written, 'w', 'POST', sent), request(read, 'r', 'GET', Buffer.alloc(0))],
    exchanges: [
      exchange('w', 'POST', { sent, status: 201 }),
      exchange('r', 'GET', { received: list }),
      exchange('d', 'DELETE', { status: 403, received: refusal }),
    ],
    frames: writer.frames,
    quarantine: [],
    files: [{ name: 'broker/1.blk', bytes: answer }],
    planted,
  };
}

function found(evidence: Evidence): string[] {
  return verify(evidence).map(({ invariant, place }) => `${invariant} ${place}`);
}

test('nothing is found where all is well', () => {
  assert.deepEqual(found(allIsWell()), []);
});

type Plant = (evidence: Evil) => void;

/** Position of a frame in the record above. */
const at = { call: 0, refusal: 1, response: 2, outcome: 3, refused: 4, list: 6 } as const;

function without(position: number): Plant {
  return ({ frames }) => void frames.splice(position, 1);
}

/** Another exchange in place of one. */
function seen(position: number, more: Partial<Exchange>): Plant {
  return ({ exchanges }) => void exchanges.splice(position, 1, { ...(exchanges[position] as Exchange), ...more });
}

/** A frame at the end of the ledger. */
function appended(kind: 'outcome' | 'response', id: string, meta: object, bytes = new Uint8Array(0)): Plant {
  return ({ frames }) => {
    const last = frames.at(-1)?.frame;
    if (last === undefined) return;
    const frame = { ...last, seq: last.seq + 1, prev: last.hash, kind, call: id, meta: JSON.stringify(meta) } as const;
    const { message, hash } = encodeFrame({ ...frame, bytes });
    frames.push({ frame: { ...frame, bytes, hash }, message, storedAtMicros: storedAtMs * 1000 });
  };
}

const plants: readonly (readonly [what: string, expected: readonly (readonly [Invariant, string])[], Plant])[] = [
  [
    'a call frame that is missing',
    [
      ['I1', `call ${written}`],
      ['I2', `call ${written}`],
      ['I3', 'frame ledger#1'],
      ['I5', `call ${written}`],
    ],
    without(at.call),
  ],
  [
    'a request that came before its record was on disk',
    [['I1', `call ${written}`]],
    ({ arrived }) => void arrived.splice(0, 1, { ...(arrived[0] as Arrived), atMs: storedAtMs - 1 }),
  ],
  [
    'a change that the cluster got twice',
    [['I1', `call ${written}`]],
    ({ arrived }) => void arrived.push(arrived[0] as Arrived),
  ],
  [
    'a target that is recorded as another one',
    [['I1', `call ${read}`]],
    ({ arrived }) => void arrived.splice(1, 1, { ...(arrived[1] as Arrived), target: '/api/v1/secrets' }),
  ],
  [
    'a request body that changed on its way',
    [
      ['I2', `call ${written}`],
      ['I2', `call ${written}`],
    ],
    ({ arrived }) => void arrived.splice(0, 1, { ...(arrived[0] as Arrived), body: Buffer.from('{}') }),
  ],
  [
    'a byte of an answer that is recorded as another one',
    [['I2', `call ${written}`]],
    ({ frames }) => {
      const { frame, ...row } = frames[at.response] as RecordedFrame;
      frames[at.response] = { ...row, frame: { ...frame, bytes: Buffer.from(frame.bytes).fill('x', 3, 4) } };
    },
  ],
  [
    'a whole answer that is shorter than its record',
    [['I2', `call ${read}`]],
    seen(1, { received: list.subarray(0, -1) }),
  ],
  [
    'a byte of a long answer behind the part that is recorded',
    [['I2', `call ${read}`]],
    seen(1, { received: Buffer.from(list).fill('x', 100_000, 100_001) }),
  ],
  [
    'an answer that was delivered and not recorded',
    [
      ['I2', `call ${written}`],
      ['I3', 'frame ledger#3'],
    ],
    without(at.response),
  ],
  [
    'an answer that nobody gave',
    [['I2', 'call ']],
    ({ exchanges }) => void exchanges.push(exchange('made up', 'GET', {})),
  ],
  [
    'a frame that is there twice',
    [['I3', 'frame ledger#7']],
    ({ frames }) => void frames.push(frames[at.list] as RecordedFrame),
  ],
  [
    'a byte of a frame that was changed',
    [['I3', 'frame ledger#7']],
    ({ frames }) => {
      const row = frames[at.list] as RecordedFrame;
      frames[at.list] = { ...row, message: Buffer.from(row.message).fill('x', row.message.byteLength - 1) };
    },
  ],
  [
    'a frame in place of another one',
    [['I3', 'frame ledger#8']],
    ({ frames }) => {
      const { frame } = frames[at.list] as RecordedFrame;
      const forged = { ...frame, kind: 'response', atMicros: frame.atMicros + 1 } as const;
      const { message, hash } = encodeFrame(forged);
      frames[at.list] = { frame: { ...forged, hash }, message, storedAtMicros: storedAtMs * 1000 };
    },
  ],
  [
    'a message in quarantine',
    [['I3', `quarantine ${createHash('sha256').update('poison').digest('hex')}`]],
    ({ quarantine }) => void quarantine.push({ reason: 'no frame', message: Buffer.from('poison') }),
  ],
  [
    'a refused call that the cluster saw',
    [
      ['I1', `call ${denied}`],
      ['I4', `call ${denied}`],
      ['I4', `call ${denied}`],
    ],
    ({ arrived }) => void arrived.push(request(denied, 'd', 'DELETE', Buffer.alloc(0))),
  ],
  [
    'a call without an end',
    [
      ['I3', 'frame ledger#5'],
      ['I5', `call ${denied}`],
    ],
    without(at.refused),
  ],
  ['a call with two ends', [['I5', `call ${denied}`]], appended('outcome', denied, { outcome: 'aborted' })],
  ['an agent that nobody answers', [['I5', 'exchange r']], seen(1, { status: 0, ended: 'forgotten' })],
  [
    'a secret in an answer',
    [
      ['I2', `call ${read}`],
      ['I6', 'exchange r'],
    ],
    seen(1, { received: Buffer.from(list).fill(planted.canary, 100_000, 100_045) }),
  ],
  [
    'a secret in base64 in what is left of an answer that broke off',
    [['I6', 'exchange r']],
    seen(1, { status: 0, ended: 'broken', received: Buffer.from(btoa(`x${planted.canary}x`)) }),
  ],
  [
    'a secret in the head of a frame',
    [
      ['I5', `call ${call(9)}`],
      ['I6', 'frame ledger#9'],
    ],
    appended('outcome', call(9), { outcome: 'aborted', says: planted.canary }),
  ],
  [
    'a secret that frames cut into small pieces',
    [['I6', `call ${denied}`]],
    (evidence) => {
      for (const piece of [planted.canary.slice(0, 9), planted.canary.slice(9, 33), planted.canary.slice(33)]) {
        appended('response', denied, {}, Buffer.from(piece))(evidence);
      }
    },
  ],
  [
    'half a secret in an answer that broke off',
    [['I6', 'exchange r']],
    seen(1, { status: 0, ended: 'broken', received: Buffer.from(planted.canary.slice(20)) }),
  ],
  [
    'a secret in a message in quarantine',
    [
      ['I3', `quarantine ${createHash('sha256').update(planted.canary).digest('hex')}`],
      ['I6', `quarantine ${createHash('sha256').update(planted.canary).digest('hex')}`],
    ],
    ({ quarantine }) => void quarantine.push({ reason: 'no frame', message: Buffer.from(planted.canary) }),
  ],
  [
    'a secret in a log',
    [['I6', 'file log/ingress.log']],
    ({ files }) => void files.push({ name: 'log/ingress.log', bytes: Buffer.from(`error: ${planted.canary}`) }),
  ],
  ['a search that sees no files', [['I6', 'all files']], ({ files }) => void files.splice(0)],
  [
    'a search that sees no answers',
    [['I6', 'all answers']],
    ({ exchanges, arrived }) => void [exchanges.splice(0), arrived.splice(0)],
  ],
  ['an end of no call', [['I5', `call ${call(9)}`]], appended('outcome', call(9), { outcome: 'aborted' })],
];

for (const [what, expected, plant] of plants) {
  test(`${what} is found`, () => {
    const evidence = allIsWell();
    plant(evidence);
    assert.deepEqual(
      found(evidence),
      expected.map(([invariant, place]) => `${invariant} ${place}`),
    );
  });
}

test('positions that the recorder has named as missing are no fault, and break no chain', () => {
  const evidence = allIsWell();
  evidence.frames.splice(at.list, 1);
  const recorder = new Writer('recorder');
  const head = { ledger: 'ledger', seq: 6, hash: '' };
  recorder.write('ledger-closed', noCall, { head, cause: 'lease-ended', missing: [[7, 7]], presumed: 0 });
  evidence.frames.push(...recorder.frames);
  evidence.exchanges.splice(1, 1);
  assert.deepEqual(found(evidence), []);
});

test('a presumed end is one where there is no other, and none beside a real one', () => {
  const evidence = allIsWell();
  evidence.frames.splice(at.refused, evidence.frames.length);
  evidence.exchanges.splice(1, 1);
  evidence.arrived.splice(1, 1);
  const recorder = new Writer('recorder');
  for (const id of [written, denied]) recorder.write('outcome', id, { outcome: 'presumed-unknown' });
  evidence.frames.push(...recorder.frames);
  assert.deepEqual(found(evidence), []);
});

test('of an answer that broke off, an agent may have what was on its way to the record, and no more', () => {
  const ingress = new Writer('ingress');
  ingress.write('call', written, callMeta('w', 'POST', 'allow'), sent);
  const recorder = new Writer('recorder');
  recorder.write('outcome', written, { outcome: 'presumed-unknown' });
  const broken = (length: number): string[] =>
    found({
      arrived: [request(written, 'w', 'POST', sent)],
      exchanges: [exchange('w', 'POST', { sent, received: Buffer.alloc(length), ended: 'broken' })],
      frames: [...ingress.frames, ...recorder.frames],
      quarantine: [],
      files: [],
      planted,
    }).filter((one) => !one.startsWith('I6'));
  assert.deepEqual(broken(512 * 1024), []);
  assert.deepEqual(broken(512 * 1024 + 1), [`I2 call ${written}`]);
});
