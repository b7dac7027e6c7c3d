// What the recorder costs, side by side with a floor that takes the same frames and does nothing with them: how fast
// each empties streams that were filled before, and how long a frame takes until it is in the record.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { consumerOf, partitions, streams } from '@sluice/model';
import { type Broker, createLogger, ensureKeys, type Ledger, openBroker, openLedger, provision } from '@sluice/runtime';
import { newSealer, TestBroker } from '@sluice/testing';
import { byProcess, CpuMeter, Processes, printTable, quantile, round, save } from './processes.ts';
import { type Mix, mixes, typicalMix } from './recorder-frames.ts';

const rounds = Number(process.env['SLUICE_BENCH_ROUNDS'] ?? 3);
/** Frames that a writer leaves unacknowledged at most. */
const windowFrames = 256;
const steady = { callsPerSecond: 200, durationMs: 2_500 } as const;
/** Longer than the streams take to fill. */
const pauseMs = 60_000;
/** How often the streams are looked at. */
const lookMs = 10;

/** A recorder with a broker of its own; it is idle while the other is measured. */
interface Row {
  readonly name: string;
  readonly broker: Broker;
  /** The writer's. */
  readonly own: Broker;
  readonly manager: JetStreamManager;
  readonly writer: Ledger;
  readonly pids: Readonly<Record<string, number>>;
}

interface Speed {
  readonly mix: string;
  readonly row: string;
  readonly framesPerSecond: number;
  readonly megabytesPerSecond: number;
  /** CPU of each process per frame, microseconds. */
  readonly cpuMicros: Readonly<Record<string, number>>;
}

interface Lag {
  readonly load: string;
  readonly row: string;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** CPU of each process per frame, microseconds. */
  readonly cpuMicros: Readonly<Record<string, number>>;
}

/** Streams that were emptied. */
interface Drained {
  readonly frames: number;
  readonly bytes: number;
  readonly seconds: number;
}

/** Prints two tables. Takes a nats-server that can pause consumers: 2.11 or newer. */
export async function measureRecorder(): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'sl-'));
  const processes = new Processes();
  const servers = await Promise.all([TestBroker.start(), TestBroker.start()]);
  const rows: Row[] = [];
  try {
    rows.push(
      await openRow('floor', servers[0], (env) =>
        processes.start('bench/recorder-floor.ts', [join(dir, 'floor')], env),
      ),
    );
    const home = {
      SLUICE_DATABASE_DIR: join(dir, 'database'),
      SLUICE_KEYS_DIR: join(dir, 'keys'),
      SLUICE_SEALS_DIR: join(dir, 'seals'),
    };
    ensureKeys(home.SLUICE_KEYS_DIR);
    rows.push(
      await openRow('Sluice', servers[1], (env) =>
        processes.start('services/recorder/src/main.ts', [], { ...home, ...env }),
      ),
    );
    const speeds = await measureSpeed(rows);
    const lags = await measureLag(rows);
    report(speeds, lags);
    save('recorder', { rounds, speeds, steady, lags });
  } finally {
    await Promise.all(rows.map(({ writer }) => writer.drain(2_000)));
    await processes.end();
    await Promise.all(rows.flatMap(({ broker, own }) => [broker.drain(), own.drain()]));
    await Promise.all(servers.map((server) => server.close()));
    rmSync(dir, { recursive: true, force: true });
  }
}

async function openRow(
  name: string,
  server: TestBroker,
  start: (env: TestBroker['env']) => Promise<{ readonly pid: number }>,
): Promise<Row> {
  const log = createLogger('bench', '/dev/null');
  const broker = await openBroker(server.env, 'test', log);
  await provision(broker);
  const { pid } = await start(server.env);
  const own = await openBroker(server.env, 'test ledger', log);
  const writer = await openLedger({
    broker: own,
    sealer: newSealer('bench'),
    log,
    onLost: (why) => {
      throw new Error(why);
    },
  });
  const manager = await jetstreamManager(broker.nats);
  return { name, broker, own, manager, writer, pids: { recorder: pid, broker: server.pid } };
}

/** How fast each row empties streams: every round takes each mix, and for it each row in turn. */
async function measureSpeed(rows: readonly Row[]): Promise<Speed[]> {
  const running = Object.entries(mixes).flatMap(([mix, of]) =>
    rows.map((row) => ({ mix, of, row, cpu: new CpuMeter(row.pids), drained: [] as Drained[] })),
  );
  // Once before the clock starts: caches are filled, code is compiled.
  for (const { row, of } of running) await drainOnce(row, { ...of, calls: of.calls / 4 }, new CpuMeter({}));
  for (let turn = 0; turn < rounds; turn++) {
    for (const { row, of, cpu, drained } of running) {
      drained.push(await drainOnce(row, of, cpu));
      process.stderr.write('.');
    }
  }
  process.stderr.write('\n');
  return running.map(({ mix, row, cpu, drained }) => {
    const seconds = sum(drained, 'seconds');
    const frames = sum(drained, 'frames');
    return {
      mix,
      row: row.name,
      framesPerSecond: round(frames / seconds, 0),
      megabytesPerSecond: round(sum(drained, 'bytes') / seconds / 1e6, 1),
      cpuMicros: cpu.microsPer(frames),
    };
  });
}

/** Fills the streams while nobody may take from them, then lets the recorder at them. */
async function drainOnce(row: Row, mix: Mix, cpu: CpuMeter): Promise<Drained> {
  const isPaused = new Date(Date.now() + pauseMs);
  await eachConsumer((stream, consumer) => row.manager.consumers.pause(stream, consumer, isPaused));
  await write(row.writer, mix);
  const { frames, bytes } = await held(row);
  const seconds = await cpu.during(async () => {
    const began = performance.now();
    await eachConsumer((stream, consumer) => row.manager.consumers.resume(stream, consumer));
    // Who waits for frames does not hear that they may come now; but hears of the next one.
    await mix.write(row.writer, 0);
    while ((await held(row)).frames > 0) await sleep(lookMs);
    return (performance.now() - began) / 1000;
  });
  return { frames, bytes, seconds };
}

/** Writes calls as fast as the broker takes them. */
async function write(ledger: Ledger, { calls, framesPerCall, write: writeCall }: Mix): Promise<void> {
  let next = 0;
  const writer = async (): Promise<void> => {
    while (next < calls) await writeCall(ledger, next++);
  };
  await Promise.all(Array.from({ length: windowFrames / framesPerCall }, writer));
}

async function held({ manager }: Row): Promise<{ readonly frames: number; readonly bytes: number }> {
  const states = await Promise.all(
    Object.values(streams).map(async ({ name }) => (await manager.streams.info(name)).state),
  );
  return {
    frames: states.reduce((total, { messages }) => total + messages, 0),
    bytes: states.reduce((total, { bytes }) => total + bytes, 0),
  };
}

/** How long frames take from the broker into the record, of each row in turn. */
async function measureLag(rows: readonly Row[]): Promise<Lag[]> {
  const mix = mixes[typicalMix];
  if (mix === undefined) throw new Error(`there is no mix ${typicalMix}`);
  const loads = {
    [`${steady.callsPerSecond} calls/s`]: writeSteadily,
    'as fast as the broker takes them': write,
  };
  const lags: Lag[] = [];
  for (const [load, send] of Object.entries(loads)) {
    for (const row of rows) {
      const cpu = new CpuMeter(row.pids);
      const times = await cpu.during(() => lagsDuring(row, () => send(row.writer, mix)));
      lags.push({
        load,
        row: row.name,
        p50Ms: round(quantile(times, 0.5), 0),
        p99Ms: round(quantile(times, 0.99), 0),
        cpuMicros: cpu.microsPer(times.length),
      });
      process.stderr.write('.');
    }
  }
  process.stderr.write('\n');
  return lags;
}

/**
 * A recorder acknowledges a frame as soon as it can be read from the record, and the acknowledgement's subject says when
 * the broker had stored the frame: whoever listens knows how long it took. Milliseconds, sorted.
 */
async function lagsDuring(row: Row, load: () => Promise<void>): Promise<number[]> {
  const times: number[] = [];
  const acks = row.broker.nats.subscribe('$JS.ACK.>', {
    callback: (_error, { subject, data }) => {
      // $JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.<nanoseconds since the epoch>.<pending>;
      // `+WPI` says only that the frame is still in hand.
      if (Buffer.from(data).toString() === '+ACK') times.push(Date.now() - Number(subject.split('.')[7]) / 1e6);
    },
  });
  await load();
  while ((await held(row)).frames > 0) await sleep(lookMs);
  await row.broker.nats.flush();
  acks.unsubscribe();
  return times.sort((a, b) => a - b);
}

async function writeSteadily(ledger: Ledger, { write: writeCall }: Mix): Promise<void> {
  const written: Promise<unknown>[] = [];
  const began = performance.now();
  for (let n = 0; n < (steady.callsPerSecond * steady.durationMs) / 1000; n++) {
    const dueMs = began + (n * 1000) / steady.callsPerSecond - performance.now();
    if (dueMs > 0) await sleep(dueMs);
    written.push(writeCall(ledger, n));
  }
  await Promise.all(written);
}

function report(speeds: readonly Speed[], lags: readonly Lag[]): void {
  const lines = [['frames', 'row', 'frames/s', 'MB/s', '× floor', 'CPU µs per frame, by process']];
  for (const { mix, row, framesPerSecond, megabytesPerSecond, cpuMicros } of speeds) {
    const floor = speeds.find((other) => other.mix === mix && other.row === 'floor')?.framesPerSecond ?? 1;
    const ratio = (framesPerSecond / floor).toFixed(2);
    lines.push([mix, row, String(framesPerSecond), megabytesPerSecond.toFixed(1), ratio, byProcess(cpuMicros)]);
  }
  printTable(lines);
  printTable([
    ['until a frame is in the record', 'row', 'p50 ms', 'p99 ms', 'CPU µs per frame, by process'],
    ...lags.map(({ load, row, p50Ms, p99Ms, cpuMicros }) => [
      load,
      row,
      String(p50Ms),
      String(p99Ms),
      byProcess(cpuMicros),
    ]),
  ]);
}

async function eachConsumer(change: (stream: string, consumer: string) => Promise<unknown>): Promise<void> {
  const consumers = Object.values(streams).flatMap(({ name }) =>
    Array.from({ length: partitions }, (_, partition) => [name, consumerOf(partition)] as const),
  );
  await Promise.all(consumers.map(([stream, consumer]) => change(stream, consumer)));
}

function sum<K extends string>(of: readonly Readonly<Record<K, number>>[], key: K): number {
  return of.reduce((total, one) => total + one[key], 0);
}
