// A record made by hand, for tests of what proves one: ledgers with true chains and seals, and the second home's lines.
import { createHash, generateKeyPairSync, type KeyObject } from 'node:crypto';
import {
  certify,
  encodeFrame,
  type FrameKind,
  type FrameMeta,
  frameHeader,
  type Head,
  noCall,
  noHash,
  noSession,
  rawPublicKey,
  type SealKey,
  signHead,
} from '@sluice/model';

/** 2026-11-23T12:09:47.932Z, in microseconds. */
export const epochMicros = 1_795_435_787_932_000;
export const callId = (n: number): string => `01a20850-635b-7dcb-abe1-${String(n).padStart(12, '0')}`;
export const sessionId = (n: number): string => String(n).padStart(32, '0');

type WrittenKind = Exclude<FrameKind, 'unknown'>;

/** A row of the table as it lies there, to be tampered with. */
export interface Row {
  ledger: string;
  seq: number;
  call: string;
  session: string;
  kind: WrittenKind;
  atMicros: number;
  offset: number;
  meta: string;
  header: Buffer;
  bytes: Buffer;
}

/** A service's key, signed by a root. */
export interface Writer {
  readonly key: SealKey;
  readonly privateKey: KeyObject;
}

export function newRoot(): { readonly privateKey: KeyObject; readonly publicKey: string } {
  const { privateKey } = generateKeyPairSync('ed25519');
  return { privateKey, publicKey: rawPublicKey(privateKey) };
}

export function newWriter(rootKey: KeyObject, service: string): Writer {
  const { privateKey } = generateKeyPairSync('ed25519');
  return { privateKey, key: certify(rootKey, service, rawPublicKey(privateKey)) };
}

/** Makes one row of what a frame says. */
export function rowOf(frame: {
  readonly ledger: string;
  readonly seq: number;
  readonly call?: string;
  readonly session?: string;
  readonly kind: WrittenKind;
  readonly atMicros: number;
  readonly offset?: number;
  readonly meta: string;
  readonly prev: Uint8Array;
  readonly bytes?: Uint8Array;
}): { readonly row: Row; readonly hash: Buffer } {
  const whole = { call: noCall, session: noSession, offset: 0, bytes: new Uint8Array(0), ...frame };
  const { message, hash } = encodeFrame(whole);
  const { prev: _, bytes, ...columns } = whole;
  return {
    row: { ...columns, header: Buffer.from(frameHeader(message)), bytes: Buffer.from(bytes) },
    hash: Buffer.from(hash),
  };
}

/** Writes one ledger. Frames are a second apart. */
export class LedgerFixture {
  readonly name: string;
  readonly rows: Row[] = [];
  /** Of the second home. */
  readonly lines: string[] = [];
  readonly #writer: Writer;
  readonly #session: string;
  #seq = 0;
  #prev: Uint8Array = noHash;

  /** `session`: the number of that of its calls. */
  constructor(name: string, writer: Writer, session = 1) {
    this.name = name;
    this.#writer = writer;
    this.#session = sessionId(session);
  }

  get head(): Head {
    return { ledger: this.name, seq: this.#seq, hash: Buffer.from(this.#prev).toString('hex') };
  }

  open(previous: Head | null = null): this {
    const instance = this.name.slice(0, this.name.lastIndexOf('-'));
    const { key } = this.#writer;
    return this.say('opened', { writer: key.writer, instance, previous, key });
  }

  say<K extends WrittenKind>(kind: K, meta: FrameMeta[K]): this {
    return this.write(kind, JSON.stringify(meta));
  }

  /** `of`: number of the call; 0 for a frame of none. */
  write(kind: WrittenKind, meta: string, of = 0, bytes: Uint8Array = new Uint8Array(0), offset = 0): this {
    this.#seq++;
    const { row, hash } = rowOf({
      ledger: this.name,
      seq: this.#seq,
      ...(of === 0 ? {} : { call: callId(of), session: this.#session }),
      kind,
      offset,
      atMicros: epochMicros + this.#seq * 1_000_000,
      meta,
      prev: this.#prev,
      bytes,
    });
    this.rows.push(row);
    this.#prev = hash;
    return this;
  }

  /** `count` calls, of two frames each. */
  calls(count: number): this {
    for (let n = 0; n < count; n++) {
      const of = this.#seq + 1;
      this.write('call', '{"method":"PATCH","target":"/x"}', of, Buffer.from(`{"of":${of},"body":"called"}`));
      this.write('outcome', '{"outcome":"completed","status":200}', of, Buffer.from('answered'));
    }
    return this;
  }

  /** Bytes of a channel of call `of`, behind `offset` others. */
  channel(of: number, channel: string, bytes: string, offset: number): this {
    return this.write('channel', JSON.stringify({ channel }), of, Buffer.from(bytes), offset);
  }

  /** The end of a stream. `carried`: all that its outcome says each channel carried. */
  streamEnd(of: number, carried: Readonly<Record<string, string>>): this {
    const channels = Object.entries(carried).map(([channel, bytes]) => ({
      channel,
      bytes: Buffer.byteLength(bytes),
      sha256: createHash('sha256').update(bytes).digest('hex'),
    }));
    return this.write('outcome', JSON.stringify({ outcome: 'completed', status: 101, stream: { channels } }), of);
  }

  seal(): this {
    const { key, privateKey } = this.#writer;
    const head = this.head;
    const signature = signHead(privateKey, head);
    this.lines.push(
      JSON.stringify({ at: new Date(epochMicros / 1000 + this.#seq * 1000).toISOString(), ...head, key, signature }),
    );
    return this.say('seal', { kid: key.kid, signature });
  }

  close(cause: 'drained' | 'rolled' = 'drained'): this {
    return this.say('closed', { cause }).seal();
  }
}

const stamp = (hour: number): string => `20261123T${String(hour).padStart(2, '0')}0000000Z-0a1b2c3d`;

/** The ledgers of `history`, by what they are there for. */
export const names = {
  /** Of a Sluice before seals. */
  old: 'ingress-20261101T000000000Z-01234567',
  /** Two of one process, which rolled over and was drained. */
  rolled: `ingress-${stamp(1)}-0`,
  drained: `ingress-${stamp(1)}-1`,
  /** The recorder of that time. */
  firstRecorder: `recorder-${stamp(1)}-0`,
  /** Of a process that died and lost frames 8 and 9. */
  died: `ingress-${stamp(2)}-0`,
  /** Of a process that died and lost nothing. Its last two frames are covered by the recorder's word alone. */
  crashed: `ingress-${stamp(2)}-0`.replace('0a1b2c3d', '4e5f6071'),
  /** Still written, by a session of its own. Its last two frames are not sealed. */
  live: `ingress-${stamp(3)}-0`,
  /** Still written. Its last frame is a seal. */
  recorder: `recorder-${stamp(2)}-0`,
} as const;

/** A record with all that happens in the life of one. */
export interface History {
  readonly rootKey: KeyObject;
  readonly roots: readonly string[];
  readonly ingress: Writer;
  readonly recorder: Writer;
  readonly rows: Row[];
  readonly lines: string[];
}

export function history(): History {
  const root = newRoot();
  const ingress = newWriter(root.privateKey, 'ingress');
  const recorder = newWriter(root.privateKey, 'recorder');
  const old = new LedgerFixture(names.old, ingress).calls(3);
  const firstRecorder = new LedgerFixture(names.firstRecorder, recorder).open();
  firstRecorder.say('heads', { heads: [old.head] }).seal();
  const rolled = new LedgerFixture(names.rolled, ingress).open().calls(2).seal().calls(2);
  firstRecorder.say('heads', { heads: [rolled.head] }).seal();
  rolled.close('rolled');
  const drained = new LedgerFixture(names.drained, ingress).open(rolled.head).calls(3).seal().calls(1).close();
  for (const { head } of [rolled, drained]) {
    const cause = head.ledger === names.rolled ? 'rolled' : 'drained';
    firstRecorder.say('ledger-closed', { head, cause, missing: [], presumed: 0 });
  }
  firstRecorder.say('heads', { heads: [rolled.head, drained.head] }).close();

  const secondRecorder = new LedgerFixture(names.recorder, recorder).open();
  secondRecorder.say('heads', { heads: [old, rolled, drained, firstRecorder].map(({ head }) => head) }).seal();
  secondRecorder.say('ledger-closed', { head: firstRecorder.head, cause: 'drained', missing: [], presumed: 0 });
  const died = new LedgerFixture(names.died, ingress).open().calls(1).seal().write('call', '{}', 9).calls(1);
  const connected = died.head;
  died.calls(2).seal().calls(1);
  const lost = [connected.seq + 1, connected.seq + 2] as const;
  died.rows.splice(connected.seq, 2);
  secondRecorder.say('ledger-closed', { head: connected, cause: 'lease-ended', missing: [lost], presumed: 2 });
  const crashed = new LedgerFixture(names.crashed, ingress).open().calls(1).seal().calls(1);
  secondRecorder.say('ledger-closed', { head: crashed.head, cause: 'lease-ended', missing: [], presumed: 0 });
  const live = new LedgerFixture(names.live, ingress, 2).open().calls(2).seal().calls(1);
  secondRecorder.say('heads', { heads: [connected, live.head] }).seal();
  live.calls(2).seal().calls(1);
  secondRecorder.calls(1).seal();

  const ledgers = [old, rolled, drained, firstRecorder, secondRecorder, died, crashed, live];
  return {
    rootKey: root.privateKey,
    roots: [root.publicKey],
    ingress,
    recorder,
    rows: ledgers.flatMap(({ rows }) => rows),
    lines: ledgers.flatMap(({ lines }) => lines),
  };
}
