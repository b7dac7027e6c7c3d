// What a call through Sluice costs, side by side with what Sluice stands between.
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createAuthority, createServerCertificate } from '@sluice/runtime/certificates';
import { Sluice, TestBroker } from '@sluice/testing';
import type { Load, LoadResult } from './load.ts';
import {
  byProcess,
  CpuMeter,
  Processes,
  printTable,
  quantile,
  repository,
  round,
  type Started,
  save,
} from './processes.ts';

const path = '/api/v1/namespaces/shop/configmaps/web';
const rounds = Number(process.env['SLUICE_BENCH_ROUNDS'] ?? 4);
const durationMs = Number(process.env['SLUICE_BENCH_MS'] ?? 4_000);
/** Before anything is measured each row has so much load: a service runs for weeks, and its code is compiled once. */
const warmUpMs = 6_000;

/** A way to the upstream, and the processes whose work it costs. */
interface Row {
  readonly name: string;
  readonly url: string;
  readonly ca: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly pids: Readonly<Record<string, number>>;
}

interface Measured {
  readonly row: string;
  readonly connections: number;
  readonly callsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** CPU of each process per call, microseconds. */
  readonly cpuMicros: Readonly<Record<string, number>>;
  readonly failed: number;
}

/** Prints the table of the ways to the upstream. */
export async function measureGate(): Promise<void> {
  const processes = new Processes();
  const dir = mkdtempSync(join(tmpdir(), 'sl-'));
  let sluice: Sluice | undefined;
  let broker: TestBroker | undefined;
  try {
    const authority = await createAuthority('bench');
    const { cert, key } = await createServerCertificate(authority);
    const files = { ca: join(dir, 'ca.crt'), cert: join(dir, 'tls.crt'), key: join(dir, 'tls.key') };
    for (const [name, text] of [
      ['ca', authority.cert],
      ['cert', cert],
      ['key', key],
    ] as const)
      writeFileSync(files[name], text);

    const upstream = await processes.start('libs/demo-cluster/src/main.ts', [], { SLUICE_DEMO_DIR: dir });
    const kubeconfig = join(dir, 'kubeconfig');
    const token = /token: (\S+)/.exec(readFileSync(kubeconfig, 'utf8'))?.[1] ?? '';
    const bearer = { authorization: `Bearer ${token}` };
    const upstreamPort = String(upstream.port);

    // As users have it: a test's Sluice looks for a file at every point where an experiment could stop it.
    const env = { SLUICE_FAILPOINTS: '' };
    sluice = await Sluice.start({ home: join(dir, 'home'), flags: ['--kubeconfig', kubeconfig], env });
    // Configured as Sluice's own; Sluice's knows nobody who may use other subjects.
    broker = await TestBroker.start();
    const passThrough = await processes.start('bench/pass-through.ts', [files.cert, files.key, files.ca, upstreamPort]);
    const worker = await processes.start('bench/floor.ts', ['worker'], broker.env);
    const gateOptions = [files.cert, files.key, files.ca, upstreamPort, token];
    const gate = await processes.start('bench/floor.ts', ['gate', ...gateOptions], broker.env);
    const proxy = await startKubectlProxy(processes, kubeconfig);

    const at = (to: number): string => `https://127.0.0.1:${to}${path}`;
    const { parts } = sluice.state();
    const common = { upstream: upstream.pid };
    const rows: Row[] = [
      { name: 'direct', url: at(upstream.port), ca: authority.cert, headers: bearer, pids: common },
      {
        name: 'TLS pass-through',
        url: at(passThrough.port),
        ca: authority.cert,
        headers: bearer,
        pids: { ...common, proxy: passThrough.pid },
      },
      {
        name: 'kubectl proxy',
        url: `http://127.0.0.1:${proxy.port}${path}`,
        ca: '',
        headers: {},
        pids: { ...common, proxy: proxy.pid },
      },
      {
        name: 'floor',
        url: at(gate.port),
        ca: authority.cert,
        headers: {},
        pids: { ...common, gate: gate.pid, worker: worker.pid, broker: broker.pid },
      },
      {
        name: 'Sluice',
        url: at(sluice.state().port),
        ca: readFileSync(join(sluice.home, 'tls', 'ca.crt'), 'utf8'),
        headers: { authorization: `Bearer ${sluice.token()}` },
        pids: { ...common, ...parts },
      },
    ];
    for (const row of rows) await warmUp(row);
    const measured: Measured[] = [];
    for (const connections of [1, 32]) measured.push(...(await measure(rows, connections)));
    report(measured);
    save('gate', { rounds, durationMs, warmUpMs, measured });
  } finally {
    await sluice?.stop();
    await processes.end();
    await broker?.close();
    rmSync(dir, { recursive: true, force: true });
  }
}

async function warmUp({ url, ca, headers }: Row): Promise<void> {
  await runLoad({ url, ca, headers, connections: 32, durationMs: warmUpMs });
}

/** Every round takes every row in turn; the rounds of a row are then taken together. */
async function measure(rows: readonly Row[], connections: number): Promise<Measured[]> {
  const running = rows.map((row) => ({ row, results: [] as LoadResult[], cpu: new CpuMeter(row.pids) }));
  for (let turn = 0; turn < rounds; turn++) {
    for (const { row, results, cpu } of running) {
      const { url, ca, headers } = row;
      results.push(await cpu.during(() => runLoad({ url, ca, headers, connections, durationMs })));
      process.stderr.write('.');
    }
  }
  process.stderr.write('\n');
  return running.map(({ row, results, cpu }) => {
    const calls = results.reduce((sum, result) => sum + result.calls, 0);
    const times = results.flatMap((result) => result.times).sort((a, b) => a - b);
    return {
      row: row.name,
      connections,
      callsPerSecond: round(calls / results.reduce((sum, result) => sum + result.seconds, 0), 0),
      p50Ms: round(quantile(times, 0.5), 2),
      p99Ms: round(quantile(times, 0.99), 2),
      cpuMicros: cpu.microsPer(calls),
      failed: results.reduce((sum, result) => sum + result.failed, 0),
    };
  });
}

function report(measured: readonly Measured[]): void {
  const lines = [
    ['connections', 'row', 'calls/s', 'p50 ms', 'p99 ms', '× direct', '× floor', 'CPU µs per call, by process'],
  ];
  for (const one of measured) {
    const of = (name: string): number =>
      measured.find(({ row, connections }) => row === name && connections === one.connections)?.callsPerSecond ?? 1;
    lines.push([
      String(one.connections),
      one.row,
      String(one.callsPerSecond),
      one.p50Ms.toFixed(2),
      one.p99Ms.toFixed(2),
      (one.callsPerSecond / of('direct')).toFixed(2),
      (one.callsPerSecond / of('floor')).toFixed(2),
      byProcess(one.cpuMicros) + (one.failed === 0 ? '' : ` (${one.failed} failed)`),
    ]);
  }
  printTable(lines);
}

async function runLoad(load: Load): Promise<LoadResult> {
  const program = join(repository, 'bench', 'load.ts');
  const options = { encoding: 'utf8', maxBuffer: 1 << 28 } as const;
  const { stdout } = await promisify(execFile)(process.execPath, [program, JSON.stringify(load)], options);
  return JSON.parse(stdout) as LoadResult;
}

async function startKubectlProxy(processes: Processes, kubeconfig: string): Promise<Started> {
  const child = processes.spawn(
    'kubectl',
    ['proxy', '--port=0', '--kubeconfig', kubeconfig],
    ['ignore', 'pipe', 'inherit'],
  );
  if (child.stdout === null) throw new Error('kubectl proxy has no output');
  const [said] = (await once(child.stdout, 'data')) as [Buffer];
  return { pid: child.pid ?? 0, port: Number(/:(\d+)\s*$/.exec(said.toString())?.[1]) };
}
