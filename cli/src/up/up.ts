import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { type ApplyAnswer, type Impersonation, type PolicyFiles, subjects } from '@sluice/model';
import {
  type Broker,
  ConfigError,
  createLogger,
  credentialsFile,
  type Env,
  ensureKeys,
  integer,
  type Logger,
  names,
  openBroker,
  type Part,
  provision,
  type Running,
  storeSizes,
  supervise,
} from '@sluice/runtime';
import type { ClusterConnection } from '@sluice/runtime/cluster';
import { ensureLocalIssuer, localIssuer } from '@sluice/runtime/identity';
import { type HomePaths, makeHome, writeState } from '../home.ts';
import { createKubeconfig } from '../kubeconfig.ts';
import { askCompiler, faultLines, readPolicyFiles } from '../policy-files.ts';
import { tellApprovals } from './approval-news.ts';
import { freePort, planBroker } from './broker.ts';
import { chooseCluster, missingRights } from './cluster.ts';
import { listenControl } from './control.ts';
import { planQueue, queueHost } from './queue.ts';
import { localReviewer } from './reviewer.ts';
import { Tail } from './tail.ts';
import { takeOver } from './take-over.ts';
import { createCertificate, ensureAuthority, ensureDemoCertificates } from './tls.ts';

/** `sluice up`, with every path absolute. */
export interface UpOptions {
  readonly home: HomePaths;
  /** Root of the clone: where services and tools are. */
  readonly repository: string;
  readonly env: Env;
  /** Empty: the current context if it answers, else the demo cluster. */
  readonly kubeconfig: string;
  readonly context: string;
  readonly port: number;
  readonly policies: string;
  readonly out: NodeJS.WritableStream;
}

const demoAgent = { agent: 'demo', groups: [], ttlSeconds: 3600 } as const;
/** The demo agent's token is renewed long before it ends. */
const renewMs = 20 * 60_000;
const parentPollMs = 500;

/** Starts every part, says so, and runs until it is told to stop. Throws `ConfigError`; then nothing is left running. */
export async function up(options: UpOptions): Promise<void> {
  const stop = stopRequested();
  const local = new Local(options);
  try {
    await Promise.race([
      local.start(),
      stop.then(() => {
        throw new Stopped();
      }),
    ]);
    const why = await Promise.race([stop, local.broken]);
    options.out.write(`Stopping (${why})\n`);
    if (local.isBroken) process.exitCode = 1;
  } catch (error) {
    if (!(error instanceof Stopped)) throw error;
  } finally {
    await local.stop();
  }
}

class Stopped extends Error {}

/** The parts of a Sluice on one machine. */
class Local {
  readonly #options: UpOptions;
  #log: Logger = createLogger('up');
  /** In the order they were started; they stop in the reverse one. */
  readonly #running: Running[] = [];
  readonly #closers: (() => Promise<void>)[] = [];
  readonly broken: Promise<string>;
  #break: (why: string) => void = () => undefined;
  isBroken = false;
  #isStopping = false;
  #starting: Promise<void> = Promise.resolve();
  #port = 0;
  #connection = '';

  constructor(options: UpOptions) {
    this.#options = options;
    this.broken = new Promise((resolve) => {
      this.#break = (why) => {
        this.isBroken = true;
        resolve(why);
      };
    });
  }

  start(): Promise<void> {
    this.#starting = this.#startAll();
    return this.#starting;
  }

  async #startAll(): Promise<void> {
    const { home, port, policies, repository, kubeconfig, context } = this.#options;
    await takeOver(home);
    makeHome(home);
    this.#log = createLogger('up', this.#logFile('up'));
    const files = readPolicyFiles([policies]);
    const tiers = await identitiesOf(files);
    this.#say('policies', policies.replace(`${repository}/`, ''));

    const choice = await chooseCluster(kubeconfig, context, port);
    ensureKeys(home.keys);
    await ensureLocalIssuer(home.keys);
    await ensureAuthority(home);

    const broker = await this.#startBroker();
    const control = await openBroker(broker, 'control', this.#log, 0);
    this.#closers.push(() => control.drain());
    await this.#provision(broker);
    const cluster =
      choice.kind === 'real' ? { kubeconfig, context } : { kubeconfig: await this.#startDemo(choice.why), context: '' };
    if (choice.kind === 'real')
      this.#say('cluster', `context "${choice.connection.name}" at ${choice.connection.server.host}`);

    const base = { ...inherited(this.#options.env), ...broker, SLUICE_KEYS_DIR: home.keys };
    const database = this.#options.env['SLUICE_CLICKHOUSE_URL'];
    await this.#service('recorder', {
      ...base,
      SLUICE_DATABASE_DIR: home.database,
      SLUICE_SEALS_DIR: home.seals,
      ...(database === undefined ? {} : { SLUICE_CLICKHOUSE_URL: database }),
    });
    this.#say('recorder', database === undefined ? 'chDB, embedded' : 'ClickHouse');
    await this.#service('approval', { ...base, SLUICE_REDIS_URL: await this.#startQueue() });
    await this.#service('policy', { ...base, SLUICE_ISSUERS: localIssuer });
    this.#say('policy', await applyPolicies(control, files));
    await this.#service('masking', base);
    this.#say('masking', 'ready');
    const tls = await createCertificate(home, 'ingress');
    const ingress = await this.#service('ingress', {
      // Exec plugins of the kubeconfig may need anything that the user's own kubectl has.
      ...this.#options.env,
      ...base,
      // The queues are for the approval service alone.
      SLUICE_REDIS_URL: undefined,
      // Chosen here: an ingress that is started again must be where kubeconfigs say.
      SLUICE_PORT: String(port === 0 ? await freePort() : port),
      SLUICE_TLS_CERT: tls.cert,
      SLUICE_TLS_KEY: tls.key,
      SLUICE_KUBECONFIG: cluster.kubeconfig,
      SLUICE_CONTEXT: cluster.context,
    });
    this.#port = Number(ingress.facts['port']);
    this.#connection = String(ingress.facts['connection']);
    this.#say('ingress', `https://127.0.0.1:${this.#port}`);

    await this.#openControl(control, new Tail(() => openBroker(broker, 'control tail', this.#log, 0)));
    this.#remember();
    await this.#renewDemoAgent();
    if (choice.kind === 'real') await this.#checkRights(choice.connection, tiers);
    this.#welcome();
  }

  /** Stops what runs. A start that is still under way starts nothing more, and is waited for. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.#starting.catch(() => undefined);
    for (const close of this.#closers.reverse()) await close();
    for (const part of [...this.#running].reverse()) await part.stop();
  }

  /** Starts the broker, unless there is one; returns how its clients reach it. */
  async #startBroker(): Promise<Env> {
    const { env, home } = this.#options;
    const given = env['SLUICE_NATS_URL'];
    if (given !== undefined && given !== '') {
      this.#say('broker', new URL(given).host);
      return {
        SLUICE_NATS_URL: given,
        SLUICE_NATS_CREDS_DIR: env['SLUICE_NATS_CREDS_DIR'],
        SLUICE_NATS_CA: env['SLUICE_NATS_CA'],
      };
    }
    const server = env['SLUICE_NATS_SERVER'] || (await this.#fetch('nats-server'));
    const certificate = await createCertificate(home, 'broker');
    const plan = await planBroker(home, server, certificate, storeSizes(env), this.#logFile('broker'));
    await this.#part(plan.part);
    this.#say('broker', `nats-server ${plan.version}, JetStream in ${home.broker}`);
    return { SLUICE_NATS_URL: plan.url, SLUICE_NATS_CREDS_DIR: home.brokerKeys, SLUICE_NATS_CA: home.ca };
  }

  /** Starts Redis, unless there is one; returns its URL, with the password. */
  async #startQueue(): Promise<string> {
    const { env, home } = this.#options;
    const given = env['SLUICE_REDIS_URL'];
    if (given !== undefined && given !== '') {
      this.#say('queue', queueHost(given));
      return given;
    }
    const server = env['SLUICE_REDIS_SERVER'] || (await this.#fetch('redis-server'));
    const plan = await planQueue(home, server, this.#logFile('queue'));
    await this.#part(plan.part);
    this.#say('queue', `redis-server ${plan.version}, in ${home.queue}`);
    return plan.url;
  }

  /** Makes the streams, as the operator. Where its credentials are kept elsewhere, somebody else has made them. */
  async #provision(broker: Env): Promise<void> {
    const credentials = broker['SLUICE_NATS_CREDS_DIR'];
    if (credentials && !existsSync(credentialsFile(credentials, 'operator'))) return;
    const operator = await openBroker(broker, 'operator', this.#log, 0);
    try {
      await provision(operator, storeSizes(this.#options.env), names(this.#options.env, 'SLUICE_APPROVAL_QUEUES'));
    } finally {
      await operator.drain();
    }
  }

  /** Starts the cluster that ships with Sluice; returns its kubeconfig. */
  async #startDemo(why: string): Promise<string> {
    const { home, repository, env } = this.#options;
    await ensureDemoCertificates(home);
    await this.#part({
      name: 'demo-cluster',
      ...program(repository, 'libs/demo-cluster/src/main.ts'),
      env: {
        ...inherited(env),
        SLUICE_DEMO_DIR: home.demo,
        SLUICE_DEMO_PORT: String(await freePort()),
        SLUICE_DEMO_TOKEN: randomBytes(24).toString('base64url'),
      },
      output: this.#logFile('demo-cluster'),
      ready: 'ipc',
    });
    this.#say('cluster', `a demo cluster that ships with Sluice: simulated, in memory (${why})`);
    return join(home.demo, 'kubeconfig');
  }

  async #service(name: string, env: Env): Promise<Running> {
    const { repository } = this.#options;
    const output = this.#logFile(name);
    return this.#part({ name, ...program(repository, `services/${name}/src/main.ts`), env, output, ready: 'ipc' });
  }

  async #part(part: Part): Promise<Running> {
    if (this.#isStopping) throw new Stopped();
    const delayMs = integer(this.#options.env, 'SLUICE_RESTART_DELAY_MS', 500);
    try {
      const running = await supervise(part, delayMs, this.#log, {
        broken: (why) => this.#break(why),
        restarted: () => {
          this.#say(part.name, 'died, and was started again');
          this.#remember();
        },
      });
      this.#running.push(running);
      this.#remember();
      return running;
    } catch (error) {
      throw new ConfigError(
        `${part.name}: ${(error as Error).message} (log: ${this.#options.home.logs}/${part.name}.log)`,
      );
    }
  }

  async #openControl(broker: Broker, tail: Tail): Promise<void> {
    const { home, out } = this.#options;
    const control = await listenControl(home.controlSocket, broker, tail, await localReviewer());
    this.#closers.push(() => control.close());
    const news = tellApprovals(broker, out);
    this.#closers.push(async () => news.close());
  }

  /** The demo agent's kubeconfig, with a token that never gets old while Sluice runs. */
  async #renewDemoAgent(): Promise<void> {
    const { home } = this.#options;
    const write = async (): Promise<void> => {
      writeFileSync(home.agentKubeconfig, await createKubeconfig(home, this.#port, demoAgent), { mode: 0o600 });
    };
    await write();
    const timer = setInterval(() => {
      write().catch((error: unknown) => this.#log.error({ err: error }, 'the demo agent\u2019s token was not renewed'));
    }, renewMs);
    this.#closers.push(async () => clearInterval(timer));
  }

  async #checkRights(connection: ClusterConnection, tiers: readonly Impersonation[]): Promise<void> {
    const missing = await missingRights(connection, tiers);
    if (missing.length === 0) return;
    this.#options.out.write(
      `\nIn this cluster Sluice's identity lacks: ${missing.join(', ')}.\nCalls will be refused by the cluster until an administrator runs\n  kubectl apply -f deploy/rbac/\n\n`,
    );
  }

  #welcome(): void {
    const { home, out, repository } = this.#options;
    const kubeconfig = home.agentKubeconfig.replace(`${repository}/`, '');
    out.write(`Sluice is ready
  The demo agent's kubeconfig: ${kubeconfig}
  An agent must run under another account than Sluice: this one can read its keys.
  Try, in a second shell:
    kubectl --kubeconfig ${kubeconfig} get pods -A
    kubectl --kubeconfig ${kubeconfig} delete namespace default
    npx --no-install sluice calls list
`);
  }

  /** What it says meanwhile is shown as it comes: package lists take their time. Throws `ConfigError`. */
  async #fetch(tool: string): Promise<string> {
    const setup = join(this.#options.repository, 'tools', 'setup.mjs');
    const child = spawn(process.execPath, [setup, tool], { stdio: ['ignore', 'pipe', 'pipe'] });
    let trouble = '';
    createInterface({ input: child.stderr }).on('line', (line) => {
      if (line.startsWith('sluice: ')) trouble = line.slice('sluice: '.length);
      else this.#options.out.write(`${line}\n`);
    });
    const [path, [code]] = await Promise.all([text(child.stdout), once(child, 'close')]);
    if (code !== 0) throw new ConfigError(trouble || `${tool} is missing and could not be fetched`);
    return path.trim();
  }

  /** A part's log begins anew with each start of Sluice. */
  #logFile(name: string): string {
    const file = join(this.#options.home.logs, `${name}.log`);
    writeFileSync(file, '', { mode: 0o600 });
    return file;
  }

  #remember(): void {
    const parts = Object.fromEntries(this.#running.map((part) => [part.name, part.pid() ?? 0]));
    writeState(this.#options.home, { pid: process.pid, port: this.#port, connection: this.#connection, parts });
  }

  #say(part: string, what: string): void {
    this.#options.out.write(`  ${part.padEnd(9)} ${what}\n`);
  }
}

/** Compiles the policies before anything starts. Returns the identities they give. Throws `ConfigError`. */
async function identitiesOf(files: PolicyFiles): Promise<readonly Impersonation[]> {
  const answer = await askCompiler({ kind: 'check', ...files, issuers: [localIssuer] });
  if (answer.kind === 'faults') throw new ConfigError(faultLines(answer.faults).join('\n'));
  return answer.kind === 'compiled' ? answer.identities : [];
}

const applyDeadlineMs = 30_000;

/** Puts the policies in force; returns what to say about them. Throws `ConfigError`. */
async function applyPolicies(broker: Broker, files: PolicyFiles): Promise<string> {
  const reply = await broker.request(subjects.apply, Buffer.from(JSON.stringify(files)), applyDeadlineMs);
  const answer = JSON.parse(Buffer.from(reply).toString()) as ApplyAnswer;
  if (answer.kind === 'faults') throw new ConfigError(faultLines(answer.faults).join('\n'));
  if (answer.kind === 'failed') throw new ConfigError(answer.message);
  return `${answer.policies} policies, ${answer.rules} rules in force`;
}

/**
 * A process that rests gives most of the room for young objects back, and agents come in bursts: it would collect garbage
 * again and again until it has grown anew. MiB, of a half.
 */
const nodeOptions = ['--min-semi-space-size=16'];

function program(repository: string, file: string): { readonly command: string; readonly args: readonly string[] } {
  return { command: process.execPath, args: [...nodeOptions, join(repository, file)] };
}

/** What a part inherits: enough to find programs and for the fault experiments, and none of the user's secrets. */
function inherited(env: Env): Record<string, string> {
  const names = [
    'PATH',
    'HOME',
    'TMPDIR',
    'NODE_COMPILE_CACHE',
    'KUBECONFIG',
    'NODE_EXTRA_CA_CERTS',
    'SLUICE_APPROVAL_QUEUES',
    'SLUICE_FAILPOINTS',
    'SLUICE_LEDGER_GRACE_MS',
    'SLUICE_LEDGER_LEASE_MS',
    'SLUICE_LEDGER_HEADS_MS',
  ];
  return Object.fromEntries(names.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]]])));
}

/** Resolves with the reason when somebody wants Sluice to stop, or its parent is gone. */
function stopRequested(): Promise<string> {
  const parent = process.ppid;
  return new Promise((resolve) => {
    process.on('SIGINT', () => resolve('interrupted'));
    process.on('SIGTERM', () => resolve('terminated'));
    // npm may die without passing a signal on.
    setInterval(() => {
      if (process.ppid !== parent) resolve('the parent process is gone');
    }, parentPollMs).unref();
  });
}
