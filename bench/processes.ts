// Processes that a measurement starts, what they cost, and what it says in the end.
import { type ChildProcess, fork, type StdioOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join, resolve } from 'node:path';
import type { ServiceMessage } from '@sluice/runtime';

export const repository: string = resolve(import.meta.dirname, '..');
const ticksPerSecond = 100;

/** A process that said it is ready. */
export interface Started {
  readonly pid: number;
  /** 0 where it has none. */
  readonly port: number;
}

/** Processes that end with the measurement that started them. */
export class Processes {
  readonly #children: ChildProcess[] = [];

  /** Starts a program of the repository, and waits until it says over IPC that it is ready. */
  async start(program: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Started> {
    const child = fork(join(repository, program), args, {
      env: { ...process.env, ...env },
      // What services log has no place between the lines of a table.
      stdio: ['ignore', 'inherit', 'ignore', 'ipc'],
    });
    this.#children.push(child);
    const gone = once(child, 'exit').then(() => Promise.reject(new Error(`${program} ended before it was ready`)));
    gone.catch(() => undefined);
    const [said] = (await Promise.race([once(child, 'message'), gone])) as [ServiceMessage];
    if (said.kind === 'unable') throw new Error(`${program}: ${said.message}`);
    return { pid: child.pid ?? 0, port: Number(said.facts['port'] ?? 0) };
  }

  /** Starts any program. */
  spawn(command: string, args: readonly string[], stdio: StdioOptions): ChildProcess {
    const child = spawn(command, args, { stdio });
    this.#children.push(child);
    return child;
  }

  /** SIGTERM to all; resolves when they are gone. */
  async end(): Promise<void> {
    await Promise.all(
      this.#children.map(async (child) => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        const gone = once(child, 'exit');
        child.kill('SIGTERM');
        await gone;
      }),
    );
  }
}

/** CPU seconds that processes have used, by name. */
export function cpuSeconds(pids: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(
    Object.entries(pids).map(([name, pid]) => {
      // Fields 14 and 15 of proc_pid_stat(5); the name before them may hold anything but its last bracket.
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return [name, (Number(fields[11]) + Number(fields[12])) / ticksPerSecond];
    }),
  );
}

/** Sums of CPU over the rounds of a row. */
export class CpuMeter {
  readonly #pids: Readonly<Record<string, number>>;
  readonly #sums = new Map<string, number>();

  constructor(pids: Readonly<Record<string, number>>) {
    this.#pids = pids;
  }

  /** Counts what the processes use while `work` runs. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    const before = cpuSeconds(this.#pids);
    const result = await work();
    for (const [name, used] of Object.entries(cpuSeconds(this.#pids)))
      this.#sums.set(name, (this.#sums.get(name) ?? 0) + used - (before[name] ?? 0));
    return result;
  }

  /** Microseconds for each of `count` things done, by process. */
  microsPer(count: number): Record<string, number> {
    return Object.fromEntries([...this.#sums].map(([name, seconds]) => [name, round((seconds / count) * 1e6, 0)]));
  }
}

/** Prints rows with their columns aligned; the first names the columns. */
export function printTable(lines: readonly (readonly string[])[]): void {
  const widths = lines[0]?.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0))) ?? [];
  for (const line of lines)
    console.log(
      line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    );
  console.log();
}

/** `gate 120, broker 80` */
export function byProcess(micros: Readonly<Record<string, number>>): string {
  return Object.entries(micros)
    .map(([name, value]) => `${name} ${value}`)
    .join(', ');
}

/** Writes `bench/results/<part>.json`, with the machine it is of. */
export function save(part: string, result: object): void {
  const results = join(repository, 'bench', 'results');
  mkdirSync(results, { recursive: true });
  const machine = { cores: cpus().length, cpu: cpus()[0]?.model ?? '', node: process.version };
  const saved = { at: new Date().toISOString(), machine, ...result };
  writeFileSync(join(results, `${part}.json`), `${JSON.stringify(saved, null, 2)}\n`);
}

/** The value below which so many of the sorted values are. */
export function quantile(sorted: readonly number[], part: number): number {
  return sorted[Math.floor(sorted.length * part)] ?? 0;
}

export function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
