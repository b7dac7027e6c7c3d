// `npm run bench`: what Sluice costs, side by side with what it stands between, in one interleaved run. The machine's
// moods hit every row alike, so the ratios are what to read. Prints a table; writes bench/results/latest.json.
import { type ChildProcess, execFile, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { createAuthority, createServerCertificate } from '@sluice/runtime/certificates';
import { Sluice, TestBroker } from '@sluice/testing';
import type { Load, LoadResult } from './load.ts';
import { measureRules } from './rules.ts';

const repository = resolve(import.meta.dirname, '..');
const path = '/api/v1/namespaces/shop/configmaps/web';
const rounds = Number(process.env['SLUICE_BENCH_ROUNDS'] ?? 4);
const durationMs = Number(process.env['SLUICE_BENCH_MS'] ?? 2_000);
const ticksPerSecond = 100;

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

const children: ChildProcess[] = [];
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

  const upstream = await start('libs/demo-cluster/src/main.ts', [], { SLUICE_DEMO_DIR: dir });
  const kubeconfig = join(dir, 'kubeconfig');
  const token = /token: (\S+)/.exec(readFileSync(kubeconfig, 'utf8'))?.[1] ?? '';
  const bearer = { authorization: `Bearer ${token}` };
  const upstreamPort = String(upstream.port);

  sluice = await Sluice.start({ home: join(dir, 'home'), flags: ['--kubeconfig', kubeconfig] });
  // Configured as Sluice's own; Sluice's knows nobody who may use other subjects.
  broker = await TestBroker.start();
  const passThrough = await start('bench/pass-through.ts', [files.cert, files.key, files.ca, upstreamPort]);
  const worker = await start('bench/floor.ts', ['worker'], broker.env);
  const gateOptions = [files.cert, files.key, files.ca, upstreamPort, token];
  const gate = await start('bench/floor.ts', ['gate', ...gateOptions], broker.env);
  const proxy = await startKubectlProxy(kubeconfig);

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
  const measured: Measured[] = [];
  for (const connections of [1, 32]) measured.push(...(await measure(rows, connections)));
  await report(measured);
} finally {
  await sluice?.stop();
  for (const child of children) child.kill('SIGTERM');
  await broker?.close();
  rmSync(dir, { recursive: true, force: true });
}

/** Every round takes every row in turn; the rounds of a row are then taken together. */
async function measure(rows: readonly Row[], connections: number): Promise<Measured[]> {
  const results = new Map(rows.map((row) => [row.name, [] as LoadResult[]]));
  const cpu = new Map(rows.map((row) => [row.name, new Map<string, number>()]));
  for (let round = 0; round < rounds; round++) {
    for (const row of rows) {
      const before = cpuOf(row);
      results
        .get(row.name)
        ?.push(await runLoad({ url: row.url, ca: row.ca, headers: row.headers, connections, durationMs }));
      for (const [name, used] of Object.entries(cpuOf(row))) {
        const sums = cpu.get(row.name);
        sums?.set(name, (sums.get(name) ?? 0) + used - (before[name] ?? 0));
      }
      process.stderr.write('.');
    }
  }
  process.stderr.write('\n');
  return rows.map((row) => {
    const of = results.get(row.name) ?? [];
    const calls = of.reduce((sum, result) => sum + result.calls, 0);
    const times = of.flatMap((result) => result.times).sort((a, b) => a - b);
    const perCall = [...(cpu.get(row.name) ?? [])].map(([name, seconds]) => [name, round((seconds / calls) * 1e6, 0)]);
    return {
      row: row.name,
      connections,
      callsPerSecond: round(calls / of.reduce((sum, result) => sum + result.seconds, 0), 0),
      p50Ms: round(times[Math.floor(times.length * 0.5)] ?? 0, 2),
      p99Ms: round(times[Math.floor(times.length * 0.99)] ?? 0, 2),
      cpuMicros: Object.fromEntries(perCall) as Record<string, number>,
      failed: of.reduce((sum, result) => sum + result.failed, 0),
    };
  });
}

async function report(measured: readonly Measured[]): Promise<void> {
  const lines = [
    ['connections', 'row', 'calls/s', 'p50 ms', 'p99 ms', '× direct', '× floor', 'CPU µs per call, by process'],
  ];
  for (const one of measured) {
    const of = (name: string): number =>
      measured.find(({ row, connections }) => row === name && connections === one.connections)?.callsPerSecond ?? 1;
    const cpu = Object.entries(one.cpuMicros).map(([name, micros]) => `${name} ${micros}`);
    lines.push([
      String(one.connections),
      one.row,
      String(one.callsPerSecond),
      one.p50Ms.toFixed(2),
      one.p99Ms.toFixed(2),
      (one.callsPerSecond / of('direct')).toFixed(2),
      (one.callsPerSecond / of('floor')).toFixed(2),
      cpu.join(', ') + (one.failed === 0 ? '' : ` (${one.failed} failed)`),
    ]);
  }
  const widths = lines[0]?.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0))) ?? [];
  for (const line of lines)
    console.log(
      line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    );
  const rules = await measureRules();
  console.log(`\nrules  ${rules}`);
  const results = join(repository, 'bench', 'results');
  mkdirSync(results, { recursive: true });
  const machine = { cores: cpus().length, cpu: cpus()[0]?.model ?? '', node: process.version };
  writeFileSync(
    join(results, 'latest.json'),
    `${JSON.stringify({ at: new Date().toISOString(), machine, rounds, durationMs, measured, rules }, null, 2)}\n`,
  );
}

async function runLoad(load: Load): Promise<LoadResult> {
  const program = join(repository, 'bench', 'load.ts');
  const options = { encoding: 'utf8', maxBuffer: 1 << 28 } as const;
  const { stdout } = await promisify(execFile)(process.execPath, [program, JSON.stringify(load)], options);
  return JSON.parse(stdout) as LoadResult;
}

/** CPU seconds that each process of a row has used. */
function cpuOf(row: Row): Record<string, number> {
  return Object.fromEntries(
    Object.entries(row.pids).map(([name, pid]) => {
      // Fields 14 and 15 of proc_pid_stat(5); the name before them may hold anything but its last bracket.
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return [name, (Number(fields[11]) + Number(fields[12])) / ticksPerSecond];
    }),
  );
}

async function start(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<{ readonly pid: number; readonly port: number }> {
  const child = fork(join(repository, program), args, { env: { ...process.env, ...env } });
  children.push(child);
  const [message] = (await once(child, 'message')) as [{ facts: { port?: number } }];
  return { pid: child.pid ?? 0, port: message.facts.port ?? 0 };
}

async function startKubectlProxy(kubeconfig: string): Promise<{ readonly pid: number; readonly port: number }> {
  const child = spawn('kubectl', ['proxy', '--port=0', '--kubeconfig', kubeconfig], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  const [said] = (await once(child.stdout, 'data')) as [Buffer];
  return { pid: child.pid ?? 0, port: Number(/:(\d+)\s*$/.exec(said.toString())?.[1]) };
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
