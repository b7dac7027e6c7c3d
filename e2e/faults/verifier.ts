// Judges a record by what the cluster and the agents saw: the invariants that hold whatever breaks.
import { createHash } from 'node:crypto';
import { type Frame, type FrameMeta, frameHashHolds, noCall, noHash, reasons } from '@sluice/model';
import { type Arrived, formsOf } from '@sluice/testing';
import type { Exchange } from './load.ts';

/**
 * I1: what the cluster saw was recorded, and allowed, before it came there. I2: what agent and cluster got is what the
 * record says. I3: each ledger is whole and unforged. I4: of what was refused the cluster saw nothing. I5: each call
 * has one end, for the agent too. I6: what is secret is masked, wherever anybody could look. I7: nothing leaks.
 */
export const invariants = ['I1', 'I2', 'I3', 'I4', 'I5', 'I6', 'I7'] as const;
export type Invariant = (typeof invariants)[number];

export interface Violation {
  readonly invariant: Invariant;
  /** `call ID`, `exchange TAG`, `frame LEDGER#SEQ`, `quarantine SHA-256`, `process NAME`, `file NAME` or `all PLACES`. */
  readonly place: string;
  /** Of the exchange it is about, where one is known. */
  readonly tag: string;
  readonly what: string;
}

/** One row of the record. */
export interface RecordedFrame {
  readonly frame: Frame;
  /** Header and body, as they were published. */
  readonly message: Uint8Array;
  readonly storedAtMicros: number;
}

/** What all sides have to say about some calls. */
export interface Evidence {
  /** By the cluster: every request with an `Audit-ID`, in the order they came. */
  readonly arrived: readonly Arrived[];
  /** By the agents. */
  readonly exchanges: readonly Exchange[];
  /** By the record. */
  readonly frames: readonly RecordedFrame[];
  readonly quarantine: readonly { readonly reason: string; readonly message: Uint8Array }[];
  /** By the disk: what broker and parts left there while frames were on their way. */
  readonly files: readonly { readonly name: string; readonly bytes: Uint8Array }[];
  /** A secret that agents read and wrote, and what stood beside it. */
  readonly planted: { readonly canary: string; readonly marker: string };
}

/** All that the record has of one call. */
interface Recorded {
  readonly id: string;
  tag: string;
  call: { readonly meta: FrameMeta['call']; readonly frame: Frame; readonly storedAtMicros: number } | undefined;
  /** The second decision, of a call that a reviewer let through. */
  second: { readonly meta: FrameMeta['decision']; readonly storedAtMicros: number } | undefined;
  readonly responses: Frame[];
  readonly outcomes: FrameMeta['outcome'][];
}

/** Every violation, in the order of the invariants. */
export function verify(evidence: Evidence): Violation[] {
  const calls = callsOf(evidence.frames);
  const byTag = new Map([...calls.values()].map((call) => [call.tag, call]));
  const found = [
    ...recordedFirst(evidence, calls),
    ...exchangesAgree(evidence, byTag),
    ...ledgersHold(evidence),
    ...refusalsHold(evidence, calls),
    ...endsOnce(evidence, calls),
    ...nothingUnmasked(evidence, calls),
  ];
  return found.toSorted((a, b) => invariants.indexOf(a.invariant) - invariants.indexOf(b.invariant));
}

function callsOf(frames: readonly RecordedFrame[]): Map<string, Recorded> {
  const calls = new Map<string, Recorded>();
  const of = (id: string): Recorded => {
    const known = calls.get(id) ?? {
      id,
      tag: '',
      call: undefined,
      second: undefined,
      responses: [],
      outcomes: [],
    };
    calls.set(id, known);
    return known;
  };
  for (const { frame, storedAtMicros } of frames) {
    if (frame.call === noCall) continue;
    if (frame.kind === 'call') {
      const meta = JSON.parse(frame.meta) as FrameMeta['call'];
      const call = of(frame.call);
      call.call ??= { meta, frame, storedAtMicros };
      call.tag = meta.userAgent;
    } else if (frame.kind === 'decision') {
      of(frame.call).second ??= { meta: JSON.parse(frame.meta) as FrameMeta['decision'], storedAtMicros };
    } else if (frame.kind === 'response') of(frame.call).responses.push(frame);
    else if (frame.kind === 'outcome') of(frame.call).outcomes.push(JSON.parse(frame.meta) as FrameMeta['outcome']);
  }
  return calls;
}

function* recordedFirst({ arrived }: Evidence, calls: ReadonlyMap<string, Recorded>): Generator<Violation> {
  const seen = new Map<string, number>();
  for (const { auditId, method, target, headers, atMs, body } of arrived) {
    const violation = (what: string): Violation => {
      return { invariant: 'I1', place: `call ${auditId}`, tag: headers['user-agent'] ?? '', what };
    };
    const known = calls.get(auditId);
    const recorded = known?.call;
    if (recorded === undefined) {
      yield violation(`the cluster saw ${method} ${target}, which is not in the record`);
      continue;
    }
    const { meta, frame } = recorded;
    const isLook = isLookOf(meta, method, target);
    const { storedAtMicros } = isLook ? recorded : (known?.second ?? recorded);
    if (Math.floor(storedAtMicros / 1000) > atMs) {
      yield violation(`the cluster saw it ${storedAtMicros / 1000 - atMs} ms before it was on disk`);
    }
    if (isLook) continue;
    const { effect } = (known?.second?.meta ?? meta).decision;
    if (effect !== 'allow') yield violation(`the cluster saw a call that is ${effect}`);
    if (meta.method !== method || meta.target !== target) {
      yield violation(`recorded is ${meta.method} ${meta.target}, the cluster saw ${method} ${target}`);
    }
    // What was held goes on with preconditions in its body.
    if (!meta.held && meta.body?.recorded === 'masked' && isPlain(meta) && !body.equals(frame.bytes)) {
      yield { ...violation('the recorded request is not what the cluster got'), invariant: 'I2' };
    }
    const times = (seen.get(auditId) ?? 0) + 1;
    seen.set(auditId, times);
    // A read may be sent again over a new connection, once.
    if (times > (method === 'GET' ? 2 : 1)) yield violation(`the cluster saw it ${times} times`);
  }
}

/** Whether a request is Sluice's own look at the object, before a reviewer is asked about a call, or at the pod of a log. */
function isLookOf({ held, target: asked }: FrameMeta['call'], method: string, target: string): boolean {
  if (method !== 'GET') return false;
  const [, pod] = /^(.*\/pods\/[^/?]+)\/log(?:\?|$)/.exec(asked) ?? [];
  return (held !== undefined && held.look === target) || pod === target;
}

/** Whether masking changes nothing of such an object: the load's own ConfigMaps. */
function isPlain({ attributes }: FrameMeta['call']): boolean {
  return attributes.kind === 'resource' && attributes.resource === 'configmaps';
}

/** Of reads, at least so much of an answer is recorded. */
const recordedOfReads = 64 * 1024;
/** What an agent may have before its record is on disk: the window of 256 KiB, and the piece that went over it. */
const windowBytes = 512 * 1024;

function* exchangesAgree(evidence: Evidence, byTag: ReadonlyMap<string, Recorded>): Generator<Violation> {
  const arrived = new Map(evidence.arrived.map((request) => [request.headers['user-agent'], request]));
  for (const exchange of evidence.exchanges) {
    const { tag, status, received, ended, method } = exchange;
    if (status === 0 || reasonIn(exchange) !== '') continue;
    const call = byTag.get(tag);
    const request = arrived.get(tag);
    const place = `call ${call?.id ?? request?.auditId ?? ''}`;
    const violation = (what: string): Violation => {
      return { invariant: 'I2', place, tag, what: `${method} ${exchange.target}: ${what}` };
    };
    if (request === undefined || call?.call === undefined) {
      yield violation(`the agent got ${status}, made up: the ${request ? 'record' : 'cluster'} knows nothing of it`);
      continue;
    }
    if (!call.call.meta.held && !exchange.sent.equals(request.body))
      yield violation('the cluster got another body than the agent sent');
    let recorded = 0;
    for (const { offset, bytes } of call.responses) {
      const got = received.subarray(offset, offset + bytes.byteLength);
      recorded += got.length;
      if (!got.equals(bytes.subarray(0, got.length))) yield violation('the agent got other bytes than the record has');
    }
    const end = realEnd(call);
    const isRead = method === 'GET';
    const due = isRead ? Math.min(received.length, recordedOfReads) : received.length;
    const ahead = exchange.isLive || ended !== 'whole' ? windowBytes : 0;
    if (recorded < due - ahead) {
      yield violation(`the agent got ${received.length} bytes, the record has ${recorded} of them`);
    }
    if (ended !== 'whole' || end === undefined) continue;
    if (end.body?.bytes !== received.length || end.sha256 !== sha256(received)) {
      yield violation(`a whole answer of ${received.length} bytes is recorded as one of ${end.body?.bytes}`);
    }
  }
}

/** The frames that the record itself names as lost with their writer: `frame LEDGER#SEQ`. */
export function namedMissing(frames: readonly RecordedFrame[]): Set<string> {
  const missing = new Set<string>();
  for (const { frame } of frames) {
    if (frame.kind !== 'ledger-closed') continue;
    const closed = JSON.parse(frame.meta) as FrameMeta['ledger-closed'];
    for (const [first, last] of closed.missing) {
      for (let seq = first; seq <= last; seq++) missing.add(`frame ${closed.head.ledger}#${seq}`);
    }
  }
  return missing;
}

/** Every ledger: each position once, the chain from the first frame on. Nothing else came than frames. */
function* ledgersHold({ frames, quarantine }: Evidence): Generator<Violation> {
  const ledgers = Map.groupBy(frames, ({ frame }) => frame.ledger);
  const missing = namedMissing(frames);
  for (const [ledger, rows] of ledgers) {
    const ordered = rows.toSorted((a, b) => a.frame.seq - b.frame.seq);
    let seq = 0;
    let prev: Uint8Array | undefined = noHash;
    for (const { frame, message } of ordered) {
      const place = `frame ${ledger}#${frame.seq}`;
      const violation = (what: string): Violation => ({ invariant: 'I3', place, tag: '', what });
      if (frame.seq === seq) {
        yield violation('the position is there twice');
        continue;
      }
      for (seq++; seq < frame.seq; seq++) {
        if (!missing.has(`frame ${ledger}#${seq}`)) {
          yield { ...violation('a frame is missing, and nothing says so'), place: `frame ${ledger}#${seq}` };
        }
        prev = undefined;
      }
      if (!frameHashHolds(message)) yield violation('the hash is not that of the frame');
      if (prev !== undefined && Buffer.compare(prev, frame.prev) !== 0) yield violation('the chain is broken');
      prev = frame.hash;
    }
  }
  for (const { reason, message } of quarantine) {
    yield { invariant: 'I3', place: `quarantine ${sha256(message)}`, tag: '', what: `in quarantine: ${reason}` };
  }
}

function* refusalsHold({ arrived, exchanges }: Evidence, calls: ReadonlyMap<string, Recorded>): Generator<Violation> {
  const seen = new Map(arrived.map(({ auditId, headers }) => [headers['user-agent'] ?? '', auditId]));
  for (const exchange of exchanges) {
    const reason = reasonIn(exchange);
    const id = seen.get(exchange.tag);
    if (reason === '' || id === undefined || isAfterwards(reason)) continue;
    const what = `the agent was refused with ${reason}, and the cluster saw the call`;
    yield { invariant: 'I4', place: `call ${id}`, tag: exchange.tag, what };
  }
  const ids = new Set(
    arrived.flatMap(({ auditId, method, target }) => {
      const meta = calls.get(auditId)?.call?.meta;
      return meta !== undefined && isLookOf(meta, method, target) ? [] : [auditId];
    }),
  );
  for (const { id, tag, call, second, outcomes } of calls.values()) {
    if (call === undefined || !ids.has(id)) continue;
    const { effect } = (second?.meta ?? call.meta).decision;
    const isRefused = effect !== 'allow' || outcomes.some(({ outcome }) => outcome === 'refused');
    if (isRefused)
      yield { invariant: 'I4', place: `call ${id}`, tag, what: 'refused by the record, seen by the cluster' };
  }
}

/** Codes of refusals that say that the cluster may have seen the call. */
function isAfterwards(reason: string): boolean {
  return reasons[reason as keyof typeof reasons]?.http === 502;
}

function* endsOnce({ exchanges }: Evidence, calls: ReadonlyMap<string, Recorded>): Generator<Violation> {
  for (const { tag, method, target, ended } of exchanges) {
    if (ended !== 'forgotten') continue;
    yield { invariant: 'I5', place: `exchange ${tag}`, tag, what: `${method} ${target}: nobody answered the agent` };
  }
  for (const { id, tag, call, outcomes, responses } of calls.values()) {
    const violation = (what: string): Violation => ({ invariant: 'I5', place: `call ${id}`, tag, what });
    if (call === undefined) {
      const ends = outcomes.map(({ outcome, reasonCode }) => `${outcome} ${reasonCode}`).join();
      yield violation(`there are frames of a call, and no call: ${responses.length} responses, ends: ${ends}`);
      continue;
    }
    const real = outcomes.filter(({ outcome }) => outcome !== 'presumed-unknown').map(({ outcome }) => outcome);
    const presumed = outcomes.length - real.length;
    if (outcomes.length === 0) yield violation('the call has no end');
    if (real.length > 1) yield violation(`the call has several ends: ${real.join(', ')}`);
    if (presumed > 1) yield violation(`the call was presumed to have ended ${presumed} times`);
  }
}

/** Of the secret not even a half is found anywhere, and the marker in each kind of place, or the search would be blind there. */
function* nothingUnmasked(
  { exchanges, frames, quarantine, files, planted }: Evidence,
  calls: ReadonlyMap<string, Recorded>,
): Generator<Violation> {
  const places = {
    answers: exchanges.map(({ tag, received }) => ({ place: `exchange ${tag}`, tag, bytes: received })),
    record: [
      ...frames.map(({ frame, message }) => ({ place: `frame ${frame.ledger}#${frame.seq}`, tag: '', bytes: message })),
      // A secret may be cut in two by frames.
      ...[...calls.values()].map(({ id, tag, responses }) => ({ place: `call ${id}`, tag, bytes: joined(responses) })),
      ...quarantine.map(({ message }) => ({ place: `quarantine ${sha256(message)}`, tag: '', bytes: message })),
    ],
    files: files.map(({ name, bytes }) => ({ place: `file ${name}`, tag: '', bytes })),
  };
  const middle = planted.canary.length >> 1;
  const secret = [planted.canary.slice(0, middle), planted.canary.slice(middle)].flatMap(formsOf);
  const marker = formsOf(planted.marker);
  const holds = (bytes: Uint8Array, forms: readonly string[]): boolean =>
    forms.some((form) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).includes(form));
  for (const [kind, found] of Object.entries(places)) {
    for (const { place, tag, bytes } of found) {
      if (holds(bytes, secret))
        yield { invariant: 'I6', place, tag, what: 'a secret, or half of it, stands there unmasked' };
    }
    if (found.some(({ bytes }) => holds(bytes, marker))) continue;
    yield { invariant: 'I6', place: `all ${kind}`, tag: '', what: 'even the marker is not found there' };
  }
}

function joined(responses: readonly Frame[]): Buffer {
  return Buffer.concat(responses.toSorted((a, b) => a.offset - b.offset).map(({ bytes }) => bytes));
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function realEnd({ outcomes }: Recorded): FrameMeta['outcome'] | undefined {
  return outcomes.find(({ outcome }) => outcome !== 'presumed-unknown');
}

/** The reason code of Sluice's own refusals; empty for an answer of the cluster. */
export function reasonIn({ status, received }: Pick<Exchange, 'status' | 'received'>): string {
  if (status < 400) return '';
  return /"reason":"SluiceReasonCode","message":"(\w+)"/.exec(received.toString())?.[1] ?? '';
}
