import { type Frame, noHash, type ProofRow, type SealKey, sealHolds } from '@sluice/model';
import type { Claims, Closing, Mark } from './claims.ts';
import type { FaultCode, Faults } from './faults.ts';
import { readRow } from './row.ts';
import type { KeptSeals, Roots } from './second-home.ts';
import { HeardStreams } from './streams.ts';
import { closingIn, headsIn, openedIn, type Run, sealIn } from './words.ts';

/** Frames in a row, each chained to the one before. */
export interface Segment {
  readonly first: number;
  last: number;
  /** Of the last frame. */
  hash: string;
  /** Position of the newest seal that holds, with the hash of the frame before it; 0 for none. */
  sealed: number;
  sealedHash: string;
  /** When the first frame behind that seal was written; microseconds since the epoch, 0 where there is none. */
  sinceMicros: number;
}

export interface LedgerTrust {
  readonly roots: Roots;
  /** What the second home holds of this ledger. */
  readonly kept: KeptSeals | undefined;
  readonly faults: Faults;
  /** Gets what this ledger says of others. */
  readonly claims: Claims;
}

type Claim =
  | ({ readonly kind: 'closing' } & Omit<Closing, 'isProven'>)
  | ({ readonly kind: 'mark' } & Omit<Mark, 'isProven'>);

/** Frames of which a ledger of a Sluice before seals has none. */
const sealing = new Set(['opened', 'seal', 'closed', 'ledger-closed', 'heads']);

/** Checks one ledger, row by row: by itself. What others say of it is judged when all ledgers were read. */
export class LedgerCheck {
  readonly name: string;
  frames = 0;
  readonly segments: Segment[] = [];
  /** Positions without a row between those with one. */
  readonly gaps: Run[] = [];
  /** The highest position with a row. */
  last = 0;
  /** Its first frame is of a Sluice that sealed nothing. */
  isUnsealed = false;
  /** Position of the frame `closed`; 0 where there is none. */
  closed = 0;
  /** Heads that are sealed in the record, and not in the second home. */
  readonly notKept: { readonly seq: number; readonly atMicros: number }[] = [];
  /** When the newest seal that holds was written; microseconds since the epoch. */
  sealedMicros = 0;
  readonly streams = new HeardStreams();
  readonly #trust: LedgerTrust;
  /** Hashes that the next frame may name: those of the rows at the last position. `null`: nothing to hold it against. */
  #tail: string[] | null = [hex(noHash)];
  #key: SealKey | null;
  /** What this ledger says of others, and no seal covers yet. */
  #unsealedClaims: Claim[] = [];
  #keptAt = 0;
  #isPastEnd = false;

  constructor(name: string, trust: LedgerTrust) {
    this.name = name;
    this.#trust = trust;
    // A ledger whose first frame was taken away still bears seals that can be checked.
    this.#key = trust.kept?.key ?? null;
  }

  /** Rows come in the order of `seq`. `body`: all of it; empty for one over `maxBodyBytes`. */
  row(row: ProofRow, body: Uint8Array): void {
    this.frames++;
    const { frame, faults } = readRow(this.name, row, body);
    for (const { what, message } of faults) this.#fault(row.seq, what, message);
    if (row.seq === this.last) {
      this.#fault(row.seq, 'double', 'this position has another row');
      if (frame !== null) this.#tail?.push(hex(frame.hash));
      return;
    }
    if (row.seq > this.last + 1) {
      this.gaps.push([this.last + 1, row.seq - 1]);
      this.#tail = null;
    }
    this.last = row.seq;
    if (frame === null) {
      this.#tail = null;
      return;
    }
    const segment = this.#connect(frame);
    // What the header says counts, whatever was done to the columns beside it.
    if (!faults.some(({ what }) => what === 'hash')) this.#hear(frame, segment);
    if (this.closed > 0 && row.seq > this.closed) this.#behindEnd(frame);
  }

  /** No more rows follow. */
  end(): void {
    this.#settle('unproven');
  }

  /** Whether there is a frame at a position. */
  has(seq: number): boolean {
    return this.segments.some(({ first, last }) => first <= seq && seq <= last);
  }

  /** The hash of a frame, where it was kept: of the last of a segment, and the last that is sealed. */
  hashAt(seq: number): string | null {
    for (const { first, last, hash, sealed, sealedHash } of this.segments) {
      if (seq === last) return hash;
      if (seq === sealed - 1 && seq >= first) return sealedHash;
    }
    return null;
  }

  /** Position of the newest seal that holds; 0 where there is none. */
  get sealed(): number {
    return this.segments.reduce((highest, { sealed }) => Math.max(highest, sealed), 0);
  }

  /** Whether this ledger's writer is a recorder, as its certificate says. */
  get isRecorders(): boolean {
    return this.#key?.writer === 'recorder';
  }

  #fault(seq: number, what: FaultCode, message: string): void {
    this.#trust.faults.add(this.name, seq, what, message);
  }

  #connect(frame: Frame): Segment {
    const isConnected = this.#tail?.includes(hex(frame.prev)) === true;
    if (this.#tail !== null && !isConnected) {
      this.#fault(
        frame.seq,
        'chain',
        `frame ${frame.seq} does not follow on frame ${frame.seq - 1}: one of the two was replaced`,
      );
    }
    const hash = hex(frame.hash);
    let segment = this.segments.at(-1);
    if (segment === undefined || !isConnected) {
      this.#settle('unproven');
      segment = { first: frame.seq, last: frame.seq, hash, sealed: 0, sealedHash: '', sinceMicros: 0 };
      this.segments.push(segment);
    }
    segment.last = frame.seq;
    segment.hash = hash;
    if (segment.sinceMicros === 0) segment.sinceMicros = frame.atMicros;
    this.#tail = [hash];
    return segment;
  }

  /** What a frame says, when it was found to be whole. */
  #hear(frame: Frame, segment: Segment): void {
    if (frame.seq === 1 && frame.kind !== 'opened') this.isUnsealed = true;
    this.#hearOutOfPlace(frame);
    this.streams.hear(frame);
    if (frame.kind === 'opened' && frame.seq === 1) this.#open(frame);
    else if (frame.kind === 'seal') this.#seal(frame, segment);
    else if (frame.kind === 'closed') this.closed ||= frame.seq;
    else if (this.isRecorders && frame.kind === 'heads') this.#list(frame);
    else if (this.isRecorders && frame.kind === 'ledger-closed') this.#close(frame);
  }

  /** A ledger is opened once, by its first frame; and only one that was opened says something of itself. */
  #hearOutOfPlace(frame: Frame): void {
    if (frame.kind === 'opened' && frame.seq > 1) {
      this.#fault(frame.seq, 'opened', 'a ledger is opened by its first frame alone');
    }
    if (!this.isUnsealed || !sealing.has(frame.kind)) return;
    this.#fault(1, 'opened', `the first frame does not open the ledger, which has a frame "${frame.kind}"`);
    this.isUnsealed = false;
  }

  #open(frame: Frame): void {
    const opened = openedIn(frame.meta);
    if (opened === null) return this.#fault(1, 'opened', 'the first frame does not say what opens a ledger');
    const { writer, instance, previous, key } = opened;
    const roll = this.name.startsWith(`${instance}-`) ? this.name.slice(instance.length + 1) : '';
    const before = roll === '0' ? null : `${instance}-${Number(roll) - 1}`;
    const isOfThisLedger = /^(0|[1-9]\d*)$/.test(roll) && instance.startsWith(`${writer}-`) && key.writer === writer;
    if (!isOfThisLedger)
      return this.#fault(1, 'opened', `the first frame opens a ledger of "${instance}", written by ${writer}`);
    if ((previous?.ledger ?? null) !== before)
      this.#fault(1, 'opened', 'the first frame does not name the ledger before this one');
    if (!this.#trust.roots.vouchFor(key, this.name)) {
      this.#key = null;
      return this.#fault(1, 'certificate', `no root has signed the key ${key.kid} of ${key.writer}`);
    }
    this.#key = key;
    if (previous !== null) this.#unsealedClaims.push({ kind: 'mark', ...previous, by: 'next', in: this.#place(frame) });
  }

  #seal(frame: Frame, segment: Segment): void {
    const seal = sealIn(frame.meta);
    if (this.#key === null) return;
    const head = { ledger: this.name, seq: frame.seq - 1, hash: hex(frame.prev) };
    if (seal?.kid !== this.#key.kid || !sealHolds(this.#key, head, seal.signature)) {
      return this.#fault(frame.seq, 'seal', `the signature over frame ${head.seq} does not hold`);
    }
    segment.sealed = frame.seq;
    segment.sealedHash = head.hash;
    segment.sinceMicros = 0;
    this.sealedMicros = frame.atMicros;
    this.#settle('proven');
    if (!this.#isKept(head.seq)) this.notKept.push({ seq: head.seq, atMicros: frame.atMicros });
  }

  /** Seals and what is kept of them both ascend: each is passed once. */
  #isKept(seq: number): boolean {
    const seqs = this.#trust.kept?.seqs ?? [];
    while ((seqs[this.#keptAt] ?? Infinity) < seq) this.#keptAt++;
    return seqs[this.#keptAt] === seq;
  }

  #list(frame: Frame): void {
    for (const head of headsIn(frame.meta) ?? []) {
      this.#unsealedClaims.push({ kind: 'mark', ...head, by: 'list', in: this.#place(frame) });
    }
  }

  #close(frame: Frame): void {
    const closing = closingIn(frame.meta);
    if (closing === null) return;
    this.#unsealedClaims.push({ kind: 'closing', ...closing });
    this.#unsealedClaims.push({ kind: 'mark', ...closing.head, by: 'closing', in: this.#place(frame) });
  }

  #place({ seq }: Frame): { readonly ledger: string; readonly seq: number } {
    return { ledger: this.name, seq };
  }

  /** A seal covers what was said up to here, or nothing will. */
  #settle(by: 'proven' | 'unproven'): void {
    const { claims } = this.#trust;
    const isProven = by === 'proven';
    for (const claim of this.#unsealedClaims) {
      if (claim.kind === 'closing') claims.close({ ...claim, isProven });
      else claims.mark({ ...claim, isProven });
      if (claim.kind === 'mark' && claim.by === 'list' && isProven) claims.listed(this.name, claim.ledger);
    }
    this.#unsealedClaims = [];
  }

  #behindEnd(frame: Frame): void {
    const isLastSeal = frame.kind === 'seal' && frame.seq === this.closed + 1;
    if (isLastSeal || this.#isPastEnd) return;
    this.#isPastEnd = true;
    this.#fault(frame.seq, 'end', `the ledger was closed with frame ${this.closed}`);
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}
