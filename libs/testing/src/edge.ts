// A Sluice before a demo cluster whose log is the judge: what is refused never arrives there.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { DemoCluster } from '@sluice/demo-cluster';
import { ask, type Protocol, type RawAnswer, type RawRequest } from './raw.ts';
import { reasonCode, removeScratch, Sluice, scratch } from './sluice.ts';
import { openDemo, type Upstream } from './upstream.ts';

/** A request as the cluster saw it. */
export type Arrived = Extract<DemoCluster['log'][number], { kind: 'request' }>;

type DemoUpstream = Upstream & { readonly cluster: DemoCluster };

export class Edge {
  readonly sluice: Sluice;
  readonly #dir: string;
  readonly #upstream: DemoUpstream;

  private constructor(sluice: Sluice, dir: string, upstream: DemoUpstream) {
    this.sluice = sluice;
    this.#dir = dir;
    this.#upstream = upstream;
  }

  static async open(env: Readonly<Record<string, string>> = {}): Promise<Edge> {
    const dir = scratch();
    const upstream = await openDemo(dir);
    const sluice = await Sluice.start({ home: join(dir, 'home'), flags: ['--kubeconfig', upstream.kubeconfig], env });
    return new Edge(sluice, dir, upstream);
  }

  async close(): Promise<void> {
    await this.sluice.stop();
    await this.#upstream.close();
    removeScratch(this.#dir);
  }

  /** Everything that came to the cluster. */
  arrived(): Arrived[] {
    return this.#upstream.cluster.log.filter((entry): entry is Arrived => entry.kind === 'request');
  }

  /** What came to the cluster while something was done. */
  async during<T>(doing: () => Promise<T>): Promise<{ readonly came: Arrived[]; readonly result: T }> {
    const before = this.arrived().length;
    const result = await doing();
    return { came: this.arrived().slice(before), result };
  }

  /** Sluice refuses it, and the cluster sees nothing. */
  async refused(protocol: Protocol, request: RawRequest, reason = 'TargetNotCanonical'): Promise<void> {
    const { came, result } = await this.during(() => ask(this.sluice, protocol, request));
    const { method = 'GET', target, headers = [] } = request;
    assertRefused(result, `${method} ${target} ${JSON.stringify(headers)}`, reason);
    assert.deepEqual(came, []);
  }

  /** It comes to the cluster, once. */
  async passes(protocol: Protocol, request: RawRequest): Promise<Arrived> {
    const { came, result } = await this.during(() => ask(this.sluice, protocol, request));
    assert.ok(result.status >= 200 && result.status < 300, `${request.target}: ${result.status} ${result.body}`);
    assert.equal(came.length, 1);
    return came[0] as Arrived;
  }
}

/** A refusal of Sluice with a reason, or the one without a body that Node's own parsers give. */
export function assertRefused(answer: RawAnswer, what: string, reason = 'TargetNotCanonical'): void {
  if (answer.body === '') assert.ok(answer.status === 0 || answer.status === 400, `${what}: ${answer.status}`);
  else assert.equal(reasonCode({ ...answer, headers: {} }), reason, what);
}
