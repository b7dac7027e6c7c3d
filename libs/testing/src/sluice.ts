// A whole Sluice for a test, started as a user starts it, in a home of its own.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { type EventEmitter, once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import type { CallRow, FrameMeta, FrameRow } from '@sluice/model';
import { WebSocket } from 'ws';
import type { BrokerEnv } from './broker.ts';

export const repository = resolve(import.meta.dirname, '../../..');
const deadlineMs = 60_000;

/** What a program left behind. */
export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** An answer to a plain HTTPS request. */
export interface Answered {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

export interface SluiceOptions {
  readonly home: string;
  /** Flags of `sluice up`. */
  readonly flags: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** A directory for one test file; short, because a socket's path is. */
export function scratch(): string {
  return mkdtempSync(join(tmpdir(), 'sl-'));
}

export function removeScratch(dir: string): void {
  // Something that was killed may be writing its last.
  rmSync(dir, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
}

/** Runs a program to its end; its exit code is for the caller to judge. */
export function run(
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  input = '',
  timeoutMs = deadlineMs,
): Promise<Ended> {
  return new Promise((resolve) => {
    const options = { env, encoding: 'utf8', timeout: timeoutMs, maxBuffer: 1 << 26 } as const;
    const child = execFile(command, args, options, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 1;
      resolve({ code, stdout, stderr });
    });
    child.stdin?.end(input);
  });
}

/** Waits until `look` returns something; a generous deadline, and what was waited for in its message. */
export async function until<T>(
  what: string,
  look: () => T | Promise<T>,
): Promise<Exclude<T, undefined | null | false>> {
  for (const start = performance.now(); performance.now() - start < deadlineMs; await sleep(50)) {
    const seen = await look();
    if (seen !== undefined && seen !== null && seen !== false) return seen as Exclude<T, undefined | null | false>;
  }
  throw new Error(`waited ${deadlineMs / 1000} s for ${what}`);
}

/** An event, whatever errors there are besides: a peer that cuts a connection resets it. */
export function happens(emitter: EventEmitter, event: string): Promise<unknown> {
  return new Promise((resolve) => emitter.once(event, resolve));
}

/** What a promise gives, or an error that says what did not happen; the same generous deadline. */
export async function within<T>(what: string, promise: Promise<T>): Promise<T> {
  const late = new AbortController();
  const never = sleep(deadlineMs, undefined, { signal: late.signal }).then(() => {
    throw new Error(`waited ${deadlineMs / 1000} s for ${what}`);
  });
  never.catch(() => undefined);
  return Promise.race([promise, never]).finally(() => late.abort());
}

/** A kubectl in the hands of an agent. */
export class Kubectl {
  readonly #program: string;
  readonly #env: NodeJS.ProcessEnv;

  constructor(program: string, env: NodeJS.ProcessEnv) {
    this.#program = program;
    this.#env = env;
  }

  run(...args: readonly string[]): Promise<Ended> {
    return run(this.#program, args, this.#env);
  }

  runWith(input: string, ...args: readonly string[]): Promise<Ended> {
    return run(this.#program, args, this.#env, input);
  }

  /** kubectl, still running. */
  start(...args: readonly string[]): ChildProcess {
    return spawn(this.#program, args, { env: this.#env, stdio: ['ignore', 'pipe', 'pipe'] });
  }
}

/** Its number in `v5.channel.k8s.io`. */
const errorChannel = 3;

export class Sluice {
  readonly home: string;
  readonly process: ChildProcess;
  readonly #failpoints: string;
  output = '';

  constructor({ home, flags, env }: SluiceOptions) {
    this.home = home;
    this.#failpoints = join(home, 'failpoints');
    mkdirSync(this.#failpoints, { recursive: true });
    this.process = spawn(join(repository, 'cli', 'bin', 'sluice'), ['up', '--port', '0', ...flags], {
      env: { ...process.env, SLUICE_HOME: home, SLUICE_FAILPOINTS: this.#failpoints, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream?.on('data', (data: Buffer) => {
        this.output += data.toString();
      });
    }
  }

  /** Starts a Sluice and waits until it says that it is ready. */
  static async start(options: SluiceOptions): Promise<Sluice> {
    const sluice = new Sluice(options);
    await until('Sluice is ready', () => {
      if (sluice.process.exitCode !== null) throw new Error(`sluice up ended: ${sluice.output}`);
      return /^Sluice is ready$/m.test(sluice.output);
    });
    return sluice;
  }

  /** SIGTERM; resolves with the exit code. */
  async stop(): Promise<number | null> {
    if (this.process.exitCode === null) {
      this.process.kill('SIGTERM');
      await once(this.process, 'exit');
    }
    return this.process.exitCode;
  }

  get agentKubeconfig(): string {
    return join(this.home, 'agent.kubeconfig');
  }

  /** The kubectl on PATH, as the demo agent. */
  kubectl(...args: readonly string[]): Promise<Ended> {
    return new Kubectl('kubectl', this.#env()).run(...args);
  }

  /** The same, still running. */
  kubectlLive(...args: readonly string[]): ChildProcess {
    return new Kubectl('kubectl', this.#env()).start(...args);
  }

  /** Another kubectl, as the demo agent. It has a home of its own: what it knows of the cluster it asked for itself. */
  withKubectl(program: string): Kubectl {
    return new Kubectl(program, { ...this.#env(), HOME: mkdtempSync(join(this.home, 'kubectl-')) });
  }

  /** The CLI, from the outside. */
  cli(...args: readonly string[]): Promise<Ended> {
    return run(join(repository, 'cli', 'bin', 'sluice'), args, this.#env());
  }

  async calls(...flags: readonly string[]): Promise<CallRow[]> {
    const { stdout, stderr } = await this.cli('calls', 'list', '--limit', '1000', '--json', ...flags);
    if (stdout === '') throw new Error(stderr);
    return JSON.parse(stdout) as CallRow[];
  }

  async frames(call: string): Promise<(Omit<FrameRow, 'meta'> & { meta: FrameMeta[keyof FrameMeta] })[]> {
    const { stdout, stderr } = await this.cli('replay', call, '--json');
    if (stdout === '') throw new Error(stderr);
    return JSON.parse(stdout) as (Omit<FrameRow, 'meta'> & { meta: FrameMeta[keyof FrameMeta] })[];
  }

  /** One request as the demo agent, on a connection of its own. */
  async call(
    method: string,
    path: string,
    body = '',
    headers: Readonly<Record<string, string>> = {},
    { port }: { readonly port: number } = this.state(),
  ): Promise<Answered> {
    const ca = readFileSync(join(this.home, 'tls', 'ca.crt'));
    return new Promise((resolve, reject) => {
      const outgoing = request({
        host: '127.0.0.1',
        port,
        ca,
        method,
        path,
        agent: false,
        headers: {
          authorization: `Bearer ${this.token()}`,
          ...(body === ''
            ? {}
            : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)) }),
          ...headers,
        },
      });
      outgoing.on('error', reject);
      outgoing.on('response', (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const answered = { status: response.statusCode ?? 0, headers: response.headers };
          resolve({ ...answered, body: Buffer.concat(chunks).toString() });
        });
      });
      outgoing.end(body);
    });
  }

  /**
   * An exec as the demo agent, over WebSocket, to its end. `body`: the `Status` of its error channel; `output`: all else. The
   * status is that of the refusal, where Sluice refused it.
   */
  async exec(path: string): Promise<Answered & { readonly output: string }> {
    const ca = readFileSync(join(this.home, 'tls', 'ca.crt'));
    const socket = new WebSocket(`wss://127.0.0.1:${this.state().port}${path}`, ['v5.channel.k8s.io'], {
      ca,
      headers: { authorization: `Bearer ${this.token()}` },
    });
    let [output, body] = ['', ''];
    socket.on('message', (data: Buffer) => {
      if (data[0] === errorChannel) body += data.toString('utf8', 1);
      else output += data.toString('utf8', 1);
    });
    await once(socket, 'close');
    const isRefused = body.includes('SluiceReasonCode');
    return { status: isRefused ? 403 : 101, headers: {}, body, output };
  }

  /** A TLS connection to ingress, for what no client library would send. */
  async socket(alpn: 'http/1.1' | 'h2' = 'http/1.1'): Promise<TLSSocket> {
    const ca = readFileSync(join(this.home, 'tls', 'ca.crt'));
    const socket = connectTls({ host: '127.0.0.1', port: this.state().port, ca, ALPNProtocols: [alpn] });
    await once(socket, 'secureConnect');
    return socket;
  }

  token(): string {
    return /token: (\S+)/.exec(readFileSync(this.agentKubeconfig, 'utf8'))?.[1] ?? '';
  }

  state(): { readonly port: number; readonly parts: Readonly<Record<string, number>> } {
    return JSON.parse(readFileSync(join(this.home, 'state.json'), 'utf8')) as ReturnType<Sluice['state']>;
  }

  /** How to reach the broker that it has started. */
  brokerEnv(): BrokerEnv {
    const config = readFileSync(join(this.home, 'broker', 'nats.conf'), 'utf8');
    return {
      SLUICE_NATS_URL: `nats://${/listen: "([^"]+)"/.exec(config)?.[1] ?? ''}`,
      SLUICE_NATS_CREDS_DIR: join(this.home, 'keys', 'nats'),
      SLUICE_NATS_CA: join(this.home, 'tls', 'ca.crt'),
    };
  }

  /** SIGKILL to a part, and the end of its process. */
  async kill(part: string): Promise<void> {
    const pid = this.state().parts[part] ?? 0;
    process.kill(pid, 'SIGKILL');
    await until(`the end of ${part}`, () => !isAlive(pid));
  }

  /** Stops the next call at a point of its life. */
  arm(point: string): { reached(): Promise<void>; release(): void } {
    const file = (state: string): string => join(this.#failpoints, `${point}.${state}`);
    rmSync(file('reached'), { force: true });
    writeFileSync(file('armed'), '');
    return {
      reached: async () => {
        await until(`a call at ${point}`, () => existsSync(file('reached')));
      },
      release: () => rmSync(file('armed'), { force: true }),
    };
  }

  #env(): NodeJS.ProcessEnv {
    return { ...process.env, SLUICE_HOME: this.home, KUBECONFIG: this.agentKubeconfig, HOME: this.home };
  }
}

/** Ends a child by SIGKILL; resolves when it is gone. */
export async function killed(child: ChildProcess): Promise<void> {
  // One that ended by itself tells nobody again.
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

/** Whether a process runs. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    // A killed child stays as a zombie until its parent has looked.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

/** The reason code in a refusal. */
export function reasonCode(answered: Answered): string {
  const status = JSON.parse(answered.body) as { details?: { causes?: { reason: string; message: string }[] } };
  return status.details?.causes?.find(({ reason }) => reason === 'SluiceReasonCode')?.message ?? '';
}
