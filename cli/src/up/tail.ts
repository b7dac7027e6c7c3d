import type { ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { decodeFrame, type Frame, type FrameMeta, resourceName, streams } from '@sluice/model';
import type { Broker } from '@sluice/runtime';
import type { TailCall, TailEvent } from '../tail.ts';

/** A listener may be so far behind; what comes then is counted and dropped. */
const behindBytes = 1 << 20;
/** So many calls are remembered, to say at its outcome which one ended; and so many approvals. */
const known = 10_000;
/** A listener that takes nothing holds up no stop for longer. */
const farewellMs = 1_000;

/**
 * Calls as they happen, for whoever listens. It overhears the frames on their way to the record, on a connection of
 * its own and only while there is a listener; nothing waits for it, so what it or a listener is too slow for is gone.
 */
export class Tail {
  readonly #open: () => Promise<Broker>;
  readonly #listeners = new Set<Listener>();
  readonly #calls = new Map<string, TailCall>();
  /** Of each approval the last event, which may be recorded again in another ledger, and what it led to. */
  readonly #approvals = new Map<string, Pick<FrameMeta['approval'], 'seq' | 'state'>>();
  /** The last frame of each ledger: a writer publishes again what was not acknowledged. */
  readonly #heard = new Map<string, number>();
  #broker: Promise<Broker> | null = null;
  #drained: Promise<void> = Promise.resolve();

  constructor(open: () => Promise<Broker>) {
    this.#open = open;
  }

  /** Tells calls, of one agent or (`null`) of all, until the listener goes. Throws where the broker is not there. */
  async follow(response: ServerResponse, agent: string | null): Promise<void> {
    const listener = new Listener(response, agent);
    this.#listeners.add(listener);
    response.on('close', () => this.#leave(listener));
    response.setHeader('content-type', 'application/x-ndjson');
    this.#broker ??= this.#listen();
    await this.#broker;
    response.flushHeaders();
  }

  /** Says farewell to all listeners, and closes the connection. */
  async close(): Promise<void> {
    const listeners = [...this.#listeners];
    await Promise.all(listeners.map((listener) => listener.end()));
    for (const listener of listeners) this.#leave(listener);
    await this.#drained;
  }

  async #listen(): Promise<Broker> {
    const broker = await this.#open();
    broker.listen(`${streams.calls.prefix}.*`, (message) => {
      const event = this.#read(message);
      if (event === null) return;
      for (const listener of this.#listeners) listener.tell(event);
    });
    return broker;
  }

  #leave(listener: Listener): void {
    this.#listeners.delete(listener);
    if (this.#listeners.size > 0 || this.#broker === null) return;
    this.#drained = this.#broker.then((broker) => broker.drain()).catch(() => undefined);
    this.#broker = null;
    this.#calls.clear();
    this.#approvals.clear();
    this.#heard.clear();
  }

  /** What a message tells; `null` where that is nothing, or nothing new, or no frame at all. */
  #read(message: Uint8Array): Told | null {
    try {
      const frame = decodeFrame(message);
      const { kind, ledger, seq } = frame;
      if (kind !== 'call' && kind !== 'decision' && kind !== 'approval' && kind !== 'outcome') return null;
      if (seq <= (this.#heard.get(ledger) ?? 0)) return null;
      this.#heard.set(ledger, seq);
      return this.#told(kind, frame);
    } catch {
      return null;
    }
  }

  #told(kind: 'call' | 'decision' | 'approval' | 'outcome', { call, atMicros, meta }: Frame): Told | null {
    const at = new Date(atMicros / 1000).toISOString();
    if (kind === 'call') {
      const asked = JSON.parse(meta) as FrameMeta['call'];
      const about = aboutCall(asked);
      remember(this.#calls, call, about);
      return { kind: 'decision', call, at, ...about, ...decisionOf(asked) };
    }
    const about = this.#calls.get(call) ?? unknownCall;
    if (kind === 'decision') {
      return { kind, call, at, ...about, ...decisionOf(JSON.parse(meta) as FrameMeta['decision']) };
    }
    if (kind === 'approval') return this.#approval(call, JSON.parse(meta) as FrameMeta['approval']);
    const { outcome, status, reasonCode, durationMicros } = JSON.parse(meta) as FrameMeta['outcome'];
    return { kind, call, at, ...about, outcome, status, reasonCode, durationMs: durationMicros / 1000 };
  }

  /** A vote, or a new state; other events tell nothing that the calls do not. */
  #approval(call: string, { approval, seq, atMs, event, state }: FrameMeta['approval']): Told | null {
    const before = this.#approvals.get(approval);
    if (before !== undefined && seq <= before.seq) return null;
    remember(this.#approvals, approval, { seq, state });
    if (event.kind !== 'voted' && state === before?.state) return null;
    const about = event.kind === 'requested' ? aboutCall(event.request) : (this.#calls.get(call) ?? unknownCall);
    const by = event.kind === 'voted' ? event.reviewer.name : '';
    return { kind: 'approval', call, at: new Date(atMs).toISOString(), ...about, approval, state, by };
  }
}

/** What is told of calls and approvals. */
type Told = Exclude<TailEvent, { kind: 'skipped' }>;

function remember<V>(map: Map<string, V>, key: string, value: V): void {
  map.set(key, value);
  const [oldest] = map.keys();
  if (map.size > known && oldest !== undefined) map.delete(oldest);
}

/** Of a call that was first decided before anybody listened. */
const unknownCall: TailCall = { agent: '', verb: '', resource: '', namespace: '', name: '' };

function aboutCall({ agent, attributes }: Pick<FrameMeta['call'], 'agent' | 'attributes'>): TailCall {
  const isResource = attributes.kind === 'resource';
  return {
    agent: agent.name,
    verb: attributes.verb,
    resource: isResource ? resourceName(attributes) : attributes.path,
    namespace: isResource ? attributes.namespace : '',
    name: isResource ? attributes.name : '',
  };
}

function decisionOf({ decision }: Pick<FrameMeta['call'], 'decision'>) {
  return { effect: decision.effect, reasonCode: decision.reasonCode };
}

/** One who listens, and what was dropped of what it should have heard. */
class Listener {
  readonly #response: ServerResponse;
  readonly #agent: string | null;
  #skipped = 0;

  constructor(response: ServerResponse, agent: string | null) {
    this.#response = response;
    this.#agent = agent;
    response.on('drain', () => this.#confess());
  }

  tell(event: Told): void {
    if (this.#agent !== null && event.agent !== this.#agent) return;
    if (this.#response.writableLength > behindBytes) {
      this.#skipped++;
      return;
    }
    this.#confess();
    this.#write(event);
  }

  async end(): Promise<void> {
    this.#confess();
    const ended = new Promise<void>((resolve) => this.#response.end(resolve));
    await Promise.race([ended, sleep(farewellMs, undefined, { ref: false })]);
  }

  #confess(): void {
    if (this.#skipped === 0) return;
    this.#write({ kind: 'skipped', count: this.#skipped });
    this.#skipped = 0;
  }

  #write(event: TailEvent): void {
    this.#response.write(`${JSON.stringify(event)}\n`);
  }
}
