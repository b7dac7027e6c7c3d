import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { maxPayloadBytes } from '@sluice/model';
import { until } from './sluice.ts';

/** A real nats-server for one test, on loopback, with JetStream in a directory of its own. */
export class TestBroker {
  readonly #dir = mkdtempSync(join(tmpdir(), 'sl-'));
  readonly #port: number;
  #process: ChildProcess | undefined;

  private constructor(port: number) {
    this.#port = port;
    const config = `listen: "127.0.0.1:${port}"
max_payload: ${maxPayloadBytes}
authorization { user: test, password: test }
jetstream { store_dir: "${this.#dir}", max_file_store: 4G }
`;
    writeFileSync(join(this.#dir, 'nats.conf'), config);
  }

  static async start(): Promise<TestBroker> {
    const probe = createServer().listen(0, '127.0.0.1');
    await once(probe, 'listening');
    const { port } = probe.address() as AddressInfo;
    probe.close();
    await once(probe, 'close');
    const broker = new TestBroker(port);
    await broker.resume();
    return broker;
  }

  /** Environment of a process that uses it. */
  get env(): { readonly SLUICE_NATS_URL: string } {
    return { SLUICE_NATS_URL: `nats://test:test@127.0.0.1:${this.#port}` };
  }

  /** Starts it again where it was. */
  async resume(): Promise<void> {
    const server = process.env['SLUICE_NATS_SERVER'] ?? 'nats-server';
    this.#process = spawn(server, ['-c', join(this.#dir, 'nats.conf')], { stdio: 'ignore' });
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
    // One that ended by itself tells nobody again.
    if (server === undefined || server.exitCode !== null || server.signalCode !== null) return;
    const gone = once(server, 'exit');
    server.kill('SIGKILL');
    await gone;
  }

  async close(): Promise<void> {
    await this.kill();
    rmSync(this.#dir, { recursive: true, force: true });
  }
}
