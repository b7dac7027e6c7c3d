// An agent's connection to Sluice, over h1 or h2, and what it got there.
import { readFileSync } from 'node:fs';
import { type ClientHttp2Session, connect } from 'node:http2';
import { Agent, request } from 'node:https';
import { join } from 'node:path';

/** Where agents connect, and who they are. */
export interface Door {
  readonly port: number;
  readonly home: string;
  /** Bearer tokens by agent. */
  readonly tokens: Readonly<Record<string, string>>;
}

/** What an agent wants. */
export interface Wanted {
  /** Who asks; `''` is somebody without a token. */
  readonly agent: string;
  readonly method: string;
  readonly target: string;
  readonly body?: object | string;
  /** Of another ingress than the first. */
  readonly port?: number;
  /** Default: JSON. */
  readonly contentType?: string;
  /** The agent goes away after so long, whatever it has by then. */
  readonly leaveMs?: number;
  /** Whether the answer goes on until somebody ends it. */
  readonly isLive?: boolean;
}

/** What it got. */
export interface Answer {
  /** 0: no answer came. */
  readonly status: number;
  readonly received: Buffer;
  /**
   * `whole`: the answer came to its end. `broken`: the connection broke before. `left`: the agent went away.
   * `forgotten`: nothing happened any more.
   */
  readonly ended: 'whole' | 'broken' | 'left' | 'forgotten';
}

/** An agent waits so long for an answer. */
const patienceMs = 30_000;

/** A connection of an agent, made anew when it broke. */
export class Client {
  readonly #door: Door;
  readonly #ca: Buffer;
  readonly #agent: Agent | undefined;
  #session: ClientHttp2Session | undefined;

  constructor(door: Door, protocol: 'h1' | 'h2') {
    this.#door = door;
    this.#ca = readFileSync(join(door.home, 'tls', 'ca.crt'));
    if (protocol === 'h1') this.#agent = new Agent({ keepAlive: true, maxSockets: 1 });
  }

  send(wanted: Wanted, tag: string, body: Buffer): Promise<Answer> {
    const { agent, contentType = 'application/json' } = wanted;
    const headers = {
      'user-agent': tag,
      ...(agent === '' ? {} : { authorization: `Bearer ${this.#door.tokens[agent]}` }),
      ...(body.length === 0 ? {} : { 'content-type': contentType, 'content-length': String(body.length) }),
    };
    return this.#agent === undefined
      ? this.#sendH2(wanted, headers, body)
      : this.#sendH1(this.#agent, wanted, headers, body);
  }

  close(): void {
    this.#agent?.destroy();
    this.#session?.destroy();
  }

  #sendH1(agent: Agent, wanted: Wanted, headers: Record<string, string>, body: Buffer): Promise<Answer> {
    const { method, target: path } = wanted;
    return new Promise((resolve) => {
      const answer = new Collected(resolve);
      const outgoing = request({
        host: '127.0.0.1',
        port: this.#door.port,
        ca: this.#ca,
        agent,
        method,
        path,
        headers,
      });
      answer.whenLeft(wanted, () => outgoing.destroy());
      outgoing.on('response', (response) => {
        answer.status = response.statusCode ?? 0;
        response.on('data', (chunk: Buffer) => answer.chunks.push(chunk));
        response.on('end', () => answer.end('whole'));
        response.on('error', () => answer.end('broken'));
      });
      outgoing.on('error', () => answer.end('broken'));
      outgoing.on('close', () => answer.end('broken'));
      outgoing.end(body);
    });
  }

  #sendH2(wanted: Wanted, headers: Record<string, string>, body: Buffer): Promise<Answer> {
    const { method, target } = wanted;
    return new Promise((resolve) => {
      const answer = new Collected(resolve);
      const stream = this.#connected().request(
        { ':method': method, ':path': target, ...headers },
        { endStream: body.length === 0 },
      );
      answer.whenLeft(wanted, () => stream.close(cancel));
      let isWhole = false;
      stream.on('response', (response) => {
        answer.status = response[':status'] ?? 0;
      });
      stream.on('data', (chunk: Buffer) => answer.chunks.push(chunk));
      stream.on('end', () => (isWhole = !stream.aborted));
      stream.on('error', () => undefined);
      stream.on('close', () => {
        answer.end(isWhole && stream.rstCode === 0 && answer.status !== 0 ? 'whole' : 'broken');
      });
      if (body.length > 0) stream.end(body);
    });
  }

  #connected(): ClientHttp2Session {
    if (this.#session === undefined || this.#session.closed || this.#session.destroyed) {
      this.#session = connect(`https://127.0.0.1:${this.#door.port}`, { ca: this.#ca });
      this.#session.on('error', () => undefined);
    }
    return this.#session;
  }
}

/** CANCEL (RFC 9113, 7). */
const cancel = 0x8;

/** An answer as it comes; its first end counts. */
class Collected {
  status = 0;
  readonly chunks: Buffer[] = [];
  readonly #resolve: (answer: Answer) => void;
  #leaving: NodeJS.Timeout | undefined;

  constructor(resolve: (answer: Answer) => void) {
    this.#resolve = resolve;
  }

  /** The agent goes away when it wanted to, or when its patience is at an end. */
  whenLeft({ leaveMs }: Wanted, leave: () => void): void {
    this.#leaving = setTimeout(() => {
      this.end(leaveMs === undefined ? 'forgotten' : 'left');
      leave();
    }, leaveMs ?? patienceMs);
  }

  end(ended: Answer['ended']): void {
    clearTimeout(this.#leaving);
    this.#resolve({ status: this.status, received: Buffer.concat(this.chunks), ended });
  }
}
