import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { type SpdyHeaders, SpdySession } from '@sluice/kube';
import type { StreamRequest } from '@sluice/model';
import { type Incoming, statusOf, type Wire } from './exec.ts';
import { Killed } from './job.ts';
import { BrokenPipe } from './pipe.ts';
import type { Tap } from './tap.ts';

/** Bytes that wait for the peer, or for a process, before the other side waits too. */
const maxWaitingBytes = 262_144;

/** One stream that the client opened. */
export class SpdyStream {
  readonly headers: SpdyHeaders;
  readonly #connection: SpdyConnection;
  readonly #id: number;
  readonly #early: Buffer[] = [];
  #take: ((bytes: Buffer) => Promise<void> | void) | undefined;
  #ended: () => void = () => undefined;
  #before = Promise.resolve();
  #writable = Promise.withResolvers<void>();
  #hasEnded = false;
  #isReset = false;

  constructor(connection: SpdyConnection, id: number, headers: SpdyHeaders) {
    this.#connection = connection;
    this.#id = id;
    this.headers = headers;
  }

  /** Resolves when there is room for more. Rejects with `BrokenPipe` when the client wants no more. */
  async send(bytes: Buffer): Promise<void> {
    if (this.#isReset || this.#connection.gone.aborted) throw new BrokenPipe('the client is gone');
    this.#writable = Promise.withResolvers();
    if (!this.#connection.session.write(this.#id, bytes)) await this.#writable.promise;
    await this.#connection.drained();
  }

  /** Nothing more is sent. */
  end(): void {
    this.#connection.session.end(this.#id);
  }

  /** Hands over what comes and has come, in order. `ended`: nothing more will. */
  receive(take: (bytes: Buffer) => Promise<void> | void, ended: () => void): void {
    this.#take = take;
    this.#ended = ended;
    for (const bytes of this.#early.splice(0)) this.#handOver(bytes);
    if (this.#hasEnded) this.#before = this.#before.then(ended);
  }

  /** Of the session. */
  data(bytes: Buffer, isEnded: boolean): void {
    if (bytes.length > 0) this.#handOver(bytes);
    if (!isEnded) return;
    this.#hasEnded = true;
    this.#before = this.#before.then(() => this.#ended());
  }

  /** Of the session. */
  writable(): void {
    this.#writable.resolve();
  }

  /** Of the session, or its end. */
  reset(): void {
    this.#isReset = true;
    this.#writable.resolve();
    this.#ended();
  }

  #handOver(bytes: Buffer): void {
    const take = this.#take;
    if (take === undefined) return void this.#early.push(bytes);
    this.#connection.waiting(bytes.length);
    this.#before = this.#before
      .then(() => take(bytes))
      // Who is through reads nothing more.
      .catch(() => undefined)
      .finally(() => {
        this.#connection.waiting(-bytes.length);
        this.#connection.session.consumed(this.#id, bytes.length);
      });
  }
}

/** The server's end of a SPDY connection, over a socket or a tunnel. */
export class SpdyConnection {
  readonly session: SpdySession;
  readonly #link: Duplex;
  readonly #gone = new AbortController();
  readonly #streams = new Map<number, SpdyStream>();
  #waiting = 0;

  /** `opened` is told of each stream of the client; it is taken already. */
  constructor(link: Duplex, head: Buffer, opened: (stream: SpdyStream) => void) {
    this.#link = link;
    this.session = new SpdySession('server', (bytes) => void link.write(bytes), {
      opened: (id, headers, isEnded) => {
        const stream = new SpdyStream(this, id, headers);
        this.#streams.set(id, stream);
        this.session.reply(id);
        opened(stream);
        if (isEnded) stream.data(Buffer.alloc(0), true);
      },
      replied: () => undefined,
      data: (id, bytes, isEnded) => this.#streams.get(id)?.data(bytes, isEnded),
      reset: (id) => {
        this.#streams.get(id)?.reset();
        this.#streams.delete(id);
      },
      goAway: () => undefined,
      writable: (id) => this.#streams.get(id)?.writable(),
    });
    link.on('error', () => undefined);
    link.on('end', () => link.end());
    link.on('close', () => {
      this.#gone.abort(new Killed(129));
      for (const stream of this.#streams.values()) stream.reset();
    });
    link.on('data', (bytes: Buffer) => this.#push(bytes));
    if (head.length > 0) this.#push(head);
  }

  /** Aborted with `Killed` when the client is gone. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  /** So many bytes more wait to be read, or fewer: the client does not know windows, so its connection has to wait. */
  waiting(bytes: number): void {
    this.#waiting += bytes;
    if (this.#waiting > maxWaitingBytes) this.#link.pause();
    else if (this.#link.isPaused()) this.#link.resume();
  }

  /** Resolves when the connection has room. */
  async drained(): Promise<void> {
    if (this.#link.writableLength <= maxWaitingBytes || this.gone.aborted) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        this.#link.off('drain', done);
        this.#link.off('close', done);
        resolve();
      };
      this.#link.on('drain', done);
      this.#link.on('close', done);
    });
  }

  close(): void {
    this.session.goAway();
    this.#link.end();
  }

  #push(bytes: Buffer): void {
    try {
      this.session.push(bytes);
    } catch {
      this.#link.end();
    }
  }
}

/** Speaks the streams of an exec or an attach. */
export class SpdyWire implements Wire {
  readonly #connection: SpdyConnection;
  readonly #streams: ReadonlyMap<string, SpdyStream>;
  readonly #status: 'json' | 'text';
  readonly #tap: Tap;

  /** `streams`: by their type. */
  constructor(connection: SpdyConnection, streams: ReadonlyMap<string, SpdyStream>, status: 'json' | 'text', tap: Tap) {
    this.#connection = connection;
    this.#streams = streams;
    this.#status = status;
    this.#tap = tap;
  }

  get gone(): AbortSignal {
    return this.#connection.gone;
  }

  async send(channel: 'stdout' | 'stderr', bytes: Buffer): Promise<void> {
    const stream = this.#streams.get(channel);
    // Who did not ask for it does not get it.
    if (stream !== undefined) await this.#tap.send(channel, bytes, (part) => stream.send(part));
  }

  finish(exitCode: number): void {
    const error = this.#streams.get('error');
    const status = statusOf(exitCode);
    const isText = this.#status === 'text';
    const message = isText ? (exitCode === 0 ? '' : String(status['message'])) : JSON.stringify(status);
    for (const channel of ['stdout', 'stderr']) this.#streams.get(channel)?.end();
    if (message !== '') error?.send(Buffer.from(message)).catch(() => undefined);
    error?.end();
    this.#connection.close();
  }

  receive(incoming: Incoming): void {
    this.#streams.get('stdin')?.receive(
      (bytes) => {
        this.#tap.received('stdin', bytes);
        return incoming.stdin(bytes);
      },
      () => {
        this.#tap.ended('stdin');
        incoming.end();
      },
    );
    this.#streams.get('resize')?.receive(
      (bytes) => {
        this.#tap.received('resize', bytes);
        incoming.resize(bytes);
      },
      () => undefined,
    );
  }
}

/** What SPDY knows of the channels' protocol, the best first. */
const versions = ['v5', 'v4', 'v3', 'v2', ''].map((version) => `${version}${version && '.'}channel.k8s.io`);

/** Which protocol that a client offers is spoken, or `undefined`. `old`: as before Kubernetes 1.30. */
export function chosenSpdy(
  { headersDistinct }: IncomingMessage,
  kind: StreamRequest['kind'],
  age: 'all' | 'old',
): string | undefined {
  const offered = (headersDistinct['x-stream-protocol-version'] ?? []).flatMap((line) => line.split(/,\s*/));
  if (kind === 'portforward') return ['portforward.k8s.io'].find((name) => offered.includes(name));
  return versions.find((name) => offered.includes(name) && (age === 'all' || !name.startsWith('v5')));
}

/** Resolves once the client has opened all the streams that it asked for. */
export function openSpdyWire(
  link: Duplex,
  head: Buffer,
  asked: StreamRequest,
  protocol: string,
  tap: Tap,
): Promise<SpdyWire> {
  const missing = new Set<string>(['error']);
  for (const channel of ['stdin', 'stdout'] as const) if (asked[channel]) missing.add(channel);
  if (asked.stderr && !asked.tty) missing.add('stderr');
  if (asked.tty && /^v[345]/.test(protocol)) missing.add('resize');
  const streams = new Map<string, SpdyStream>();
  return new Promise((resolve) => {
    const connection = new SpdyConnection(link, head, (stream) => {
      const type = stream.headers.get('streamtype') ?? '';
      streams.set(type, stream);
      const status = /^v[45]/.test(protocol) ? 'json' : 'text';
      // With the head it may come before there is a connection to speak of.
      if (missing.delete(type) && missing.size === 0) {
        queueMicrotask(() => resolve(new SpdyWire(connection, streams, status, tap)));
      }
    });
  });
}
