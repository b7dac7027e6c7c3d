// Case 37: answers larger than memory should be. A 300 MB list, 20,000 Secrets, and single objects as large as a cluster
// keeps them pass through; no process of Sluice grows by 64 MiB; and every byte outside a mask is what the cluster sent.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { createServer, get, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createAuthority, createServerCertificate } from '@sluice/runtime/certificates';
import { removeScratch, Sluice, scratch } from '@sluice/testing';

const dir = scratch();
const maxGrowthBytes = 64 * 1024 * 1024;
const secret = 'value-of-the-large-test-0815';
const core = '/api/v1/namespaces/shop';
let server: Server;
let sluice: Sluice;

/** An answer as the cluster sends it: chunks, in which `\u0000` stands where a secret is and `\u0001` where one is in base64. */
interface Answer {
  readonly chunks: () => Iterable<string>;
}

const wholeSecret = Buffer.from(secret).toString('base64');
const sent = (template: string): string => template.replaceAll('\u0000', secret).replaceAll('\u0001', wholeSecret);

function* list(kind: string, count: number, item: (index: number) => string): Generator<string> {
  yield `{"kind":"${kind}List","apiVersion":"v1","metadata":{"resourceVersion":"12345678901234567890"},"items":[`;
  for (let from = 0; from < count; from += 50) {
    const items = Array.from({ length: Math.min(50, count - from) }, (_, index) => item(from + index));
    yield `${from === 0 ? '' : ','}${items.join(',')}`;
  }
  yield ']}\n';
}

const padding = 'the quick brown fox jumps over the lazy dog, '.repeat(60);
const pod = (index: number): string =>
  `{"metadata":{"name":"pod-${index}","uid":"${index}","annotations":{"note":"${padding}\\u003c1.0\\u003e"}},"spec":{"n":1.0,"big":12345678901234567890,"containers":[{"name":"a","env":[{"name":"DB_PASSWORD","value":"\u0000"},{"name":"LEVEL","value":"info"}]}]}}`;
const secretItem = (index: number): string =>
  `{"metadata":{"name":"secret-${index}","resourceVersion":"${index}"},"data":{"password":"\u0001","user":"\u0001"},"type":"Opaque"}`;
const smallValues = (count: number): string =>
  `{${Array.from({ length: count }, (_, index) => `"k${index}":"${Buffer.from(`v${index % 10}`).toString('base64')}"`).join(',')}}`;

const answers: Readonly<Record<string, Answer>> = {
  [`${core}/pods?limit=1`]: { chunks: () => list('Pod', 4_000, pod) },
  [`${core}/secrets?limit=1`]: { chunks: () => list('Secret', 4_000, secretItem) },
  [`${core}/pods`]: { chunks: () => list('Pod', 104_000, pod) },
  [`${core}/secrets`]: { chunks: () => list('Secret', 20_000, secretItem) },
  [`${core}/pods/large`]: {
    chunks: () => [
      `{"kind":"Pod","apiVersion":"v1","metadata":{"annotations":{"a":"${'x'.repeat(3_000_000)}"}},"spec":{"token":"\u0000"}}`,
    ],
  },
  [`${core}/secrets/many`]: { chunks: () => [`{"kind":"Secret","apiVersion":"v1","data":${smallValues(40_000)}}`] },
};

before(async () => {
  const authority = await createAuthority('large cluster of the tests');
  server = createServer(await createServerCertificate(authority), (request, response) => {
    const answer = answers[request.url ?? ''];
    response.writeHead(200, { 'content-type': 'application/json' });
    if (answer === undefined) return void response.end('{}');
    void (async () => {
      for (const chunk of answer.chunks()) {
        if (response.destroyed) return;
        if (!response.write(sent(chunk))) await once(response, 'drain').catch(() => undefined);
      }
      response.end();
    })();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const ca = Buffer.from(authority.cert).toString('base64');
  const kubeconfig = join(dir, 'large.kubeconfig');
  writeFileSync(
    kubeconfig,
    `{"apiVersion":"v1","kind":"Config","current-context":"c","contexts":[{"name":"c","context":{"cluster":"c","user":"u"}}],"clusters":[{"name":"c","cluster":{"server":"https://127.0.0.1:${port}","certificate-authority-data":"${ca}"}}],"users":[{"name":"u","user":{"token":"large"}}]}`,
    { mode: 0o600 },
  );
  sluice = await Sluice.start({ home: join(dir, 'home'), flags: ['--kubeconfig', kubeconfig] });
});

after(async () => {
  await sluice?.stop();
  server?.close();
  server?.closeAllConnections();
  removeScratch(dir);
});

function open(path: string): Promise<IncomingMessage> {
  const { port } = sluice.state();
  const ca = readFileSync(join(sluice.home, 'tls', 'ca.crt'));
  const headers = { authorization: `Bearer ${sluice.token()}` };
  return new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port, path, ca, headers, agent: false }, resolve).on('error', reject);
  });
}

const masks = /sluice-mask:v1:[0-9a-f]{8}:[A-Za-z0-9_-]{16}/y;
const masks64 = /c2x1aWNlLW1hc2s6djE6[A-Za-z0-9+/]{32,40}={0,2}/y;

/** Longer than a mask, in base64 too. */
const longestMask = 80;

/** Compares what comes with what was sent, as it comes; masks stand where secrets stood. Returns the bytes seen. */
async function compare(answer: IncomingMessage, expected: Iterable<string>, pauseMs = 0): Promise<number> {
  assert.equal(answer.statusCode, 200);
  const chunks = answer[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  let rest = '';
  let bytes = 0;
  const want = async (size: number): Promise<void> => {
    while (rest.length < size) {
      const { done, value } = await chunks.next();
      if (done === true) return;
      if (bytes === 0) await sleep(pauseMs);
      bytes += value.length;
      rest += value.toString('latin1');
    }
  };
  for (const template of expected) {
    const parts = template.split(/([\u0000\u0001])/);
    await want(template.length + parts.length * longestMask);
    let at = 0;
    for (const part of parts)
      at += part === '\u0000' || part === '\u0001' ? maskAt(rest, at, part) : sameAt(rest, at, part);
    rest = rest.slice(at);
  }
  await want(1);
  assert.equal(rest, '', 'more came than was sent');
  return bytes;
}

/** Length of the mask that stands there. */
function maskAt(text: string, at: number, place: '\u0000' | '\u0001'): number {
  const form = place === '\u0000' ? masks : masks64;
  form.lastIndex = at;
  const found = form.exec(text);
  assert.ok(found !== null, `no mask at ${JSON.stringify(text.slice(at, at + 60))}`);
  return found[0].length;
}

function sameAt(text: string, at: number, part: string): number {
  assert.ok(text.startsWith(part, at), `other bytes: ${text.slice(at, at + 100)} for ${part.slice(0, 100)}`);
  return part.length;
}

interface Memory {
  readonly rss: number;
  readonly peak: number;
}

function memoryOf(pid: number): Memory {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const of = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) * 1024;
  return { rss: of('VmRSS'), peak: of('VmHWM') };
}

/** The peaks of all parts while something goes on, beyond what they had before. Bytes. */
async function growth(act: () => Promise<void>): Promise<Readonly<Record<string, number>>> {
  const { parts } = sluice.state();
  const before = Object.entries(parts).map(([part, pid]) => {
    // Linux: the peak begins anew (proc(5), clear_refs).
    writeFileSync(`/proc/${pid}/clear_refs`, '5');
    return [part, pid, memoryOf(pid).rss] as const;
  });
  await act();
  return Object.fromEntries(before.map(([part, pid, rss]) => [part, memoryOf(pid).peak - rss]));
}

function assertBounded(context: TestContext, grown: Readonly<Record<string, number>>): void {
  const inMiB = Object.fromEntries(Object.entries(grown).map(([part, bytes]) => [part, Math.round(bytes / 2 ** 20)]));
  context.diagnostic(`grown by MiB: ${JSON.stringify(inMiB)}`);
  for (const [part, bytes] of Object.entries(grown))
    assert.ok(bytes < maxGrowthBytes, `${part}: ${JSON.stringify(inMiB)}`);
}

async function passes(path: string, pauseMs = 0): Promise<number> {
  return compare(await open(path), answers[path]?.chunks() ?? [], pauseMs);
}

test('lists pass, and leave the parts warm', async () => {
  for (let times = 0; times < 3; times++) {
    await passes(`${core}/pods?limit=1`);
    await passes(`${core}/secrets?limit=1`);
  }
});

test('a list of 300 MB passes; no part grows by 64 MiB', async (context) => {
  let bytes = 0;
  const grown = await growth(async () => {
    bytes = await passes(`${core}/pods`);
  });
  assert.ok(bytes > 300_000_000, `${bytes} bytes`);
  assertBounded(context, grown);
});

test('a list of 20,000 Secrets passes; no part grows by 64 MiB', async (context) => {
  assertBounded(
    context,
    await growth(async () => {
      await passes(`${core}/secrets`);
    }),
  );
});

test('a reader that pauses costs no memory', async (context) => {
  assertBounded(
    context,
    await growth(async () => {
      await passes(`${core}/pods?limit=1`, 5_000);
    }),
  );
});

test('an object of 3 MB passes', async () => {
  await passes(`${core}/pods/large`);
});

test('a Secret of 40,000 values passes, every one of them masked', async () => {
  const answer = await open(`${core}/secrets/many`);
  assert.equal(answer.statusCode, 200);
  const chunks: Buffer[] = [];
  for await (const chunk of answer) chunks.push(chunk as Buffer);
  const { data } = JSON.parse(Buffer.concat(chunks).toString()) as { readonly data: Readonly<Record<string, string>> };
  assert.equal(Object.keys(data).length, 40_000);
  for (const value of Object.values(data)) assert.match(Buffer.from(value, 'base64').toString(), /^sluice-mask:v1:/);
});
