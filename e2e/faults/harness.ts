// Runs experiments by number and seed, several to one Sluice, and judges what they left behind.
import { setTimeout as sleep } from 'node:timers/promises';
import { type Done, type Experiment, experiments, percentile } from './experiments.ts';
import { Random } from './random.ts';
import { type Invariant, invariants, namedMissing, type Violation, verify } from './verifier.ts';
import { World } from './world.ts';

/** One run: an experiment, and the seed of its choices. */
export interface Planned {
  readonly experiment: number;
  readonly seed: number;
}

/** What became of a run. */
export interface Outcome extends Planned {
  readonly fault: string;
  readonly recoveryMs: number;
  /** What agents asked for in it. */
  readonly exchanges: number;
  readonly violations: readonly (Omit<Violation, 'invariant'> & { readonly invariant: Invariant | 'check' })[];
}

/** A supervisor gives a part up that dies more often than this within a minute. */
const mostRunsPerWorld = 5;
/** Load goes on after the fault. */
const afterMs = 300;

/** Plans so many seeds of an experiment from one on: the runs of each world. */
export function plan(experiment: number, seed: number, seeds: number): Planned[][] {
  const { runsPerWorld = mostRunsPerWorld } = experimentOf(experiment);
  const planned = Array.from({ length: seeds }, (_, at) => ({ experiment, seed: seed + at }));
  return Array.from({ length: Math.ceil(seeds / runsPerWorld) }, (_, world) =>
    planned.slice(world * runsPerWorld, (world + 1) * runsPerWorld),
  );
}

/** The runs of one Sluice, all on the same kind of database. What belongs to no run for sure is told of the last one. */
export async function runWorld(planned: readonly Planned[], tell: (line: string) => void): Promise<Outcome[]> {
  const [kind = 'embedded'] = planned.map(({ experiment }) => experimentOf(experiment).database);
  const [leaseMs] = planned.map(({ experiment }) => experimentOf(experiment).leaseMs);
  const world = await World.open(kind, leaseMs);
  const runs: (Planned & { readonly tag: string; readonly done: Done; readonly exchanges: number })[] = [];
  for (const one of planned) {
    const { experiment, seed } = one;
    const tag = `faults/${experiment}/${seed}`;
    const load = world.load(tag);
    load.start(seed);
    const random = new Random(seed);
    const run = { world, load, random, seed, name: `faults-${experiment}-${seed}` };
    const done = await experimentOf(experiment).run(run).catch(unfinished);
    await sleep(afterMs);
    await load.stop();
    const measured = done.measured === undefined ? '' : `: ${done.measured}`;
    const back = `back after ${Math.round(done.recoveryMs)} ms, ${load.exchanges.length} calls`;
    tell(`${tag}: ${done.fault}${measured}; ${back}`);
    runs.push({ ...one, tag, done, exchanges: load.exchanges.length });
    if (done.recoveryMs === Number.POSITIVE_INFINITY) break;
  }
  const { evidence, violations: leaks } = await world.close();
  const planted = new Map(runs.flatMap(({ done }) => [...(done.planted ?? [])]));
  const all = [...verify(evidence), ...leaks];
  const key = ({ invariant, place }: Violation): string => `${invariant} ${place}`;
  // A writer that stood still for longer than its lease is taken for dead: then the record names what is missing.
  const found = new Set([...all.map(key), ...[...namedMissing(evidence.frames)].map((place) => `I3 ${place}`)]);
  const unplanned = all.filter((violation) => !planted.has(key(violation)));
  const known = new Set(runs.map(({ tag }) => tag));
  return runs.map(({ tag, done, ...run }, at) => {
    const isLast = at === runs.length - 1;
    const mine = unplanned.filter(({ tag: of }) => {
      const run = of.split('/').slice(0, 3).join('/');
      return run === tag || (isLast && !known.has(run));
    });
    const missed = [...(done.planted ?? [])].flatMap(([place, how]) =>
      how === 'must' && !found.has(place) ? [check(place, 'was planted, and nobody found it')] : [],
    );
    const complaints = (done.check?.(evidence) ?? []).map((what) => check(tag, what));
    return { ...run, ...done, violations: [...mine, ...missed, ...complaints] };
  });
}

/** A run that came to no end. What is left behind is judged all the same; the runs after it are not made. */
function unfinished(error: unknown): Done {
  const what = `it came to no end: ${(error as Error).message}`;
  return { fault: what, recoveryMs: Number.POSITIVE_INFINITY, check: () => [what] };
}

function check(place: string, what: string): Outcome['violations'][number] {
  return { invariant: 'check', place, tag: '', what };
}

export function experimentOf(number: number): Experiment {
  const found = experiments.get(number);
  if (found === undefined) throw new Error(`no experiment ${number}; there are ${[...experiments.keys()].join(', ')}`);
  return found;
}

/** A violation in one line. */
export function sentence({ invariant, place, what }: Outcome['violations'][number]): string {
  return `${invariant}: ${place}: ${what}`;
}

const columns = [...invariants, 'check'] as const;

/** One line an experiment. */
export function table(outcomes: readonly Outcome[]): string {
  const rows = [...Map.groupBy(outcomes, ({ experiment }) => experiment)].map(([number, runs]) => {
    const violations = runs.flatMap((run) => run.violations);
    const recoveries = runs.map(({ recoveryMs }) => recoveryMs);
    return [
      String(number),
      experimentOf(number).title,
      String(runs.length),
      String(runs.reduce((sum, { exchanges }) => sum + exchanges, 0)),
      ...columns.map((column) => String(violations.filter(({ invariant }) => invariant === column).length)),
      ...[0.5, 0.99].map((share) => `${(percentile(recoveries, share) / 1000).toFixed(1)} s`),
    ];
  });
  const heads = ['#', 'experiment', 'runs', 'calls', ...columns, 'back p50', 'p99'];
  const widths = heads.map((head, at) => Math.max(head.length, ...rows.map((row) => row[at]?.length ?? 0)));
  const line = (cells: readonly string[]): string => cells.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join('  ');
  return [heads, ...rows].map((row) => line(row).trimEnd()).join('\n');
}

/** How often each thing was broken. */
export function faultsOf(outcomes: readonly Outcome[]): string {
  const kinds = Map.groupBy(outcomes, ({ experiment, fault }) => `${experiment}: ${fault}`);
  return [...kinds].map(([kind, runs]) => `${String(runs.length).padStart(4)} × ${kind}`).join('\n');
}
