// What masking costs, side by side with a floor that takes the same messages over the same broker, opens and seals them,
// and masks nothing: objects and megabytes a second, and the cost of one hop.
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RequestAttributes } from '@sluice/model';
import { createLogger, ensureKeys, loadKey, openBroker, provision } from '@sluice/runtime';
import { raw } from '@sluice/runtime/raw';
import { TestBroker } from '@sluice/testing';
import { createMaskClient, type MaskClient, type MaskSubject } from '../services/ingress/src/mask-client.ts';
import { Processes, printTable, quantile, round, save } from './processes.ts';

const rounds = Number(process.env['SLUICE_BENCH_ROUNDS'] ?? 5);
/** As ingress sends them. */
const batchBytes = 256 * 1024;
const batches = 40;
/** Messages on the way at once. */
const inFlight = 4;
const hops = 1_000;

interface Load {
  readonly name: string;
  readonly form: 'object' | 'text';
  readonly resource: string;
  readonly subresource: string;
  readonly values: readonly Buffer[];
}

interface Row {
  readonly name: string;
  readonly client: MaskClient;
}

const pod = (index: number): string =>
  JSON.stringify({
    metadata: { name: `web-${index}`, namespace: 'shop', uid: `uid-${index}`, labels: { app: 'web', tier: 'front' } },
    spec: {
      containers: [
        {
          name: 'main',
          image: 'registry.example/web:1',
          args: ['serve', '--listen', ':8080', '--log-level=info'],
          env: [
            { name: 'LEVEL', value: 'info' },
            { name: 'DB_PASSWORD', value: `value-of-the-bench-${index}` },
          ],
          volumeMounts: [{ name: 'kube-api-access', mountPath: '/var/run/secrets/kubernetes.io/serviceaccount' }],
        },
      ],
      nodeName: 'node-1',
    },
    status: {
      phase: 'Running',
      podIP: '10.0.0.1',
      conditions: [{ type: 'Ready', status: 'True', message: 'all is well' }],
    },
  });
const secret = (index: number): string =>
  JSON.stringify({
    metadata: { name: `db-${index}`, namespace: 'shop' },
    // As many values as a shop has, again and again: what is known already costs less.
    data: {
      user: 'd2ViLW9mLXRoZS1iZW5jaA==',
      password: Buffer.from(`password-${index % 50}-of-the-bench`).toString('base64'),
    },
    type: 'Opaque',
  });

function batch(make: (index: number) => string): Buffer[] {
  const values: Buffer[] = [];
  for (let bytes = 0; bytes < batchBytes; bytes += values.at(-1)?.length ?? 0)
    values.push(Buffer.from(make(values.length)));
  return values;
}

/** As a stream brings them, at most. */
const streamBytes = 64 * 1024;
const lines = '2026-01-01T00:00:00Z INFO GET /api/v1/items served in 12 ms for 10.0.0.1, user=7\n';
const loads: readonly Load[] = [
  { name: 'pods', form: 'object', resource: 'pods', subresource: '', values: batch(pod) },
  { name: 'Secrets', form: 'object', resource: 'secrets', subresource: '', values: batch(secret) },
  { name: 'log', form: 'text', resource: 'pods', subresource: 'log', values: [Buffer.from(lines.repeat(800))] },
  { name: 'binary', form: 'text', resource: 'pods', subresource: 'exec', values: [randomBytes(streamBytes)] },
  {
    name: 'base64',
    form: 'text',
    resource: 'pods',
    subresource: 'exec',
    values: [Buffer.from(randomBytes(streamBytes).toString('base64').replaceAll(/.{76}/g, '$&\n'))],
  },
];

/** Prints two tables. */
export async function measureMasking(): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'sl-'));
  const env = { SLUICE_KEYS_DIR: join(dir, 'keys') };
  ensureKeys(env.SLUICE_KEYS_DIR);
  const processes = new Processes();
  const servers = await Promise.all([TestBroker.start(), TestBroker.start()]);
  const log = createLogger('bench', '/dev/null');
  const brokers = await Promise.all(servers.map((server) => openBroker(server.env, 'test', log)));
  try {
    const rows: Row[] = [];
    for (const [index, [name, program]] of [
      ['floor', 'bench/masking-floor.ts'],
      ['Sluice', 'services/masking/src/main.ts'],
    ].entries() as ArrayIterator<[number, [string, string]]>) {
      const broker = brokers[index];
      if (broker === undefined) continue;
      await provision(broker);
      await processes.start(program, [], { ...env, ...servers[index]?.env });
      rows.push({ name, client: createMaskClient({ small: broker, large: broker }, loadKey(env, 'raw')) });
    }
    const speeds = await measureSpeeds(rows);
    const costs = await measureHops(rows);
    printTable([
      ['masking of', 'row', 'objects/s', 'MB/s', 'of floor'],
      ...speeds.map(({ load, row, objects, megabytes, ofFloor }) => [
        load,
        row,
        String(objects),
        String(megabytes),
        ofFloor,
      ]),
    ]);
    printTable([
      ['one small object', 'p50 µs', 'p99 µs'],
      ...costs.map(({ row, p50, p99 }) => [row, String(p50), String(p99)]),
    ]);
    save('masking', { rounds, speeds, costs });
  } finally {
    await processes.end();
    await Promise.all(brokers.map((broker) => broker.drain()));
    await Promise.all(servers.map((server) => server.close()));
    rmSync(dir, { recursive: true, force: true });
  }
}

function subjectOf({ resource, subresource }: Pick<Load, 'resource' | 'subresource'>): MaskSubject {
  const attributes: RequestAttributes = {
    kind: 'resource',
    verb: 'list',
    apiGroup: '',
    version: 'v1',
    resource,
    subresource,
    namespace: 'shop',
    name: '',
  };
  return { agent: { name: 'bench', issuer: 'sluice', groups: [] }, attributes, rules: [] };
}

async function send({ client }: Row, load: Load): Promise<void> {
  const values = load.values.map((value) => raw(value));
  const subject = subjectOf(load);
  if (load.form === 'object') await client.values(subject, { form: 'object', direction: 'shown' }, values);
  else for (const value of values) await client.text(subject, { direction: 'shown' }, value, '', 'more');
}

async function measureSpeeds(rows: readonly Row[]) {
  const seconds = new Map<string, number>();
  for (let turn = 0; turn <= rounds; turn++) {
    for (const load of loads) {
      for (const row of rows) {
        const began = performance.now();
        let left = batches;
        await Promise.all(
          Array.from({ length: inFlight }, async () => {
            while (left-- > 0) await send(row, load);
          }),
        );
        // The first turn warms up.
        const key = `${load.name} ${row.name}`;
        if (turn > 0) seconds.set(key, (seconds.get(key) ?? 0) + (performance.now() - began) / 1_000);
      }
    }
    process.stderr.write('.');
  }
  process.stderr.write('\n');
  const took = (load: Load, row: string): number => seconds.get(`${load.name} ${row}`) ?? 0;
  return loads.flatMap((load) =>
    rows.map((row) => {
      const done = rounds * batches;
      const bytes = load.values.reduce((sum, { length }) => sum + length, 0);
      return {
        load: load.name,
        row: row.name,
        objects: round((load.values.length * done) / took(load, row.name), 0),
        megabytes: round((bytes * done) / took(load, row.name) / 1e6, 1),
        ofFloor: (took(load, 'floor') / took(load, row.name)).toFixed(2),
      };
    }),
  );
}

async function measureHops(rows: readonly Row[]) {
  const micros = new Map<string, number[]>(rows.map(({ name }) => [name, []]));
  const load: Load = { name: 'one', form: 'object', resource: 'pods', subresource: '', values: [Buffer.from(pod(1))] };
  for (let turn = 0; turn < hops; turn++) {
    for (const row of rows) {
      const began = performance.now();
      await send(row, load);
      if (turn >= hops / 10) micros.get(row.name)?.push((performance.now() - began) * 1_000);
    }
  }
  return rows.map(({ name }) => {
    const sorted = (micros.get(name) ?? []).toSorted((a, b) => a - b);
    return { row: name, p50: round(quantile(sorted, 0.5), 0), p99: round(quantile(sorted, 0.99), 0) };
  });
}
