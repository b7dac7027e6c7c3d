import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Where a local Sluice keeps its state: `SLUICE_HOME`. */
export interface HomePaths {
  readonly root: string;
  /** Keys, 0600 in a directory 0700. */
  readonly keys: string;
  /** Credentials for the broker, one file per role. */
  readonly brokerKeys: string;
  /** Certificates, public. */
  readonly certificates: string;
  readonly ca: string;
  readonly broker: string;
  /** The configuration of Redis, 0600, and its data. */
  readonly queue: string;
  readonly database: string;
  /** The ClickHouse server that holds the record; empty: `database` does. */
  readonly clickhouseUrl: string;
  readonly logs: string;
  /** The second home of seals; it may be elsewhere. */
  readonly seals: string;
  readonly demo: string;
  readonly agentKubeconfig: string;
  /** HTTP on a Unix socket, 0600: how the CLI reaches a running Sluice. */
  readonly controlSocket: string;
  readonly state: string;
}

export function homePaths(root: string, clickhouseUrl = '', seals = ''): HomePaths {
  return {
    root,
    keys: join(root, 'keys'),
    brokerKeys: join(root, 'keys', 'nats'),
    certificates: join(root, 'tls'),
    ca: join(root, 'tls', 'ca.crt'),
    broker: join(root, 'broker'),
    queue: join(root, 'queue'),
    database: join(root, 'database'),
    clickhouseUrl,
    logs: join(root, 'log'),
    seals: seals || join(root, 'seals'),
    demo: join(root, 'demo'),
    agentKubeconfig: join(root, 'agent.kubeconfig'),
    controlSocket: join(root, 'control.sock'),
    state: join(root, 'state.json'),
  };
}

/** Makes the directories; the home itself is its owner's alone. */
export function makeHome(home: HomePaths): void {
  mkdirSync(home.root, { recursive: true, mode: 0o700 });
  for (const dir of [home.keys, home.certificates, home.broker, home.queue, home.database, home.logs, home.demo]) {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
  }
}

/** What `sluice up` leaves for other commands, and for the next `sluice up` after a crash. */
export interface State {
  /** Of `sluice up`. */
  readonly pid: number;
  readonly port: number;
  readonly connection: string;
  /** Processes by part. */
  readonly parts: Readonly<Record<string, number>>;
}

/** The state of the Sluice that runs or ran here, or `null`. */
export function readState(home: HomePaths): State | null {
  try {
    return JSON.parse(readFileSync(home.state, 'utf8')) as State;
  } catch {
    return null;
  }
}

/** All at once: whoever reads it meanwhile gets the state before or this one. */
export function writeState(home: HomePaths, state: State): void {
  const next = `${home.state}.next`;
  writeFileSync(next, `${JSON.stringify(state, null, 2)}\n`, { mode: 0o600 });
  renameSync(next, home.state);
}
