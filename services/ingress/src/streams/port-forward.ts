// A port-forward that runs: each connection is decided when it is opened, recorded, and carried as it is.
import { setTimeout as sleep } from 'node:timers/promises';
import { SpdyError, SpdySession } from '@sluice/kube';
import type { Decision } from '@sluice/model';
import { type MaskClient, type MaskSubject, maskedText } from '../mask-client.ts';
import { MaskedText } from '../masked.ts';
import type { CallOver } from '../record.ts';
import { Refusal } from '../refusal.ts';
import { AgentGone } from '../request.ts';
import { type Carrier, socketCarrier } from './carrier.ts';
import type { ChannelsRecord } from './channels-record.ts';
import type { SpdyConnection } from './connect.ts';
import { Flow, Gate } from './flow.ts';
import type { AgentConnection, ConnectionEvents, ForwardAgent } from './forward-agent.ts';

/** What a port-forward runs with. */
export interface Forwarding {
  readonly agent: ForwardAgent;
  readonly cluster: SpdyConnection;
  readonly record: ChannelsRecord;
  readonly maskClient: MaskClient;
  readonly subject: MaskSubject;
  /** A policy wants the bytes recorded: masked as a text is, while the agent gets them as they are. */
  readonly isCaptured: boolean;
  /** Asks about one port. Throws `Refusal`. */
  readonly decide: (port: number) => Promise<Decision>;
  /** Aborts with the `Refusal` that names why it is cut. */
  readonly cut: AbortSignal;
}

const lastWordsMs = 300;

/** Carries connections until one side leaves. Throws what `cut` says, once the agent was told. */
export async function forward(forwarding: Forwarding): Promise<void> {
  const { agent, cluster, cut } = forwarding;
  const carrier = socketCarrier(cluster.socket, cluster.head);
  const over = AbortSignal.any([cut, agent.carrier.gone, carrier.gone]);
  const forwards = new Forwards(forwarding, carrier, over);
  try {
    forwards.start();
    if (!over.aborted) await new Promise((resolve) => over.addEventListener('abort', resolve));
    forwards.stop(cut.aborted ? `sluice: ${(cut.reason as Refusal).message}` : '');
    carrier.destroy();
    // kubectl ends with its connection, and may not have come to print what it was told.
    if (cut.aborted && !agent.carrier.gone.aborted)
      await Promise.race([
        sleep(lastWordsMs),
        new Promise((left) => agent.carrier.gone.addEventListener('abort', left)),
      ]);
    if (!agent.carrier.gone.aborted) await agent.carrier.close();
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
  readonly #into: Gate;
  readonly #outOf: Gate;
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
      writable: () => undefined,
    });
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
    void this.#judged(at, forwarded);
    return forwarded;
  }

  async #judged(at: At, forwarded: Forwarded): Promise<void> {
    const { decide, record } = this.#forwarding;
    try {
      const decision = await decide(at.port);
      if (decision.effect !== 'allow') throw new Refusal(decision.reasonCode, decision.reason, decision.hint);
      if (this.signal.aborted) return;
      record.port({ ...at, event: 'opened' });
      this.#carry(at, forwarded);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      const { reasonCode, message, hint } = error;
      record.port({ ...at, event: 'refused', reasonCode, reason: message });
      forwarded.close(`Error from Sluice (${reasonCode}): ${message}${hint === '' ? '' : `. ${hint}`}`);
    }
  }

  /** Opens it towards the cluster, and carries both directions, each in its order. */
  #carry(at: At, forwarded: Forwarded): void {
    const { agent, record } = this.#forwarding;
    const open = (streamtype: string): number =>
      this.#session.open(
        new Map([
          ['streamtype', streamtype],
          ['port', String(at.port)],
          ['requestid', String(at.connection)],
        ]),
      );
    const error = open('error');
    // Nobody says anything to the cluster there.
    this.#session.end(error);
    const data = open('data');
    this.#open.add(forwarded);
    forwarded.whenClosed = () => {
      this.#open.delete(forwarded);
      for (const stream of [error, data]) {
        this.#streams.delete(stream);
        this.#session.reset(stream);
      }
      record.port({ ...at, event: 'closed', inBytes: forwarded.inBytes, outBytes: forwarded.outBytes });
    };
    const [recordIn, recordOut] = [this.#capture(at, 'in'), this.#capture(at, 'out')];
    forwarded.into.begin({
      bytes: async (bytes) => {
        await recordIn(bytes, 'more');
        forwarded.inBytes += bytes.length;
        this.#session.write(data, bytes);
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
        forwarded.connection.send(bytes);
        await agent.carrier.drained();
      },
      end: async () => {
        await recordOut(nothing, 'flush');
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
        maskedText(maskClient, subject, Buffer.concat(parts).toString()).then(
          (words) => forwarded.close(words),
          () => forwarded.close('the cluster cannot open the connection'),
        );
      },
      reset: () => undefined,
    };
  }

  /** Records the bytes of one direction, where a policy wants it. */
  #capture(at: At, event: 'in' | 'out'): (bytes: Buffer, until: 'more' | 'flush') => Promise<void> {
    const { isCaptured, maskClient, record, subject } = this.#forwarding;
    if (!isCaptured) return async () => undefined;
    const text = new MaskedText(maskClient, subject, { direction: event === 'in' ? 'sent' : 'shown' });
    return async (bytes, until) => {
      const { masked } = await text.push(bytes, until);
      if (masked.length === 0) return;
      await record.claim(masked.length, this);
      this.throwIfOver();
      record.portBytes({ ...at, event }, masked);
      await record.within();
    };
  }
}

const nothing = Buffer.alloc(0);
const maxComplaints = 16;

/** One connection between the agent and a port. */
class Forwarded implements ConnectionEvents {
  readonly connection: AgentConnection;
  readonly into: Flow;
  readonly outOf: Flow;
  inBytes = 0;
  outBytes = 0;
  whenClosed: () => void = () => undefined;
  readonly #ends = new Set<'in' | 'out'>();
  #isClosed = false;

  constructor(connection: AgentConnection, into: Gate, outOf: Gate) {
    this.connection = connection;
    this.into = new Flow(into, () => this.close(''));
    this.outOf = new Flow(outOf, () => this.close(''));
  }

  data(bytes: Buffer): void {
    this.into.push(bytes);
  }

  ended(): void {
    this.into.push(null);
  }

  /** One direction has been carried to its end. */
  carried(way: 'in' | 'out'): void {
    this.#ends.add(way);
    if (this.#ends.size === 2) this.#over();
  }

  reset(): void {
    this.#over();
  }

  /** Ends both directions. `words`: why; empty where the agent needs none. */
  close(words: string): void {
    if (this.#isClosed) return;
    if (words === '') this.connection.end();
    else this.connection.fail(words);
    this.#over();
  }

  #over(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.into.stop();
    this.outOf.stop();
    this.whenClosed();
  }
}
