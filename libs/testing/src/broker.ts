import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { brokerConfig, brokerUsers, credentialsFile, ensureBrokerKeys, newSeed, publicNkey } from '@sluice/runtime';
import { createAuthority, createServerCertificate } from '@sluice/runtime/certificates';
import { killed, until } from './sluice.ts';

/** How a process reaches a broker. */
export type BrokerEnv = {
  readonly SLUICE_NATS_URL: string;
  readonly SLUICE_NATS_CREDS_DIR: string;
  readonly SLUICE_NATS_CA: string;
};

/**
 * A real nats-server for one test, on loopback, with JetStream in a directory of its own. It is configured as
 * `sluice up` does it, with TLS and the permissions of each role; besides, it knows `test`, who may do anything.
 */
export class TestBroker {
  readonly env: BrokerEnv;
  /** Holds its files: configuration, keys, streams. */
  readonly dir: string;
  readonly #port: number;
  #process: ChildProcess | undefined;

  private constructor(dir: string, port: number) {
    this.dir = dir;
    this.#port = port;
    this.env = {
      SLUICE_NATS_URL: `nats://127.0.0.1:${port}`,
      SLUICE_NATS_CREDS_DIR: join(dir, 'creds'),
      SLUICE_NATS_CA: join(dir, 'ca.crt'),
    };
  }

  static async start(): Promise<TestBroker> {
    const probe = createServer().listen(0, '127.0.0.1');
    await once(probe, 'listening');
    const { port } = probe.address() as AddressInfo;
    probe.close();
    await once(probe, 'close');
    const broker = new TestBroker(mkdtempSync(join(tmpdir(), 'sl-')), port);
    await broker.#configure();
    await broker.resume();
    return broker;
  }

  async #configure(): Promise<void> {
    const credentials = this.env.SLUICE_NATS_CREDS_DIR;
    ensureBrokerKeys(credentials);
    const seed = newSeed();
    writeFileSync(credentialsFile(credentials, 'test'), seed, { mode: 0o600 });
    const authority = await createAuthority('broker of a test');
    const { cert, key } = await createServerCertificate(authority);
    const files = { cert: join(this.dir, 'tls.crt'), key: join(this.dir, 'tls.key') };
    writeFileSync(this.env.SLUICE_NATS_CA, authority.cert);
    writeFileSync(files.cert, cert);
    writeFileSync(files.key, key);
    const config = brokerConfig({
      port: this.#port,
      users: `${brokerUsers(credentials)}\n    { nkey: ${publicNkey(seed)} }`,
      certificate: files,
      storeDir: this.dir,
      maxStoreBytes: 4 * 2 ** 30,
    });
    writeFileSync(join(this.dir, 'nats.conf'), config);
  }

  /** Of its process; 0 while it is down. */
  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  /** Starts it again where it was. */
  async resume(): Promise<void> {
    const server = process.env['SLUICE_NATS_SERVER'] ?? 'nats-server';
    this.#process = spawn(server, ['-c', join(this.dir, 'nats.conf')], { stdio: 'ignore' });
    await until('the broker to listen', () => {
      const socket = connect(this.#port, '127.0.0.1');
      return new Promise<boolean>((resolve) => {
        socket.once('data', () => resolve(true));
        socket.once('error', () => resolve(false));
      }).finally(() => socket.destroy());
    });
  }

  /** SIGKILL: what was acknowledged must still be there afterwards. */
  async kill(): Promise<void> {
    const server = this.#process;
    this.#process = undefined;
    if (server !== undefined) await killed(server);
  }

  async close(): Promise<void> {
    await this.kill();
    rmSync(this.dir, { recursive: true, force: true });
  }
}
