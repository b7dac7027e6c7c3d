import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { askQueueServer, type QueueServer, queueConfig, queueUrl } from '@sluice/runtime';
import { killed, until } from './sluice.ts';

/** A real redis-server for one test, on loopback, configured as `sluice up` does it. */
export class TestRedis {
  readonly password: string;
  readonly url: string;
  readonly env: { readonly SLUICE_REDIS_URL: string };
  readonly #dir: string;
  readonly #server: QueueServer;
  #process: ChildProcess | undefined;

  private constructor(dir: string, server: QueueServer) {
    this.#dir = dir;
    this.#server = server;
    this.password = server.password;
    this.url = queueUrl(server);
    this.env = { SLUICE_REDIS_URL: this.url };
  }

  static async start(): Promise<TestRedis> {
    const probe = createServer().listen(0, '127.0.0.1');
    await once(probe, 'listening');
    const { port } = probe.address() as AddressInfo;
    probe.close();
    await once(probe, 'close');
    const redis = new TestRedis(mkdtempSync(join(tmpdir(), 'sl-')), {
      port,
      password: randomBytes(12).toString('base64url'),
    });
    await redis.resume();
    return redis;
  }

  /** Of its process; 0 while it is down. */
  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  /** Starts it again where it was. */
  async resume(): Promise<void> {
    const data = join(this.#dir, 'data');
    const config = join(this.#dir, 'redis.conf');
    mkdirSync(data, { recursive: true, mode: 0o700 });
    writeFileSync(config, queueConfig(this.#server, data), { mode: 0o600 });
    const server = process.env['SLUICE_REDIS_SERVER'] ?? 'redis-server';
    this.#process = spawn(server, [config], { stdio: 'ignore' });
    await until('Redis to answer', async () => (await askQueueServer(this.#server, 'PING')) === '+PONG');
  }

  /** SIGKILL. */
  async kill(): Promise<void> {
    const server = this.#process;
    this.#process = undefined;
    if (server !== undefined) await killed(server);
  }

  /** It takes connections, and answers nothing until it is told to `thaw`. */
  freeze(): void {
    this.#process?.kill('SIGSTOP');
  }

  thaw(): void {
    this.#process?.kill('SIGCONT');
  }

  /** Everything is gone, and nobody is told. */
  async flush(): Promise<void> {
    const answer = await askQueueServer(this.#server, 'FLUSHALL');
    if (answer !== '+OK') throw new Error(`FLUSHALL: ${answer || 'no answer'}`);
  }

  /** While it is down: what it had on disk is gone. */
  loseData(): void {
    rmSync(join(this.#dir, 'data'), { recursive: true });
  }

  async close(): Promise<void> {
    await this.kill();
    rmSync(this.#dir, { recursive: true, force: true });
  }
}
