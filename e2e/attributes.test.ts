// Hundreds of raw targets, whose meaning a real API server's audit log has told, go through a whole Sluice over both
// protocols: the record must say what the audit log said, and what is not canonical must not go anywhere.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { type ClientHttp2Session, connect } from 'node:http2';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import type { CallRow } from '@sluice/model';
import { openScripted, removeScratch, repository, type ScriptedCluster, Sluice, scratch, until } from '@sluice/testing';

interface Vector {
  readonly method: string;
  readonly target: string;
  readonly verb?: string;
  readonly objectRef?: Readonly<Record<string, string>>;
  readonly path?: string;
}

const { groups } = JSON.parse(
  readFileSync(join(repository, 'libs', 'kube', 'src', 'attribute-vectors.json'), 'utf8'),
) as { readonly groups: readonly { readonly sluice: 'accepts' | 'refuses'; readonly vectors: readonly Vector[] }[] };
const vectorsOf = (sluice: 'accepts' | 'refuses'): readonly Vector[] =>
  groups.filter((group) => group.sluice === sluice).flatMap(({ vectors }) => vectors);

const dir = scratch();
let cluster: ScriptedCluster;
let sluice: Sluice;
let session: ClientHttp2Session | undefined;

before(async () => {
  cluster = await openScripted(dir);
  const policies = join(dir, 'policies');
  mkdirSync(policies);
  writeFileSync(
    join(policies, 'everything.yaml'),
    `apiVersion: sluice.internal/v1alpha1
kind: AccessPolicy
metadata: { name: everything }
spec:
  subjects: [{ agent: demo }]
  obligations: { impersonate: { user: "sluice:tier:test", groups: ["sluice:test"] } }
  rules:
    - { effect: allow, verbs: ["*"], resources: ["*", "*/*"] }
    - { effect: allow, verbs: ["*"], nonResourceURLs: ["*"] }
`,
  );
  const flags = ['--kubeconfig', cluster.kubeconfig, '--policies', policies];
  sluice = await Sluice.start({ home: join(dir, 'home'), flags });
});

/** A connection that still stands: some targets are an error of the protocol, and end it. */
function standing(): ClientHttp2Session {
  if (session === undefined || session.closed || session.destroyed) {
    const ca = readFileSync(join(sluice.home, 'tls', 'ca.crt'));
    session = connect(`https://127.0.0.1:${sluice.state().port}`, { ca });
    session.on('error', () => undefined);
  }
  return session;
}

after(async () => {
  session?.close();
  await sluice?.stop();
  await cluster?.close();
  removeScratch(dir);
});

/** Sends the target byte for byte; the status of the answer. */
async function overH1({ method, target }: Vector): Promise<number> {
  const socket = await sluice.socket();
  const lines = [`${method} ${target} HTTP/1.1`, 'Host: sluice', `Authorization: Bearer ${sluice.token()}`];
  socket.write(Buffer.from(`${lines.join('\r\n')}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`, 'latin1'));
  const answer = (await buffer(socket)).toString('latin1');
  return Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 0);
}

async function overH2({ method, target }: Vector): Promise<number> {
  const authorization = `Bearer ${sluice.token()}`;
  const stream = standing().request({ ':method': method, ':path': target, authorization }, { endStream: true });
  stream.resume();
  const [headers] = (await once(stream, 'response')) as [{ readonly ':status'?: number }];
  return headers[':status'] ?? 0;
}

/** What the record says of the call that reached the cluster. */
function recorded({ verb, resource, namespace, name }: CallRow): string {
  return JSON.stringify({ verb, resource, namespace, name });
}

/** What the audit log said. */
function logged({ verb = '', objectRef, path = '' }: Vector): string {
  if (objectRef === undefined) return JSON.stringify({ verb, resource: path, namespace: '', name: '' });
  const { apiGroup, resource = '', subresource, namespace = '', name = '' } = objectRef;
  const grouped = apiGroup === undefined ? resource : `${resource}.${apiGroup}`;
  const full = subresource === undefined ? grouped : `${grouped}/${subresource}`;
  return JSON.stringify({ verb, resource: full, namespace, name });
}

for (const [protocol, send] of [
  ['h1', overH1],
  ['h2', overH2],
] as const) {
  test(`case 1, ${protocol}: the record has the attributes that the API server's audit log has`, async () => {
    const vectors = vectorsOf('accepts');
    const byCall = new Map<string, Vector>();
    for (const vector of vectors) {
      cluster.requests.length = 0;
      const status = await send(vector);
      // Sluice understands these, and refuses them for what they ask.
      if (status === 403 && /secrets\?.*fieldSelector/.test(vector.target)) continue;
      // A stream that does not ask for a protocol that can carry it goes nowhere.
      if (status === 400 && /\/(exec|attach|portforward)\b/.test(decodeURIComponent(vector.target))) continue;
      // Of the pod of a log Sluice itself asks.
      const sent = cluster.requests.filter(({ headers }) => headers['user-agent'] !== 'sluice');
      assert.equal(sent.length, 1, `${vector.method} ${vector.target}: ${status}`);
      byCall.set(String(sent[0]?.headers['audit-id']), vector);
    }
    const rows = await until('all calls in the record', async () => {
      const found = (await sluice.calls()).filter(({ id }) => byCall.has(id));
      return found.length === byCall.size ? found : undefined;
    });
    assert.ok(byCall.size > 500, `${byCall.size} calls`);
    for (const row of rows) {
      const vector = byCall.get(row.id) as Vector;
      assert.equal(recorded(row), logged(vector), `${vector.method} ${vector.target}`);
    }
  });

  test(`case 2, ${protocol}: a target that can be read in two ways goes nowhere`, async () => {
    cluster.requests.length = 0;
    let answered = 0;
    for (const vector of vectorsOf('refuses')) {
      const status = await send(vector).catch(() => 0);
      assert.ok(status === 400 || status === 405 || status === 0, `${vector.method} ${vector.target}: ${status}`);
      if (status !== 0) answered++;
    }
    // The others do not get past the parser of HTTP.
    assert.ok(answered > 200, `${answered} answers`);
    assert.deepEqual(cluster.requests, []);
  });
}
