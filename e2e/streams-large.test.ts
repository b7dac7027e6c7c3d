// 1 GiB out of a pod, to a reader that is slow and then quick: the same bytes at both ends and in the record, ingress no
// larger for it, and the cluster no faster than the reader.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DemoCluster } from '@sluice/demo-cluster';
import { openDemo, removeScratch, Sluice, scratch, type Upstream, until } from '@sluice/testing';
import { openEmbedded } from './faults/record.ts';
import { everyStream } from './streams.ts';

const size = 1_073_741_824;
const maxGrowthBytes = 64 * 1024 * 1024;
/** Kernel and kubectl have buffers of their own on the way. */
const maxAheadBytes = 48 * 1024 * 1024;
const slowMs = 20_000;
/** Of the record so many are read at a time. */
const partBytes = 16 * 1024 * 1024;
const slowBytesPerSecond = 100 * 1024;

const dir = scratch();
let upstream: Upstream & { readonly cluster: DemoCluster };
let sluice: Sluice;
let line: Line;
/** The call that carried it, and what its outcome says of its bytes. */
let call = '';
let recorded = '';

/** Counts what a cluster sends, as fast as it is taken. */
class Line {
  readonly #server: Server;
  bytes = 0;

  private constructor(port: number) {
    this.#server = createServer((near: Socket) => {
      const far = connect(port, '127.0.0.1');
      far.on('data', (data: Buffer) => {
        this.bytes += data.length;
      });
      far.pause();
      far.pipe(near);
      near.pipe(far);
      for (const socket of [near, far])
        socket.on('error', () => undefined).on('close', () => near.destroy() && far.destroy());
    });
  }

  static async open(port: number): Promise<Line> {
    const made = new Line(port);
    made.#server.listen(0, '127.0.0.1');
    await once(made.#server, 'listening');
    return made;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  close(): void {
    this.#server.close();
  }
}

before(async () => {
  upstream = await openDemo(dir);
  line = await Line.open(upstream.cluster.port);
  const kubeconfig = readFileSync(upstream.kubeconfig, 'utf8').replace(`:${upstream.cluster.port}`, `:${line.port}`);
  writeFileSync(upstream.kubeconfig, kubeconfig);
  sluice = await Sluice.start({
    home: join(dir, 'home'),
    flags: ['--kubeconfig', upstream.kubeconfig, '--policies', everyStream],
  });
});

after(async () => {
  await sluice?.stop();
  line?.close();
  await upstream?.close();
  removeScratch(dir);
});

function exec(...command: readonly string[]): ChildProcess & { readonly stdout: Readable } {
  const env = { ...process.env, HOME: sluice.home, KUBECONFIG: sluice.agentKubeconfig };
  const args = ['-n', 'shop', 'exec', 'toolbox', '--', ...command];
  return spawn('kubectl', args, { env, stdio: ['ignore', 'pipe', 'inherit'] });
}

function residentBytes(pid: number, name: 'VmRSS' | 'VmHWM'): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) * 1024;
}

test('a reader that pauses at the end gets all of it, over either protocol', async () => {
  // What is in the buffers on the way when the command ends; kubectl says a ping on a connection that is gone is an error.
  const pauseMs = 6_000;
  const sizes = [500_000, 2_500_000, 4_000_000];
  const read = async (size: number, protocol: 'websocket' | 'spdy'): Promise<number> => {
    const env = {
      ...process.env,
      HOME: sluice.home,
      KUBECONFIG: sluice.agentKubeconfig,
      KUBECTL_REMOTE_COMMAND_WEBSOCKETS: String(protocol === 'websocket'),
    };
    const args = ['-n', 'shop', 'exec', 'toolbox', '--', 'head', '-c', String(size), '/data/large'];
    const { stdout } = spawn('kubectl', args, { env, stdio: ['ignore', 'pipe', 'inherit'] });
    await once(stdout, 'readable');
    await sleep(pauseMs);
    let bytes = 0;
    stdout.on('data', (data: Buffer) => {
      bytes += data.length;
    });
    await finished(stdout);
    return bytes;
  };
  for (const protocol of ['websocket', 'spdy'] as const) {
    assert.deepEqual(await Promise.all(sizes.map((size) => read(size, protocol))), sizes, protocol);
  }
});

test('what is small passes, and leaves ingress warm', async () => {
  for (let times = 0; times < 3; times++) {
    const { stdout } = exec('head', '-c', '32M', '/data/large');
    let bytes = 0;
    stdout.on('data', (data: Buffer) => {
      bytes += data.length;
    });
    await finished(stdout);
    assert.equal(bytes, 32 * 1024 * 1024);
  }
});

test('1 GiB passes to a reader that is slow and then quick', async (context) => {
  const pid = sluice.state().parts['ingress'] ?? 0;
  // Linux: the peak begins anew (proc(5), clear_refs).
  writeFileSync(`/proc/${pid}/clear_refs`, '5');
  const before = residentBytes(pid, 'VmRSS');
  const sentBefore = line.bytes;
  const child = exec('cat', '/data/large');
  const { stdout } = child;
  const hash = createHash('sha256');
  let bytes = 0;
  let sentHalfWay = 0;
  for (let tick = 1; tick <= slowMs / 100; tick++) {
    await sleep(100);
    const chunk = stdout.read(Math.min(slowBytesPerSecond / 10, stdout.readableLength)) as Buffer | null;
    // Reading nothing lets the pipe be read.
    if (chunk === null || chunk.length === 0) stdout.read(0);
    else {
      bytes += chunk.length;
      hash.update(chunk);
    }
    if (tick === slowMs / 200) sentHalfWay = line.bytes;
  }
  const read = bytes;
  const sent = line.bytes - sentBefore;
  context.diagnostic(`after ${slowMs} ms: read ${read}, sent ${sent}, half way ${sentHalfWay - sentBefore}`);
  assert.ok(read > 0 && read < 2 * slowBytesPerSecond * (slowMs / 1000), 'it reads slowly');
  assert.ok(sent < read + maxAheadBytes, `the cluster has sent ${sent} bytes, and ${read} were read`);
  const later = line.bytes - sentHalfWay;
  assert.ok(later < 8 * 1024 * 1024, `the cluster has sent ${later} bytes in the second half`);

  const startedAt = performance.now();
  stdout.on('data', (data: Buffer) => {
    bytes += data.length;
    hash.update(data);
  });
  const [code] = (await once(child, 'close')) as [number];
  const seconds = (performance.now() - startedAt) / 1000;
  assert.equal(code, 0);
  assert.equal(bytes, size);
  const grown = residentBytes(pid, 'VmHWM') - before;
  context.diagnostic(`grown by ${Math.round(grown / 2 ** 20)} MiB; the quick part took ${Math.round(seconds)} s`);
  const sha256 = hash.digest('hex');
  const { log } = upstream.cluster;
  const opened = log.findLast((entry) => entry.kind === 'stream');
  const entry = await until('its end in the cluster', () =>
    log.find((one) => one.kind === 'stream-closed' && one.stream === opened?.stream),
  );
  assert.ok(entry.kind === 'stream-closed');
  assert.deepEqual(
    entry.channels.find(({ channel }) => channel === 'stdout'),
    { channel: 'stdout', bytes: size, sha256 },
  );
  assert.ok(grown < maxGrowthBytes, `ingress has grown by ${grown} bytes`);

  call = (
    await until('its outcome', async () =>
      (await sluice.calls()).find(({ command, outcome }) => command?.[0] === 'cat' && outcome !== null),
    )
  ).id;
  const sql = `SELECT toString(bytes) AS bytes, sha256 FROM channels WHERE call = '${call}' AND channel = 'stdout'`;
  const channels = await sluice.cli('sql', sql, '--format', 'json');
  assert.deepEqual(JSON.parse(channels.stdout), [{ bytes: String(size), sha256 }], channels.stderr);
  recorded = sha256;
});

test('the record has every byte of it', async () => {
  // The recorder is slower than the stream: what it has not stored lies with the broker.
  const stored = `SELECT toString(sum(size)) AS bytes FROM frames WHERE call = '${call}' AND kind = 'channel'`;
  for (let bytes = 0; bytes < size; await sleep(1_000)) {
    const { stdout } = await sluice.cli('sql', stored, '--format', 'json');
    // While so much is inserted a question may take longer than it may.
    if (stdout === '') continue;
    bytes = Number((JSON.parse(stdout) as { bytes: string }[])[0]?.bytes);
  }
  await sluice.stop();
  const client = openEmbedded(join(sluice.home, 'database'));
  const hash = createHash('sha256');
  let next = 0;
  for (let from = 0; from < size; from += partBytes) {
    const query = `SELECT toFloat64(offset) AS at, base64Encode(bytes) AS part FROM record
      WHERE call = '${call}' AND kind = 'channel' AND position(meta, '"stdout"') > 0
        AND offset >= ${from} AND offset < ${from + partBytes} ORDER BY offset`;
    const result = await client.query({ query, format: 'JSONEachRow' });
    for (const { at, part } of await result.json<{ at: number; part: string }>()) {
      assert.equal(at, next, 'a gap');
      const bytes = Buffer.from(part, 'base64');
      hash.update(bytes);
      next += bytes.length;
    }
  }
  await client.close();
  assert.equal(next, size);
  assert.equal(hash.digest('hex'), recorded);
});
