// A mixed load of several agents, as a seed determines it, and what they saw of it.
import { setTimeout as sleep } from 'node:timers/promises';
import { canaryLog } from './canary.ts';
import { type Answer, Client, type Door, type Wanted } from './client.ts';
import { Random } from './random.ts';

/** One request of an agent, and what came of it. */
export interface Exchange extends Answer {
  /** The request's User-Agent: cluster and record know the call by it. */
  readonly tag: string;
  readonly agent: string;
  readonly method: string;
  readonly target: string;
  readonly sent: Buffer;
  readonly isLive: boolean;
  /** Monotonic. */
  readonly beganMs: number;
  readonly tookMs: number;
}

const lanes = 6;
/** An agent between two calls; after a call that failed, longer. */
const maxPauseMs = 30;
const maxPauseAfterFailureMs = 240;

const maps = '/api/v1/namespaces/default/configmaps';
const secrets = '/api/v1/namespaces/default/secrets';

/** Agents at work: each lane sends one request after another, over a connection of its own. */
export class Load {
  readonly exchanges: Exchange[] = [];
  readonly #door: Door;
  /** Before the number of a tag. */
  readonly #run: string;
  readonly #stop = new AbortController();
  #sent = 0;
  #working: Promise<unknown> = Promise.resolve();

  constructor(door: Door, run: string) {
    this.#door = door;
    this.#run = run;
  }

  start(seed: number): void {
    const work = Array.from({ length: lanes }, (_, lane) => this.#work(lane, new Random(seed * lanes + lane)));
    this.#working = Promise.all(work);
  }

  /** Lets calls in hand end. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#working;
  }

  /** One more request beside those of the lanes. */
  async send(wanted: Wanted): Promise<Exchange> {
    const { port = this.#door.port } = wanted;
    const client = new Client({ ...this.#door, port }, 'h1');
    const exchange = await this.#send(client, wanted);
    client.close();
    return exchange;
  }

  /** Creates an object that nobody else does. */
  probe(): Promise<Exchange> {
    return this.send({ agent: 'writer', method: 'POST', target: maps, body: configMap(this.#name('probe'), '') });
  }

  async #work(lane: number, random: Random): Promise<void> {
    const client = new Client(this.#door, lane % 3 === 0 ? 'h2' : 'h1');
    const mine: string[] = [];
    while (!this.#stop.signal.aborted) {
      const agent = random.pick(['writer', 'builder', 'archivist']);
      const wish = random.weighted(wishes);
      const wanted = { agent, ...wish({ random, mine, name: this.#name(String(lane)) }) };
      const { status } = await this.#send(client, wanted);
      await sleep(random.below(status >= 500 || status === 0 ? maxPauseAfterFailureMs : maxPauseMs));
    }
    client.close();
  }

  async #send(client: Client, wanted: Wanted): Promise<Exchange> {
    const tag = `${this.#run}/${++this.#sent}`;
    const { agent, method, target, body = '', isLive = false } = wanted;
    const sent = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
    const beganMs = performance.now();
    const answer = await client.send(wanted, tag, sent);
    const exchange = {
      tag,
      agent,
      method,
      target,
      sent,
      isLive,
      ...answer,
      beganMs,
      tookMs: performance.now() - beganMs,
    };
    this.exchanges.push(exchange);
    return exchange;
  }

  #name(what: string): string {
    return `${this.#run.replaceAll('/', '-')}-${what}-${this.#sent}`;
  }
}

interface Lane {
  readonly random: Random;
  /** Objects that this lane has made. */
  readonly mine: string[];
  /** Of an object that nobody has made yet. */
  readonly name: string;
}

/** What agents want, with the share of each. More is deleted than made, or lists would grow from run to run. */
const wishes: readonly (readonly [share: number, wish: (lane: Lane) => Partial<Wanted> & Omit<Wanted, 'agent'>])[] = [
  [10, () => ({ method: 'GET', target: maps })],
  [8, () => ({ method: 'GET', target: secrets })],
  [6, () => ({ method: 'GET', target: '/api/v1/pods' })],
  [6, () => ({ method: 'GET', target: '/version' })],
  [5, () => ({ method: 'GET', target: `${maps}/absent` })],
  [14, (lane) => create(lane, 10 + lane.random.below(200))],
  [6, (lane) => create(lane, 20_000 + lane.random.below(150_000))],
  [5, ({ name, random }) => ({ method: 'POST', target: secrets, body: secret(name, random.text(20)) })],
  [
    10,
    ({ mine, random }) => ({
      method: 'PATCH',
      target: `${maps}/${mine.at(-1) ?? 'absent'}`,
      body: { data: { text: random.text(50) } },
      contentType: 'application/merge-patch+json',
    }),
  ],
  [24, ({ mine }) => ({ method: 'DELETE', target: `${maps}/${mine.shift() ?? 'absent'}` })],
  [5, () => ({ method: 'GET', target: canaryLog })],
  // Watches, a log that goes on, and an agent that goes away before it has its answer.
  [6, ({ random }) => ({ ...watch(maps), leaveMs: 50 + random.below(500) })],
  [3, ({ random }) => ({ ...watch(secrets), leaveMs: 50 + random.below(500) })],
  [3, ({ random }) => ({ ...follow, leaveMs: 50 + random.below(1_500) })],
  [4, ({ random }) => ({ method: 'GET', target: maps, leaveMs: random.below(20) })],
  // What is refused: by a rule, and because nobody knows who asks.
  [9, () => ({ method: 'DELETE', target: '/api/v1/namespaces/shop' })],
  [3, () => ({ agent: '', method: 'GET', target: maps })],
];

const watch = (resource: string): Omit<Wanted, 'agent'> => ({
  method: 'GET',
  target: `${resource}?watch=true&resourceVersion=1`,
  isLive: true,
});
const follow = { method: 'GET', target: `${canaryLog}?follow=true`, isLive: true } as const;

function create({ mine, name, random }: Lane, bytes: number): Omit<Wanted, 'agent'> {
  mine.push(name);
  return { method: 'POST', target: maps, body: configMap(name, random.text(bytes)) };
}

function configMap(name: string, text: string): object {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data: { text } };
}

function secret(name: string, password: string): object {
  return { apiVersion: 'v1', kind: 'Secret', metadata: { name }, stringData: { password } };
}
