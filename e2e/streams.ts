// What tests of streams have in common: pods to try them on, in the demo cluster or a real one, and kubectls that run.
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { Writable } from 'node:stream';
import { type Sluice, type Upstream, within } from '@sluice/testing';

/** A container. */
export interface Place {
  readonly pod: string;
  readonly container: string;
}

export interface Stage {
  readonly namespace: string;
  /** Ticks in its log, and serves a page at port 8080. */
  readonly web: Place;
  readonly page: string;
  /** Answers each line of its stdin with `got: LINE`. */
  readonly echo: Place;
}

/** The demo cluster has its pods from the start; a real one has been given some. */
export function stageOf({ kind }: Upstream): Stage {
  const main = (pod: string): Place => ({ pod, container: 'main' });
  if (kind === 'demo')
    return { namespace: 'shop', web: main('toolbox'), page: 'hello from toolbox', echo: main('console') };
  return { namespace: 'default', web: main('web'), page: 'hello from busybox httpd', echo: main('hostnet') };
}

/** Allows every kind of stream, interactive shells and proxies too. */
export const everyStream = join(import.meta.dirname, 'policies', 'streams.yaml');

/** A kubectl of the demo agent that runs: what it has said so far, and how it ends. */
export class RunningKubectl {
  readonly stdin: Writable;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #ended: Promise<number>;
  stdout = '';
  stderr = '';

  constructor(sluice: Sluice, args: readonly string[], { program = 'kubectl', env = {} }: KubectlOptions = {}) {
    const own = { KUBECONFIG: sluice.agentKubeconfig, HOME: mkdtempSync(join(sluice.home, 'kubectl-')), ...env };
    this.#child = spawn(program, args, { env: { ...process.env, ...own } });
    this.stdin = this.#child.stdin;
    // One that has ended reads no more.
    this.stdin.on('error', () => undefined);
    this.#child.stdout.on('data', (data: Buffer) => {
      this.stdout += data.toString('latin1');
    });
    this.#child.stderr.on('data', (data: Buffer) => {
      this.stderr += data.toString('latin1');
    });
    this.#ended = once(this.#child, 'close').then(([code]) => code as number);
  }

  /** Its exit code. */
  ended(): Promise<number> {
    return within(`the end of ${this.#child.spawnargs.join(' ')}`, this.#ended);
  }

  kill(): void {
    this.#child.kill('SIGINT');
  }
}

export interface KubectlOptions {
  /** Default: the one on PATH. */
  readonly program?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** Makes a kubectl speak SPDY, as one before 1.30 does. */
export const overSpdy = { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: 'false', KUBECTL_PORT_FORWARD_WEBSOCKETS: 'false' };

export interface Program {
  readonly path: string;
  /** `1.36.4`. */
  readonly version: string;
}

/** The kubectls that SLUICE_E2E_KUBECTLS names, oldest first; without it the one on PATH. */
export function kubectls(): Program[] {
  const programs = (process.env['SLUICE_E2E_KUBECTLS'] || 'kubectl').split(delimiter).map((path): Program => {
    const { stdout, error } = spawnSync(path, ['version', '--client', '-o', 'json'], { encoding: 'utf8' });
    if (error !== undefined) throw error;
    const { clientVersion } = JSON.parse(stdout) as { clientVersion: { gitVersion: string } };
    return { path, version: clientVersion.gitVersion.replace(/^v/, '') };
  });
  return programs.toSorted((a, b) => a.version.localeCompare(b.version, 'en', { numeric: true }));
}
