// A port-forward that runs: each connection is decided when it is opened, recorded, and carried as it is.
import { setTimeout as sleep } from 'node:timers/promises';
import { SpdyClosedError, SpdyError, SpdySession } from '@sluice/kube';
import type { Allow, Decision } from '@sluice/model';
import { type MaskClient, type MaskSubject, maskedText } from '../mask-client.ts';
import { MaskedText } from '../masked.ts';
import type { CallOver } from '../record.ts';
import { Refusal } from '../refusal.ts';
import { AgentGone } from '../request.ts';
import { type Carrier, socketCarrier } from './carrier.ts';
import type { ChannelsRecord } from './channels-record.ts';
import type { SpdyConnection } from './connect.ts';
import { Gate, Windows } from './flow.ts';
import type { AgentConnection, ConnectionEvents, ForwardAgent } from './forward-agent.ts';
import { Forwarded } from './forwarded.ts';
import { lastBytesMs, wordsMs } from './leg.ts';

/** What a port-forward runs with. */
export interface Forwarding {
  readonly agent: ForwardAgent;
  readonly cluster: SpdyConnection;
  readonly record: ChannelsRecord;
  readonly maskClient: MaskClient;
  readonly subject: MaskSubject;
  /** By which it was opened. */
  readonly allow: Allow;
  /** Asks about one port. Throws `Refusal`. */
  readonly decide: (port: number) => Promise<Decision>;
  /** Those that a connection was opened to, for whoever decides again. */
  readonly ports: Set<number>;
  /** Aborts with the `Refusal` that names why it is cut. */
  readonly cut: AbortSignal;
}

/** An agent that is cut has so long to print what it was told. */
const lastWordsMs = 300;

const unrecorded = 'Sluice cannot record the connection now, so it was not made';

/** What a connection costs, of what may wait, until it is decided: more than so many at once are not read. Bytes. */
const undecidedBytes = 4 * 1024;

/** Carries connections until one side leaves. Throws what `cut` says, once the agent was told, and what nobody foresaw. */
export async function forward(forwarding: Forwarding): Promise<void> {
  const { agent, cluster, cut } = forwarding;
  const carrier = socketCarrier(cluster.socket, cluster.head);
  const over = AbortSignal.any([cut, agent.carrier.gone, carrier.gone]);
  const forwards = new Forwards(forwarding, carrier, over);
  try {
    try {
      forwards.start();
      const ended = new Promise<void>((resolve) => over.addEventListener('abort', () => resolve()));
      if (!over.aborted) await Promise.race([ended, forwards.failed]);
    } finally {
      forwards.stop(cut.aborted ? `sluice: ${(cut.reason as Refusal).message}` : '');
      carrier.destroy();
    }
    // kubectl ends with its connection, and may not have come to print what it was told.
    if (cut.aborted && !agent.carrier.gone.aborted) {
      const left = new Promise((resolve) => agent.carrier.gone.addEventListener('abort', resolve));
      await Promise.race([sleep(lastWordsMs), left]);
    }
    await agent.carrier.close(cut.aborted ? wordsMs : lastBytesMs);
    cut.throwIfAborted();
  } finally {
    carrier.destroy();
    agent.carrier.destroy();
  }
}

/** What a connection is called in the record. */
interface At {
  readonly channel: 'port';
  readonly connection: number;
  readonly port: number;
}

/** Who hears of a SPDY stream towards the cluster. */
interface StreamEvents {
  data(bytes: Buffer): void;
  ended(): void;
  reset(): void;
}

class Forwards implements CallOver {
  readonly signal: AbortSignal;
  readonly #forwarding: Forwarding;
  readonly #carrier: Carrier;
  readonly #session: SpdySession;
  readonly #open = new Set<Forwarded>();
  readonly #streams = new Map<number, StreamEvents>();
  readonly #windows = new Windows();
  readonly #into: Gate;
  readonly #outOf: Gate;
  readonly #failed = Promise.withResolvers<never>();
  #count = 0;

  constructor(forwarding: Forwarding, carrier: Carrier, over: AbortSignal) {
    this.signal = over;
    this.#forwarding = forwarding;
    this.#carrier = carrier;
    this.#into = new Gate(forwarding.agent.carrier);
    this.#outOf = new Gate(carrier);
    this.#session = new SpdySession('client', (bytes) => carrier.write(bytes), {
      opened: (stream) => this.#session.reset(stream),
      replied: () => undefined,
      data: (stream, bytes, isEnded) => {
        this.#session.consumed(stream, bytes.length);
        const events = this.#streams.get(stream);
        if (bytes.length > 0) events?.data(bytes);
        if (isEnded) events?.ended();
      },
      reset: (stream) => this.#streams.get(stream)?.reset(),
      goAway: () => undefined,
      writable: (stream) => this.#windows.open(stream),
    });
    this.#failed.promise.catch(() => undefined);
  }

  /** Rejects when something fails that is nobody's to fail. */
  get failed(): Promise<never> {
    return this.#failed.promise;
  }

  throwIfOver(): void {
    this.#forwarding.cut.throwIfAborted();
    if (this.signal.aborted) throw new AgentGone();
  }

  start(): void {
    const take = (bytes: Buffer): void => {
      try {
        this.#session.push(bytes);
      } catch (error) {
        if (!(error instanceof SpdyError)) throw error;
        this.#carrier.destroy();
      }
    };
    this.#carrier.start(take, () => this.#session.ping());
    this.#forwarding.agent.start((connection) => this.#opened(connection));
  }

  /** Ends what is open. `words`: why it is cut; empty where it is not. */
  stop(words: string): void {
    for (const forwarded of this.#open) forwarded.close(words);
  }

  #opened(connection: AgentConnection): ConnectionEvents {
    const at = { channel: 'port', connection: ++this.#count, port: connection.port } as const;
    const forwarded = new Forwarded(connection, this.#into, this.#outOf);
    this.#open.add(forwarded);
    forwarded.whenClosed.push(() => this.#open.delete(forwarded));
    this.#into.came(undecidedBytes);
    this.#judged(at, forwarded)
      .catch((error: unknown) => this.#failed.reject(error))
      .finally(() => this.#into.went(undecidedBytes));
    return forwarded;
  }

  /** Decides about a connection, and opens it or says why not: either is on the broker's disk first. */
  async #judged(at: At, forwarded: Forwarded): Promise<void> {
    const { ports, record } = this.#forwarding;
    try {
      const isCaptured = await this.#allowed(at.port);
      if (forwarded.isClosed || this.signal.aborted) return;
      ports.add(at.port);
      record.port({ ...at, event: 'opened' });
      forwarded.whenClosed.push(() => {
        const { inBytes, outBytes } = forwarded;
        record.port({ ...at, event: 'closed', inBytes, outBytes });
      });
      if (!(await this.#isRecorded())) throw new Refusal('RecordUnavailable', unrecorded);
      if (!forwarded.isClosed) this.#carry(at, forwarded, isCaptured);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (this.signal.aborted) return;
      const { reasonCode, message, hint } = error;
      record.port({ ...at, event: 'refused', reasonCode, reason: message });
      // What cannot be recorded is refused all the same.
      await this.#isRecorded();
      forwarded.close(`Error from Sluice (${reasonCode}): ${message}${hint === '' ? '' : `. ${hint}`}`);
    }
  }

  async #isRecorded(): Promise<boolean> {
    try {
      await this.#forwarding.record.settled();
      return true;
    } catch (error) {
      if (error instanceof Refusal) return false;
      throw error;
    }
  }

  /** Whether its bytes are recorded, too. Throws `Refusal`. */
  async #allowed(port: number): Promise<boolean> {
    const { allow, decide } = this.#forwarding;
    const decision = await decide(port);
    if (decision.effect !== 'allow') throw new Refusal(decision.reasonCode, decision.reason, decision.hint);
    const { impersonate, record } = decision.obligations;
    if (JSON.stringify(impersonate) !== JSON.stringify(allow.obligations.impersonate))
      throw new Refusal('AuthorityChanged', 'the policies give this port another identity than the port-forward has');
    return record === 'full' || allow.obligations.record === 'full';
  }

  /** A stream towards the cluster. Throws `Refusal`. */
  #stream(at: At, streamtype: 'error' | 'data'): number {
    const headers = { streamtype, port: String(at.port), requestid: String(at.connection) };
    try {
      return this.#session.open(new Map(Object.entries(headers)));
    } catch (error) {
      if (!(error instanceof SpdyClosedError)) throw error;
      throw new Refusal('ClusterUnreachable', 'the cluster takes no more connections of this port-forward');
    }
  }

  /** Opens it towards the cluster, and carries both directions, each in its order. Throws `Refusal`. */
  #carry(at: At, forwarded: Forwarded, isCaptured: boolean): void {
    const { agent } = this.#forwarding;
    const error = this.#stream(at, 'error');
    // Nobody says anything to the cluster there.
    this.#session.end(error);
    const data = this.#stream(at, 'data');
    forwarded.whenClosed.push(() => {
      for (const stream of [error, data]) {
        this.#streams.delete(stream);
        this.#session.reset(stream);
        this.#windows.open(stream);
      }
    });
    const recorded = isCaptured ? (event: 'in' | 'out') => this.#capture(at, forwarded, event) : () => uncaptured;
    const [recordIn, recordOut] = [recorded('in'), recorded('out')];
    forwarded.into.begin({
      bytes: async (bytes) => {
        await recordIn(bytes, 'more');
        forwarded.inBytes += bytes.length;
        if (!this.#session.write(data, bytes)) this.#windows.shut(data);
        await this.#windows.isOpen(data);
        await this.#carrier.drained();
        forwarded.connection.consumed(bytes.length);
      },
      end: async () => {
        await recordIn(nothing, 'flush');
        this.#session.end(data);
        forwarded.carried('in');
      },
    });
    forwarded.outOf.begin({
      bytes: async (bytes) => {
        await recordOut(bytes, 'more');
        forwarded.outBytes += bytes.length;
        await forwarded.connection.send(bytes);
        await agent.carrier.drained();
      },
      end: async () => {
        await recordOut(nothing, 'flush');
        // A kubelet complains, and ends the connection at the same time.
        await forwarded.told;
        forwarded.connection.end();
        forwarded.carried('out');
      },
    });
    this.#streams.set(data, {
      data: (bytes) => forwarded.outOf.push(bytes),
      ended: () => forwarded.outOf.push(null),
      reset: () => forwarded.close(''),
    });
    this.#streams.set(error, this.#complaints(forwarded));
  }

  /** What a kubelet says of a connection that failed is a line. */
  #complaints(forwarded: Forwarded): StreamEvents {
    const { maskClient, subject } = this.#forwarding;
    const parts: Buffer[] = [];
    return {
      data: (bytes) => void (parts.length < maxComplaints && parts.push(bytes)),
      ended: () => {
        if (parts.length === 0) return;
        forwarded.told = maskedText(maskClient, subject, Buffer.concat(parts).toString()).then(
          (words) => forwarded.close(words),
          () => forwarded.close('the cluster cannot open the connection'),
        );
      },
      reset: () => undefined,
    };
  }

  /** Records the bytes of one direction, masked as a text is; the agent gets them as they are. */
  #capture(
    at: At,
    forwarded: Forwarded,
    event: 'in' | 'out',
  ): (bytes: Buffer, until: 'more' | 'flush') => Promise<void> {
    const { maskClient, record, subject } = this.#forwarding;
    const text = new MaskedText(maskClient, subject, { direction: event === 'in' ? 'sent' : 'shown' });
    return async (bytes, until) => {
      const { masked } = await text.push(bytes, until);
      // Behind the frame that says that it is closed there is none of its bytes.
      if (masked.length === 0 || forwarded.isClosed) return;
      await record.claim(masked.length, this);
      this.throwIfOver();
      await record.portBytes({ ...at, event }, masked);
    };
  }
}

const nothing = Buffer.alloc(0);
const uncaptured = async (): Promise<void> => undefined;
/** Pieces of what a kubelet complains: a line comes in one. */
const maxComplaints = 16;
