// A Sluice to be broken, with a cluster behind it and agents before it whose logs say what really happened.
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { jetstreamManager } from '@nats-io/jetstream';
import type { DemoCluster } from '@sluice/demo-cluster';
import {
  type ApprovalEvent,
  type ApprovalRow,
  approvals,
  decodeWithBody,
  type RecordsAnswer,
  type RecordsQuestion,
  type ReviewAnswer,
  type Reviewer,
  type ReviewQuestion,
  type StreamKey,
  streams,
  subjects,
} from '@sluice/model';
import {
  askQueueServer,
  type Broker,
  createLogger,
  credentialsFile,
  newSeed,
  openBroker,
  publicNkey,
} from '@sluice/runtime';
import { mintToken } from '@sluice/runtime/identity';
import {
  type Arrived,
  type ExtraService,
  environmentOf,
  happens,
  isAlive,
  openDemo,
  removeScratch,
  repository,
  type ServiceName,
  Sluice,
  scratch,
  startService,
  type Upstream,
  until,
} from '@sluice/testing';
import { TestClickHouse } from '@sluice/testing/clickhouse';
import { filesOf, looks, planted, plants } from './canary.ts';
import type { Door, Wanted } from './client.ts';
import { Load } from './load.ts';
import { readRecord, readTables } from './record.ts';
import type { Evidence, Violation } from './verifier.ts';

/** `embedded`: chDB in the recorder. `server`: a ClickHouse server that fails as it is told. */
export type DatabaseKind = 'embedded' | 'server';

/** What a world leaves behind. */
export interface Remains {
  readonly evidence: Evidence;
  /** Of its processes, not of its record. */
  readonly violations: readonly Violation[];
}

const agents = ['writer', 'builder', 'archivist'];
/** Agents who may change nothing without a reviewer. */
export const askers = ['asker-0', 'asker-1', 'asker-2'] as const;
const tokenSeconds = 3_600;
/** So long after the last fault everything has to be recorded, and every call has its end. */
const settleMs = 60_000;
/** A question that was on its way to a recorder that died is lost, and asked again after this. */
const askMs = 5_000;
/** A writer that is dead for so long is taken for dead, so that no run waits half a minute for it. */
const shortLeaseMs = 3_000;
const graceMs = 5_000;
/** Longer than it takes to close the ledger of a writer that is dead. */
const closingMs = 3_000;
/** File descriptors that come and go in an ingress at rest. */
const spareDescriptors = 64;
/** What an ingress may hold in memory after a load. */
const residentBudgetBytes = 400 * 2 ** 20;

const policies = `apiVersion: sluice.internal/v1alpha1
kind: AccessPolicy
metadata: { name: faults }
spec:
  subjects: [{ group: faults }, { agent: demo }]
  obligations:
    impersonate: { user: "sluice:tier:demo", groups: ["sluice:demo"] }
  rules:
    - { name: hands-off, effect: deny, verbs: [delete], resources: [namespaces], reason: "Namespaces stay." }
    - { name: look, effect: allow, verbs: [get, list, watch], resources: ["*", pods/log] }
    - { name: change, effect: allow, verbs: [create, update, patch, delete], resources: [configmaps, secrets, pods] }
    - { name: discovery, effect: allow, verbs: [get], nonResourceURLs: ["/version"] }
---
apiVersion: sluice.internal/v1alpha1
kind: AccessPolicy
metadata: { name: faults-in-full }
spec:
  subjects: [{ group: faults/full }]
  obligations:
    impersonate: { user: "sluice:tier:demo", groups: ["sluice:demo"] }
    record: full
  rules:
    - { name: look, effect: allow, verbs: [get, list, watch], resources: ["*", pods/log] }
---
apiVersion: sluice.internal/v1alpha1
kind: AccessPolicy
metadata: { name: faults-asking }
spec:
  subjects: [{ group: faults/asking }]
  obligations:
    impersonate: { user: "sluice:tier:demo", groups: ["sluice:demo"] }
  rules:
    - name: held
      effect: ask
      verbs: ["*"]
      resources: ["*"]
      namespaces: [held]
      approval: { hold: 20s, expires: 30s }
    - name: parked
      effect: ask
      verbs: ["*"]
      resources: ["*"]
      namespaces: [parked]
      approval: { hold: 0s, expires: 10s }
`;

export class World {
  readonly sluice: Sluice;
  readonly cluster: DemoCluster;
  /** A connection to the broker that may do everything. */
  readonly broker: Broker;
  /** Only with a `server`. */
  readonly database: TestClickHouse | undefined;
  readonly #dir: string;
  readonly #upstream: Upstream;
  readonly #door: Door;
  readonly #loads: Load[] = [];
  readonly #peers: ExtraService[] = [];
  readonly #openedMs = Date.now();
  readonly #restingDescriptors: number;

  private constructor(
    dir: string,
    upstream: Upstream & { readonly cluster: DemoCluster },
    sluice: Sluice,
    door: Door,
    broker: Broker,
    database: TestClickHouse | undefined,
  ) {
    this.#dir = dir;
    this.#upstream = upstream;
    this.cluster = upstream.cluster;
    this.sluice = sluice;
    this.#door = door;
    this.broker = broker;
    this.database = database;
    this.#restingDescriptors = this.#descriptors();
  }

  /** `leaseMs`: how long a writer holds its ledger without a word to the broker. */
  static async open(kind: DatabaseKind, leaseMs = shortLeaseMs): Promise<World> {
    const dir = scratch();
    const home = join(dir, 'home');
    const policyDir = join(dir, 'policies');
    mkdirSync(policyDir);
    writeFileSync(join(policyDir, 'faults.yaml'), policies);
    const upstream = await openDemo(dir);
    const database = kind === 'server' ? await TestClickHouse.start(join(dir, 'database')) : undefined;
    const port = await freePort();
    const seed = newSeed();
    const sluice = await Sluice.start({
      home,
      flags: ['--port', String(port), '--kubeconfig', upstream.kubeconfig, '--policies', policyDir],
      env: {
        SLUICE_NATS_SERVER: serverWithUser(dir, publicNkey(seed)),
        SLUICE_RESTART_DELAY_MS: '50',
        SLUICE_LEDGER_LEASE_MS: String(leaseMs),
        SLUICE_LEDGER_GRACE_MS: String(graceMs),
        ...database?.env,
      },
    });
    const keys = join(home, 'keys');
    const tokens: Record<string, string> = {};
    for (const agent of agents) {
      const groups = agent === 'archivist' ? ['faults', 'faults/full'] : ['faults'];
      tokens[agent] = await mintToken(keys, { agent, groups, ttlSeconds: tokenSeconds });
    }
    for (const agent of askers) {
      tokens[agent] = await mintToken(keys, { agent, groups: ['faults/asking'], ttlSeconds: tokenSeconds });
    }
    const env = { ...sluice.brokerEnv(), SLUICE_NATS_CREDS_DIR: dir };
    writeFileSync(credentialsFile(dir, 'faults'), seed, { mode: 0o600 });
    const broker = await openBroker(env, 'faults', createLogger('faults', '/dev/null'));
    const world = new World(dir, upstream, sluice, { port, home, tokens }, broker, database);
    const [failed] = await world.#sendAll('faults/plant/0', plants);
    if (failed !== undefined) throw new Error(failed);
    return world;
  }

  /** A load whose exchanges the verifier sees. `run` begins the tags of its requests; `port`: of another ingress. */
  load(run: string, port = this.#door.port): Load {
    const load = new Load({ ...this.#door, port }, run);
    this.#loads.push(load);
    return load;
  }

  pid(part: string): number {
    return this.sluice.state().parts[part] ?? 0;
  }

  /** Ends a part, which its supervisor starts again. Returns when the signal was sent: milliseconds, monotonic. */
  async kill(part: string, signal: NodeJS.Signals): Promise<number> {
    const pid = this.pid(part);
    const sentMs = performance.now();
    process.kill(pid, signal);
    await until(`the end of ${part}`, () => !isAlive(pid));
    return sentMs;
  }

  /** Stops a part where it is; returns how to let it go on. */
  freeze(part: string): () => void {
    const pid = this.pid(part);
    process.kill(pid, 'SIGSTOP');
    return () => void process.kill(pid, 'SIGCONT');
  }

  /** Another process of a service, with the environment of the one that runs and what is changed in it. */
  async peer(name: ServiceName, env: Readonly<Record<string, string>> = {}): Promise<ExtraService> {
    const output = join(this.sluice.home, 'log', `${name}-peer.log`);
    const peer = await startService(name, { ...environmentOf(this.pid(name)), ...env }, output);
    this.#peers.push(peer);
    return peer;
  }

  /** All approvals there are. */
  async approvals(): Promise<readonly ApprovalRow[]> {
    const answer = await this.#review({ kind: 'list', limit: 1_000 });
    return answer.kind === 'list' ? answer.approvals : [];
  }

  /** The kind of the last event in the log of an approval. */
  async lastEvent(approval: string): Promise<ApprovalEvent['kind'] | undefined> {
    const manager = await jetstreamManager(this.broker.nats);
    const last = await manager.streams.getMessage(approvals.stream, { last_by_subj: approvals.of(approval) });
    return last === null ? undefined : decodeWithBody<ApprovalEvent>(last.data).head.kind;
  }

  vote(approval: string, vote: 'approve' | 'deny', reviewer: Reviewer): Promise<ReviewAnswer> {
    return this.#review({ kind: 'vote', approval, vote, reviewer, reason: '', more: 0 });
  }

  /** Asks the approval service as people do, again while it is on its way back. */
  #review(question: ReviewQuestion): Promise<ReviewAnswer> {
    const asked = Buffer.from(JSON.stringify(question));
    return until('the approval service to answer', async () => {
      const answer = await this.broker.request(subjects.approvalReview, asked, askMs).catch(() => null);
      return answer && (JSON.parse(Buffer.from(answer).toString()) as ReviewAnswer);
    });
  }

  /** Everything that the queues held is gone, and nobody is told. */
  async flushQueues(): Promise<void> {
    const config = readFileSync(join(this.sluice.home, 'queue', 'redis.conf'), 'utf8');
    const port = Number(/^port (\d+)$/m.exec(config)?.[1]);
    const password = /^requirepass (\S+)$/m.exec(config)?.[1] ?? '';
    const answer = await askQueueServer({ port, password }, 'FLUSHALL');
    if (answer !== '+OK') throw new Error(`FLUSHALL: ${answer || 'no answer'}`);
  }

  /** Remembers what the queues have on disk; what it returns kills their server, and brings it back with that. */
  rememberQueues(): () => Promise<void> {
    const [data, kept] = ['appendonlydir', 'remembered'].map((name) => join(this.sluice.home, 'queue', name)) as [
      string,
      string,
    ];
    rmSync(kept, { recursive: true, force: true });
    cpSync(data, kept, { recursive: true });
    return async () => {
      rmSync(data, { recursive: true });
      renameSync(kept, data);
      await this.kill('queue', 'SIGKILL');
    };
  }

  /** Kills the queues' server; it comes back with nothing. */
  async loseQueues(): Promise<void> {
    rmSync(join(this.sluice.home, 'queue', 'appendonlydir'), { recursive: true });
    await this.kill('queue', 'SIGKILL');
  }

  /** Waits until changes go through. Milliseconds since `sinceMs`. */
  async takesChanges(load: Load, sinceMs: number): Promise<number> {
    await until('a change to go through', async () => (await load.probe()).status === 201);
    return performance.now() - sinceMs;
  }

  /** Waits until changes go through, and the recorder answers. Milliseconds since `sinceMs`. */
  async healed(load: Load, sinceMs: number): Promise<number> {
    await this.takesChanges(load, sinceMs);
    await until('the recorder to answer', async () => (await this.#ask({ kind: 'calls', limit: 1 })) !== undefined);
    return performance.now() - sinceMs;
  }

  /** Leaves a stream no more room than `spareBytes`. Returns how to give it back. */
  async shrink(stream: StreamKey, spareBytes: number): Promise<() => Promise<void>> {
    const { name } = streams[stream];
    const manager = await jetstreamManager(this.broker.nats);
    const { config, state } = await manager.streams.info(name);
    await manager.streams.update(name, { max_bytes: state.bytes + spareBytes });
    return async () => {
      await manager.streams.update(name, { max_bytes: config.max_bytes });
    };
  }

  residentBytes(part: string): number {
    const status = readFileSync(`/proc/${this.pid(part)}/status`, 'utf8');
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024;
  }

  /** Frames that the broker holds. */
  async held(stream: StreamKey): Promise<number> {
    const info = await this.broker.request(`$JS.API.STREAM.INFO.${streams[stream].name}`, new Uint8Array(0), 2_000);
    const { state } = JSON.parse(Buffer.from(info).toString()) as { readonly state: { readonly messages: number } };
    return state.messages;
  }

  /** Lets everything come to rest, stops Sluice, and reads what there is to read. */
  async close(): Promise<Remains> {
    for (const peer of this.#peers) await peer.stop();
    const { files, unseen } = await this.#look();
    const violations = [...unseen, ...(await this.#settle())];
    await this.broker.nats.close();
    const code = await this.sluice.stop();
    if (code !== 0) violations.push(leak('sluice up', `it ended with ${code}`));
    const arrived = this.cluster.log.filter((entry): entry is Arrived => entry.kind === 'request');
    const record =
      this.database === undefined
        ? await readRecord(join(this.sluice.home, 'database'))
        : await readTables(this.database.client);
    await this.database?.close();
    await this.#upstream.close();
    removeScratch(this.#dir);
    const exchanges = this.#loads.flatMap((load) => load.exchanges);
    // What Sluice itself asks as it starts is no call.
    const calls = arrived.filter(({ auditId }) => auditId !== '');
    return { violations, evidence: { ...record, exchanges, arrived: calls, files, planted } };
  }

  /** How often a part's log has this text. */
  logged(part: string, text: string): number {
    return readFileSync(join(this.sluice.home, 'log', `${part}.log`), 'utf8').split(text).length - 1;
  }

  /** Reads what was planted while nobody takes frames out of the broker, so that its files have them. */
  async #look(): Promise<{ readonly files: Evidence['files']; readonly unseen: Violation[] }> {
    const thaw = this.freeze('recorder');
    const failed = await this.#sendAll('faults/look/0', looks);
    const files = filesOf(this.sluice.home);
    thaw();
    return {
      files,
      unseen: failed.map((what) => ({
        invariant: 'I6',
        place: 'all answers',
        tag: '',
        what: `not looked at: ${what}`,
      })),
    };
  }

  /** Sends one after another; returns those that were refused, each as a sentence. */
  async #sendAll(run: string, all: readonly Wanted[]): Promise<string[]> {
    const load = this.load(run);
    const failed: string[] = [];
    for (const wanted of all) {
      const { status, method, target, received } = await load.send(wanted);
      if (status < 200 || status >= 300) failed.push(`${method} ${target}: ${status} ${received.toString()}`);
    }
    return failed;
  }

  async #settle(): Promise<Violation[]> {
    const deadline = performance.now() + settleMs;
    while (performance.now() < deadline) {
      const held = await Promise.all([this.held('calls'), this.held('bytes')]).catch(() => [1]);
      if (held.every((frames) => frames === 0) && (await this.#openCalls()) === 0) break;
      await sleep(200);
    }
    // What is missing is named when its writer is taken for dead, and that may not have lost a call's end.
    if (await this.#hasGaps()) await sleep(graceMs + closingMs);
    const found: Violation[] = [];
    const descriptors = this.#descriptors();
    if (descriptors > this.#restingDescriptors + spareDescriptors) {
      found.push(leak('ingress', `${descriptors} file descriptors at rest, ${this.#restingDescriptors} at first`));
    }
    const resident = this.residentBytes('ingress');
    if (resident > residentBudgetBytes) found.push(leak('ingress', `${resident} bytes resident at rest`));
    return found;
  }

  async #hasGaps(): Promise<boolean> {
    const answer = await this.#ask({ kind: 'ledgers' });
    return answer?.kind === 'ledgers' && answer.ledgers.some(({ rows, first, last }) => rows < last - first + 1);
  }

  /** Calls of this world without an outcome. */
  async #openCalls(): Promise<number> {
    let open = 0;
    let before: string | undefined;
    for (;;) {
      const answer = await this.#ask({
        kind: 'calls',
        sinceMs: this.#openedMs,
        limit: 1_000,
        ...(before === undefined ? {} : { before }),
      });
      if (answer?.kind !== 'calls') return Number.POSITIVE_INFINITY;
      open += answer.calls.filter(({ outcome }) => outcome === null).length;
      const last = answer.calls.at(-1)?.id;
      if (answer.calls.length < 1_000 || last === before) return open;
      before = last;
    }
  }

  /** Asks the recorder; `undefined` when it does not answer. */
  async #ask(question: RecordsQuestion): Promise<RecordsAnswer | undefined> {
    const outgoing = request({
      socketPath: join(this.sluice.home, 'control.sock'),
      path: '/v1/records',
      method: 'POST',
      signal: AbortSignal.timeout(askMs),
    });
    outgoing.end(JSON.stringify(question));
    try {
      const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
      const answered = await buffer(response);
      return response.statusCode === 200 ? (JSON.parse(answered.toString()) as RecordsAnswer) : undefined;
    } catch {
      return undefined;
    }
  }

  /** Of ingress; 0 when it is gone. */
  #descriptors(): number {
    const dir = `/proc/${this.pid('ingress')}/fd`;
    return existsSync(dir) ? readdirSync(dir).length : 0;
  }
}

function leak(name: string, what: string): Violation {
  return { invariant: 'I7', place: `process ${name}`, tag: '', what };
}

/**
 * A nats-server that knows one user more than it is told: with the experiments' nkey, who may do everything. What
 * Sluice configures stays as it is.
 */
function serverWithUser(dir: string, nkey: string): string {
  const file = join(dir, 'nats-server');
  const script = `#!/bin/sh
if [ "$1" = -c ]; then
  sed 's/^  users: \\[/&\\n    { nkey: ${nkey} }/' "$2" > "$2.faults"
  set -- -c "$2.faults"
fi
exec '${process.env['SLUICE_NATS_SERVER'] ?? 'nats-server'}' "$@"
`;
  writeFileSync(file, script, { mode: 0o755 });
  return file;
}

/** A port of this moment: an ingress that was killed comes back to it. */
async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await happens(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await happens(probe, 'close');
  return port;
}

/** The commit of this tree; empty where it is a copy without one. */
export function commit(): string {
  try {
    return execFileSync('git', ['rev-parse', 'HEAD'], { cwd: repository, encoding: 'utf8', stdio: 'pipe' }).trim();
  } catch {
    return '';
  }
}

/** What the runs were made with. */
export function versions(): Readonly<Record<string, string>> {
  const said = (command: string, ...args: string[]): string => execFileSync(command, args, { encoding: 'utf8' }).trim();
  return {
    node: process.version,
    broker: said(process.env['SLUICE_NATS_SERVER'] ?? 'nats-server', '--version').replace(/^nats-server: /, ''),
  };
}
