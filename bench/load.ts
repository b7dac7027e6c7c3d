// Load in a process of its own: sends GETs over kept-alive connections until its time is up, then prints what it saw
// as JSON. One question on argv: a `Load` as JSON.
import { Agent as HttpAgent, request as httpRequest } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';

/** What to send, and for how long. */
export interface Load {
  readonly url: string;
  /** PEM; empty for plain http. */
  readonly ca: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly connections: number;
  readonly durationMs: number;
}

/** What came of it. Times in milliseconds. */
export interface LoadResult {
  readonly calls: number;
  readonly failed: number;
  readonly seconds: number;
  /** Every call's time. */
  readonly times: readonly number[];
}

const load = JSON.parse(process.argv[2] ?? '{}') as Load;
const secure = load.url.startsWith('https:');
const pool = { keepAlive: true, maxSockets: load.connections };
const agent = secure ? new HttpsAgent({ ...pool, ca: load.ca }) : new HttpAgent(pool);
const send = secure ? httpsRequest : httpRequest;
const times: number[] = [];
let failed = 0;

function once(): Promise<void> {
  return new Promise((resolve) => {
    const from = performance.now();
    const request = send(load.url, { agent, headers: load.headers }, (response) => {
      response.resume();
      response.on('end', () => {
        if (response.statusCode === 200) times.push(performance.now() - from);
        else failed++;
        resolve();
      });
      response.on('error', () => resolve());
    });
    request.on('error', () => {
      failed++;
      resolve();
    });
    request.end();
  });
}

// Connections are made, and caches filled, before the clock starts.
await Promise.all(Array.from({ length: load.connections }, once));
await once();
times.length = 0;
failed = 0;
const start = performance.now();
await Promise.all(
  Array.from({ length: load.connections }, async () => {
    while (performance.now() - start < load.durationMs && failed < 100) await once();
  }),
);
const result: LoadResult = { calls: times.length, failed, seconds: (performance.now() - start) / 1000, times };
process.stdout.write(JSON.stringify(result), () => process.exit(0));
