// Asks a real API server what it reads in each target of libs/kube/src/attribute-vectors.json, and writes its answers
// there:
//
//   node tools/attribute-vectors.ts --server https://127.0.0.1:6443 --ca ca.crt --audit-log audit.log
//
// To add a vector, write its method and target into a group, run this, then `npm run format`. The server must let
// anonymous users in as far as its authorizer, log at level Metadata at least, and adopt `Audit-ID`. Without
// credentials nothing is changed: nearly every request ends with 403, once the server has logged what it took it for.
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, readSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { unescape } from 'node:querystring';
import { parseArgs } from 'node:util';

interface VectorFile {
  server: string;
  readonly groups: readonly { readonly about: string; readonly sluice: string; readonly vectors: Vector[] }[];
}

type Vector = { readonly method: string; readonly target: string; status?: number } & Partial<Reading>;

/** `path`: decoded, of a request about no resource. `refused`: the server let it no further than its parser. */
type Reading =
  | { readonly verb: string; readonly objectRef: Readonly<Record<string, string>> }
  | { readonly verb: string; readonly path: string }
  | { readonly refused: true };

interface AuditEvent {
  readonly auditID: string;
  readonly stage: string;
  readonly verb: string;
  readonly requestURI: string;
  readonly objectRef?: Readonly<Record<string, string>>;
}

const vectorFile = join(import.meta.dirname, '..', 'libs/kube/src/attribute-vectors.json');
const { values: options } = parseArgs({
  options: { server: { type: 'string' }, ca: { type: 'string' }, 'audit-log': { type: 'string' } },
});

function main(): void {
  const { server, ca, 'audit-log': auditLog } = options;
  if (server === undefined || ca === undefined || auditLog === undefined) {
    throw new Error('give --server, --ca and --audit-log');
  }
  const file = JSON.parse(readFileSync(vectorFile, 'utf8')) as VectorFile;
  file.server = curl(request('GET', '/version', 'version', server, ca)).match(/"gitVersion": "([^"]+)"/)?.[1] ?? '';
  const run = `vector-${process.pid}-${Date.now()}`;
  const vectors = file.groups.flatMap((group) => group.vectors);
  const logStart = statSync(auditLog).size;
  const idOf = (index: number): string => `${run}-${index}`;
  const sections = vectors.map(({ method, target }, index) => request(method, target, idOf(index), server, ca));
  // Its line in the log says that those of all the others are there as well.
  sections.push(request('GET', '/version', `${run}-end`, server, ca));
  const statuses = [...curl(sections.join('next\n')).matchAll(/^@(\d{3})$/gm)].map(([, status]) => Number(status));
  if (statuses.length !== sections.length) throw new Error(`${sections.length} requests, ${statuses.length} answers`);
  const events = eventsSince(auditLog, logStart);
  if (!events.has(`${run}-end`)) throw new Error('the audit log has no line of the last request');

  const answers = vectors.map(({ method, target }, index) => ({
    method,
    target,
    status: statuses[index] as number,
    ...reading(events.get(idOf(index))),
  }));
  for (const { vectors } of file.groups) vectors.splice(0, vectors.length, ...answers.splice(0, vectors.length));
  writeFileSync(vectorFile, render(file));
  console.log(`${vectors.length} vectors from ${file.server}`);
}

/** One transfer, in curl's own configuration language. The target goes out byte for byte. */
function request(method: string, target: string, auditId: string, server: string, ca: string): string {
  const quote = (text: string): string => `"${text.replaceAll(/["\\]/g, '\\$&')}"`;
  return [
    `url = ${quote(`${server}/`)}`,
    'path-as-is',
    `request-target = ${quote(target)}`,
    method === 'HEAD' ? 'head' : `request = ${quote(method)}`,
    `header = ${quote(`Audit-ID: ${auditId}`)}`,
    `cacert = ${quote(ca)}`,
    'http1.1',
    'silent',
    'show-error',
    'max-time = 20',
    'write-out = "\\n@%{http_code}\\n"',
    '',
  ].join('\n');
}

function curl(config: string): string {
  return execFileSync('curl', ['--disable', '--config', '-'], { input: config, encoding: 'utf8', maxBuffer: 2 ** 28 });
}

/** Other clients write into the same log: only what was added since is read. */
function eventsSince(path: string, start: number): Map<string, AuditEvent> {
  const added = Buffer.alloc(statSync(path).size - start);
  const log = openSync(path, 'r');
  readSync(log, added, 0, added.length, start);
  closeSync(log);
  const lines = added.toString('utf8').split('\n').slice(0, -1);
  const events = lines
    .map((line) => JSON.parse(line) as AuditEvent)
    .filter(({ stage }) => stage === 'ResponseComplete');
  return new Map(events.map((event) => [event.auditID, event]));
}

function reading(event: AuditEvent | undefined): Reading {
  if (event === undefined) return { refused: true };
  if (event.objectRef !== undefined) return { verb: event.verb, objectRef: event.objectRef };
  // The log has the path encoded again. The text of the refusal has it plain, but HTML-escaped and through Sprintf.
  return { verb: event.verb, path: unescape(event.requestURI.split('?')[0] ?? '') };
}

/** A vector a line; `npm run format` does the rest. */
function render({ server, groups }: VectorFile): string {
  const blocks = groups.map(({ about, sluice, vectors }) => {
    const lines = vectors.map((vector) => JSON.stringify(vector)).join(',\n');
    return `{\n"about": ${JSON.stringify(about)},\n"sluice": "${sluice}",\n"vectors": [\n${lines}\n]\n}`;
  });
  return `{\n"server": "${server}",\n"groups": [\n${blocks.join(',\n')}\n]\n}\n`;
}

main();
