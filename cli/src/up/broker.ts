import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync, statfsSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { maxPayloadBytes, streams } from '@sluice/model';
import { ConfigError, type Part } from '@sluice/runtime';
import type { HomePaths } from '../home.ts';

/** A broker to start: how, and where its clients find it. */
export interface BrokerPlan {
  readonly part: Part;
  readonly url: string;
  readonly version: string;
}

/** Room in the store beyond the two streams, bytes: consumers' state, and frames between two compactions. */
const storeMarginBytes = 2 ** 29;

/** Plans a nats-server with JetStream on loopback, with a password only this home has. Throws `ConfigError`. */
export async function planBroker(home: HomePaths, server: string, output: string): Promise<BrokerPlan> {
  const storeBytes = Object.values(streams).reduce((sum, { maxBytes }) => sum + maxBytes, storeMarginBytes);
  // A store that can outgrow its disk hangs when the disk is full; one that cannot answers with an error.
  const { bavail, bsize } = statfsSync(home.broker);
  if (bavail * bsize < storeBytes) {
    throw new ConfigError(
      `the broker needs ${(storeBytes / 2 ** 30).toFixed(1)} GiB free in ${home.broker}; set SLUICE_HOME elsewhere`,
    );
  }
  const port = await freePort();
  const password = brokerPassword(home);
  const file = join(home.broker, 'nats.conf');
  const config = `server_name: sluice
listen: "127.0.0.1:${port}"
max_payload: ${maxPayloadBytes}
authorization { user: sluice, password: ${JSON.stringify(password)} }
jetstream { store_dir: ${JSON.stringify(join(home.broker, 'jetstream'))}, max_file_store: ${storeBytes}, max_memory_store: 0 }
`;
  writeFileSync(file, config, { mode: 0o600 });
  return {
    url: `nats://sluice:${encodeURIComponent(password)}@127.0.0.1:${port}`,
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

function brokerPassword(home: HomePaths): string {
  const file = join(home.keys, 'broker.password');
  try {
    return readFileSync(file, 'utf8');
  } catch {
    const password = randomBytes(24).toString('base64url');
    writeFileSync(file, password, { mode: 0o600 });
    return password;
  }
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
