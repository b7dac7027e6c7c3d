import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, statfsSync, statSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { brokerConfig, brokerUsers, ConfigError, ensureBrokerKeys, type Part, type StoreSizes } from '@sluice/runtime';
import type { HomePaths } from '../home.ts';
import type { CertificateFiles } from './tls.ts';

/** A broker to start: how, and where its clients find it. */
export interface BrokerPlan {
  readonly part: Part;
  readonly url: string;
  readonly version: string;
}

/** Room in the store beyond the two streams of frames, bytes: other streams, consumers' state, and frames between two compactions. */
const storeMarginBytes = 2 ** 29;

/** Plans a nats-server with JetStream on loopback, which knows the roles of this home alone. Throws `ConfigError`. */
export async function planBroker(
  home: HomePaths,
  server: string,
  certificate: CertificateFiles,
  sizes: StoreSizes,
  output: string,
): Promise<BrokerPlan> {
  const storeDir = join(home.broker, 'jetstream');
  const neededBytes = sizes.calls + sizes.bytes + storeMarginBytes;
  // A store that can outgrow its disk hangs when the disk is full; one that cannot answers with an error.
  const { bavail, bsize } = statfsSync(home.broker);
  const roomBytes = bavail * bsize + bytesIn(storeDir);
  if (roomBytes < neededBytes) {
    const gibibytes = (neededBytes / 2 ** 30).toFixed(1);
    throw new ConfigError(
      `the broker needs ${gibibytes} GiB of disk in ${home.broker}; free some, or set SLUICE_HOME elsewhere`,
    );
  }
  const port = await freePort();
  const file = join(home.broker, 'nats.conf');
  ensureBrokerKeys(home.brokerKeys);
  const users = brokerUsers(home.brokerKeys);
  const config = brokerConfig({ port, users, certificate, storeDir, maxStoreBytes: roomBytes });
  writeFileSync(file, config, { mode: 0o600 });
  return {
    url: `nats://127.0.0.1:${port}`,
    version: execFileSync(server, ['--version'], { encoding: 'utf8' })
      .replace(/^nats-server: v?/, '')
      .trim(),
    part: {
      name: 'broker',
      command: server,
      args: ['-c', file],
      env: {},
      output,
      ready: () => listening(port),
    },
  };
}

/** What a directory holds, bytes; 0 when it is not there. */
function bytesIn(dir: string): number {
  if (!existsSync(dir)) return 0;
  const entries = readdirSync(dir, { recursive: true, withFileTypes: true });
  return entries.reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0);
}

/** A free port of this moment: a part that keeps it is found again after a restart. */
export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => probe.once('listening', resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

/** nats-server greets with `INFO` once it serves. */
async function listening(port: number): Promise<void> {
  for (;;) {
    const greeted = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1');
      socket.once('data', (data) => {
        socket.destroy();
        resolve(data.toString('latin1').startsWith('INFO'));
      });
      socket.once('error', () => resolve(false));
    });
    if (greeted) return;
    await sleep(50);
  }
}
