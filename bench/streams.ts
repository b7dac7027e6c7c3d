// What a stream through Sluice costs, side by side with what Sluice stands between: the set-up of an exec, the bytes of its
// output and input, and the echo of a key; and how soon a stream is cut.
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createAuthority, createServerCertificate } from '@sluice/runtime/certificates';
import { Sluice, TestBroker } from '@sluice/testing';
import { measureKills } from './kills.ts';
import { byProcess, CpuMeter, Processes, printTable, quantile, repository, round, save } from './processes.ts';
import type { StreamLoad, StreamResult } from './stream-load.ts';

const rounds = Number(process.env['SLUICE_BENCH_ROUNDS'] ?? 3);
const durationMs = Number(process.env['SLUICE_BENCH_MS'] ?? 3_000);
const megabyte = 1024 * 1024;
const megabytes = Number(process.env['SLUICE_BENCH_MB'] ?? 64);
const warmUpMs = 6_000;
const token = 'of-the-bench';

/** A way to the pod, and the processes whose work it costs. */
interface Row {
  readonly name: string;
  readonly url: string;
  readonly ca: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly pids: Readonly<Record<string, number>>;
}

type Work = StreamLoad['work'];

/** Something that is measured of several rows, the first of which are direct and the floor. */
interface Part {
  readonly work: Work;
  readonly sessions: number;
  readonly rows: readonly string[];
}

const ways = ['direct', 'floor', 'TLS pass-through'] as const;
const withPod = 'floor that reads the pod';
const unmasked = 'floor that masks nothing';
const parts: readonly Part[] = [
  ...[1, 16].map((sessions) => ({ work: 'exec', sessions, rows: [...ways, withPod, 'Sluice'] }) as const),
  { work: 'download', sessions: 1, rows: [...ways, unmasked, 'Sluice'] },
  { work: 'upload', sessions: 1, rows: [...ways, unmasked, 'Sluice'] },
  ...[1, 16].map((sessions) => ({ work: 'echo', sessions, rows: [...ways, 'Sluice'] }) as const),
];

interface Measured {
  readonly work: Work;
  readonly sessions: number;
  readonly row: string;
  /** Of the rounds, the median: commands or megabytes a second. */
  readonly perSecond: number;
  /** Of a command or a key. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** CPU of each process per command, megabyte or key, microseconds. */
  readonly cpuMicros: Readonly<Record<string, number>>;
  readonly failed: number;
}

/** Prints the table of streams. */
export async function measureStreams(): Promise<void> {
  const processes = new Processes();
  const dir = mkdtempSync(join(tmpdir(), 'sl-'));
  let sluice: Sluice | undefined;
  let broker: TestBroker | undefined;
  try {
    const authority = await createAuthority('bench');
    const { cert, key } = await createServerCertificate(authority);
    const files = { ca: join(dir, 'ca.crt'), cert: join(dir, 'tls.crt'), key: join(dir, 'tls.key') };
    writeFileSync(files.ca, authority.cert);
    writeFileSync(files.cert, cert);
    writeFileSync(files.key, key);

    const upstream = await processes.start('bench/stream-upstream.ts', [files.cert, files.key]);
    const kubeconfig = join(dir, 'kubeconfig');
    writeFileSync(kubeconfig, kubeconfigOf(upstream.port, authority.cert), { mode: 0o600 });
    // As users have it: a test's Sluice looks for a file at every point where an experiment could stop it.
    const env = { SLUICE_FAILPOINTS: '' };
    const flags = ['--kubeconfig', kubeconfig, '--policies', join(repository, 'bench', 'policies')];
    sluice = await Sluice.start({ home: join(dir, 'home'), flags, env });
    // Configured as Sluice's own; Sluice's knows nobody who may use other subjects.
    broker = await TestBroker.start();
    const legs = [files.cert, files.key, files.ca, String(upstream.port)];
    const passThrough = await processes.start('bench/pass-through.ts', legs);
    const worker = await processes.start('bench/floor.ts', ['worker'], broker.env);
    const gate = await processes.start('bench/stream-floor.ts', [...legs, token], broker.env);

    const pids = { upstream: upstream.pid };
    const floorPids = { ...pids, gate: gate.pid, worker: worker.pid, broker: broker.pid };
    const to = (name: string, port: number, more: Partial<Row>): Row => ({
      name,
      url: `wss://127.0.0.1:${port}/api/v1/namespaces/shop/pods/web`,
      ca: authority.cert,
      headers: { authorization: `Bearer ${token}` },
      pids,
      ...more,
    });
    const state = sluice.state();
    const rows: Row[] = [
      to('direct', upstream.port, {}),
      to('TLS pass-through', passThrough.port, { pids: { ...pids, proxy: passThrough.pid } }),
      to('floor', gate.port, { pids: floorPids }),
      to(withPod, gate.port, { pids: floorPids, headers: { 'x-floor': 'pod' } }),
      to(unmasked, gate.port, { pids: floorPids, headers: { 'x-floor': 'unmasked' } }),
      to('Sluice', state.port, {
        ca: readFileSync(join(sluice.home, 'tls', 'ca.crt'), 'utf8'),
        headers: { authorization: `Bearer ${sluice.token()}` },
        pids: { ...pids, ...state.parts },
      }),
    ];
    for (const row of rows) await warmUp(row);
    const measured: Measured[] = [];
    for (const part of parts) {
      const ofPart = part.rows.flatMap((name) => rows.filter((row) => row.name === name));
      measured.push(...(await measure(part, ofPart)));
    }
    const { url, ca, headers } = rows.at(-1) as Row;
    const killed = await measureKills(sluice, { url: url.replace(/^wss/, 'https'), ca, headers }, 2 * rounds);
    report(measured);
    printTable([
      ['from `sluice kill` to the cut', 'p50 ms', 'longest ms', 'until the command ends, p50 ms'],
      ...killed.map(({ kind, p50Ms, longestMs, commandMs }) => [
        kind,
        String(p50Ms),
        String(longestMs),
        String(commandMs),
      ]),
    ]);
    save('streams', { rounds, durationMs, warmUpMs, megabytes, measured, killed });
  } finally {
    await sluice?.stop();
    await processes.end();
    await broker?.close();
    rmSync(dir, { recursive: true, force: true });
  }
}

/** A service runs for weeks, and its code is compiled once: each way has so much load before anything is measured. */
async function warmUp({ url, ca, headers }: Row): Promise<void> {
  await runLoad({ url, ca, headers, work: 'exec', sessions: 16, durationMs: warmUpMs, bytes: 0 });
}

/** Every round takes every row in turn; the first is not counted. */
async function measure({ work, sessions }: Part, rows: readonly Row[]): Promise<Measured[]> {
  const running = rows.map((row) => ({ row, results: [] as StreamResult[], cpu: new CpuMeter(row.pids) }));
  const bytes = megabytes * megabyte;
  for (let turn = 0; turn <= rounds; turn++) {
    for (const { row, results, cpu } of running) {
      const { url, ca, headers } = row;
      const load = { url, ca, headers, work, sessions, durationMs, bytes };
      if (turn === 0) await runLoad(load);
      else results.push(await cpu.during(() => runLoad(load)));
      process.stderr.write('.');
    }
  }
  process.stderr.write('\n');
  return running.map(({ row, results, cpu }) => {
    const times = results.flatMap((result) => result.times).sort((a, b) => a - b);
    const done = (result: StreamResult): number => (isMoving(work) ? result.bytes / 1e6 : result.times.length);
    const speeds = results.map((result) => done(result) / result.seconds).sort((a, b) => a - b);
    return {
      work,
      sessions,
      row: row.name,
      perSecond: round(quantile(speeds, 0.5), 1),
      p50Ms: round(quantile(times, 0.5), 2),
      p99Ms: round(quantile(times, 0.99), 2),
      cpuMicros: cpu.microsPer(results.reduce((sum, result) => sum + done(result), 0)),
      failed: results.reduce((sum, result) => sum + result.failed, 0),
    };
  });
}

const titles: Readonly<Record<Work, string>> = {
  exec: 'exec set-up',
  download: 'output of exec',
  upload: 'input of exec',
  echo: 'echo of a key',
};

function report(measured: readonly Measured[]): void {
  for (const work of Object.keys(titles) as Work[]) {
    const unit = isMoving(work) ? 'MB' : work === 'exec' ? 'exec' : 'key';
    const head = isMoving(work) ? ['MB/s', 'of direct', 'of floor'] : speedHeads(work);
    const lines = [[titles[work], 'sessions', ...head, `CPU µs per ${unit}, by process`]];
    for (const one of measured) {
      if (one.work !== work) continue;
      const other = (name: string): Measured =>
        measured.find((row) => row.work === work && row.sessions === one.sessions && row.row === name) ?? one;
      const cells = work === 'echo' ? echoCells(one, other) : speedCells(one, other);
      const failed = one.failed === 0 ? '' : ` (${one.failed} failed)`;
      lines.push([one.row, String(one.sessions), ...cells, byProcess(one.cpuMicros) + failed]);
    }
    printTable(lines);
  }
}

function speedHeads(work: Work): string[] {
  return work === 'exec'
    ? ['exec/s', 'p50 ms', 'p99 ms', 'of direct', 'of floor']
    : ['p50 ms', 'p99 ms', 'added p50 ms', 'of what the floor adds'];
}

function speedCells(one: Measured, other: (name: string) => Measured): string[] {
  const of = (name: string): string => (one.perSecond / other(name).perSecond).toFixed(2);
  const times = isMoving(one.work) ? [] : [one.p50Ms.toFixed(2), one.p99Ms.toFixed(2)];
  return [one.perSecond.toFixed(1), ...times, of('direct'), of('floor')];
}

function echoCells(one: Measured, other: (name: string) => Measured): string[] {
  const added = ({ p50Ms }: Measured): number => p50Ms - other('direct').p50Ms;
  const ratio = (added(one) / added(other('floor'))).toFixed(2);
  return [one.p50Ms.toFixed(2), one.p99Ms.toFixed(2), added(one).toFixed(2), ratio];
}

function isMoving(work: Work): boolean {
  return work === 'download' || work === 'upload';
}

async function runLoad(load: StreamLoad): Promise<StreamResult> {
  const program = join(repository, 'bench', 'stream-load.ts');
  const options = { encoding: 'utf8', maxBuffer: 1 << 28 } as const;
  const { stdout } = await promisify(execFile)(process.execPath, [program, JSON.stringify(load)], options);
  return JSON.parse(stdout) as StreamResult;
}

function kubeconfigOf(port: number, ca: string): string {
  const authority = Buffer.from(ca).toString('base64');
  return `apiVersion: v1
kind: Config
current-context: bench
contexts: [{ name: bench, context: { cluster: bench, user: sluice } }]
clusters: [{ name: bench, cluster: { server: "https://127.0.0.1:${port}", certificate-authority-data: "${authority}" } }]
users: [{ name: sluice, user: { token: ${token} } }]
`;
}
