import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import {
  largeBytes,
  maxPayloadBytes,
  noCall,
  noSession,
  type RecordsAnswer,
  type RecordsQuestion,
  shownRows,
} from '@sluice/model';
import type { StoredFrame } from '@sluice/runtime';
import { Connection, connect } from './database.ts';
import { asked, callId, ended, epochMicros, ran, sessionId, stored, streamEnded } from './fixtures.ts';
import { answerQuestion } from './questions.ts';
import { sqlViews } from './sql-words.ts';
import { openStore, type Store } from './store.ts';

const dir = mkdtempSync(join(tmpdir(), 'sl-'));
let store: Store;
/** The hand in the database. */
let hand: Connection;
before(async () => {
  store = await openStore({ kind: 'embedded', dir });
  hand = new Connection({ kind: 'embedded', dir });
});
after(async () => {
  await hand.close();
  await store.close();
  rmSync(dir, { recursive: true, force: true });
});

async function ask<Q extends RecordsQuestion>(question: Q): Promise<Extract<RecordsAnswer, { kind: Q['kind'] }>> {
  const answer = await answerQuestion(store, question);
  assert.ok(JSON.stringify(answer).length < maxPayloadBytes);
  assert.equal(answer.kind, question.kind, JSON.stringify(answer).slice(0, 500));
  return answer as Extract<RecordsAnswer, { kind: Q['kind'] }>;
}

const empty = Buffer.alloc(0);
const begun = (
  ledger: string,
  seq: number,
  n: number,
  agent: string,
  effect: 'allow' | 'deny' = 'allow',
): StoredFrame =>
  stored({
    ledger,
    seq,
    call: callId(n),
    session: sessionId(n),
    kind: 'call',
    meta: asked(effect, agent),
    bytes: empty,
  });
const end = (
  ledger: string,
  seq: number,
  n: number,
  outcome: Parameters<typeof ended>[0],
  status: number,
  session = sessionId(n),
): StoredFrame =>
  stored({ ledger, seq, call: callId(n), session, kind: 'outcome', meta: ended(outcome, status), bytes: empty });
const body = (ledger: string, seq: number, n: number, bytes: Uint8Array): StoredFrame =>
  stored({
    ledger,
    seq,
    call: callId(n),
    session: sessionId(n),
    kind: 'response',
    meta: { status: 200, contentType: 't' },
    bytes,
  });
const lost = (ledger: string, ...missing: (readonly [number, number])[]): StoredFrame => {
  const meta = { head: { ledger, seq: 1, hash: '' }, cause: 'lease-ended', missing, presumed: 0 } as const;
  const place = { ledger: `recorder-of-${ledger}`, seq: 1, call: noCall, session: noSession, bytes: empty } as const;
  return stored({ ...place, kind: 'ledger-closed', meta });
};

test('calls are rows, newest first: one that runs, one that was refused, one that was cut', async () => {
  await store.insert([
    begun('l2', 1, 11, 'lister'),
    begun('l2', 2, 12, 'lister', 'deny'),
    end('l2', 3, 12, 'refused', 403),
    begun('l2', 4, 13, 'lister'),
    end('l2', 5, 13, 'cut', 502),
  ]);
  const list = async (filter: object) => (await ask({ kind: 'calls', agent: 'lister', limit: 10, ...filter })).calls;
  const rows = await list({});
  const ids = (found: readonly { readonly id: string }[]): string[] => found.map(({ id }) => id);
  assert.deepEqual(
    rows.map(({ id, effect, reasonCode, status, outcome }) => [id, effect, reasonCode, status, outcome]),
    [
      [callId(13), 'allow', 'ResponseWithheld', 502, 'cut'],
      [callId(12), 'deny', 'DeniedByRule', 403, 'refused'],
      [callId(11), 'allow', 'AllowedByRule', null, null],
    ],
  );
  assert.deepEqual(rows[0], {
    id: callId(13),
    at: '2026-11-23T12:09:51.932Z',
    agent: 'lister',
    task: null,
    session: sessionId(13),
    connection: 'c',
    verb: 'patch',
    resource: 'deployments.apps/scale',
    namespace: 'n',
    name: 'web',
    effect: 'allow',
    reasonCode: 'ResponseWithheld',
    status: 502,
    outcome: 'cut',
    incomplete: false,
    command: null,
    exitCode: null,
  });
  assert.deepEqual(ids(await list({ effect: 'deny' })), [callId(12)]);
  assert.deepEqual(ids(await list({ limit: 1 })), [callId(13)]);
  assert.deepEqual(ids(await list({ limit: 0 })), [callId(13)], 'a limit is at least 1');
  assert.deepEqual(ids(await list({ sinceMs: epochMicros / 1000 + 3_500 })), [callId(13)]);
  assert.deepEqual(ids(await list({ session: sessionId(12) })), [callId(12)]);
  assert.deepEqual(ids(await list({ call: callId(11) })), [callId(11)]);
  assert.deepEqual(ids(await list({ before: callId(13), limit: 1 })), [callId(12)]);
  assert.deepEqual(await list({ agent: "x' OR 1=1 --" }), []);
});

test('a stream has its command and exit code in its row, and channels and ports in its frames', async () => {
  const place = { ledger: 'i-streams', call: callId(700), session: sessionId(700) };
  const port = { channel: 'port', connection: 2, port: 8080 } as const;
  await store.insert([
    stored({ ...place, seq: 1, kind: 'call', meta: ran(['sh', '-c', 'exit 3']) }),
    stored({ ...place, seq: 2, kind: 'channel', meta: { channel: 'stdout' } }),
    stored({ ...place, seq: 3, kind: 'channel', meta: { ...port, event: 'opened' }, bytes: empty }),
    stored({ ...place, seq: 4, kind: 'outcome', meta: streamEnded(3), bytes: empty }),
  ]);
  const { calls } = await ask({ kind: 'calls', call: callId(700), limit: 1 });
  assert.deepEqual(
    calls.map(({ command, exitCode, status, outcome }) => ({ command, exitCode, status, outcome })),
    [{ command: ['sh', '-c', 'exit 3'], exitCode: 3, status: 101, outcome: 'completed' }],
  );
  const { frames } = await ask({ kind: 'frames', call: callId(700), after: null });
  assert.deepEqual(
    frames.map(({ kind }) => kind),
    ['call', 'channel', 'channel', 'outcome'],
  );
  const sql = async (text: string): Promise<readonly unknown[]> =>
    (await ask({ kind: 'sql', sql: text, params: { call: callId(700) } })).rows;
  assert.deepEqual(
    await sql('SELECT kind, channel, port, connection FROM frames WHERE call = {call:String} ORDER BY seq'),
    [
      ['call', '', null, null],
      ['channel', 'stdout', null, null],
      ['channel', 'port', 8080, 2],
      ['outcome', '', null, null],
    ],
  );
  const ended = ['SPDY/3.1 v4.channel.k8s.io', 'v5.channel.k8s.io', false];
  assert.deepEqual(
    await sql(
      'SELECT channel, bytes, sha256, client, upstream, unmasked FROM channels WHERE call = {call:String} ORDER BY bytes',
    ),
    [
      ['stdin', '3', 'aa', ...ended],
      ['stdout', '40', 'bb', ...ended],
    ],
  );
  assert.deepEqual(
    await sql('SELECT command, container, tty, grade, secrets, message FROM calls WHERE id = {call:String}'),
    [[['sh', '-c', 'exit 3'], 'main', true, 'plain', ['db'], null]],
  );
});

test('a real outcome supersedes what was presumed, whichever came first, and one that is only presumed is incomplete', async () => {
  await store.insert([
    begun('p-1', 1, 21, 'presumed'),
    begun('p-1', 2, 22, 'presumed'),
    begun('p-1', 3, 23, 'presumed'),
    end('r-1', 10, 21, 'presumed-unknown', 0),
    end('p-1', 20, 21, 'completed', 200),
    end('p-1', 4, 22, 'completed', 201),
    end('r-1', 11, 22, 'presumed-unknown', 0),
    end('r-1', 12, 23, 'presumed-unknown', 0),
  ]);
  const { calls } = await ask({ kind: 'calls', agent: 'presumed', limit: 10 });
  assert.deepEqual(
    calls.map(({ status, outcome, incomplete }) => [status, outcome, incomplete]),
    [
      [0, 'presumed-unknown', true],
      [201, 'completed', false],
      [200, 'completed', false],
    ],
  );
});

test('calls are incomplete when a lost frame may be theirs: within them, not before them or behind', async () => {
  await store.insert([
    begun('g-1', 1, 31, 'gaps'),
    end('g-1', 3, 31, 'completed', 200), // 2 is lost
    begun('g-1', 4, 32, 'gaps'),
    end('g-1', 5, 32, 'completed', 200),
    begun('g-1', 8, 33, 'gaps'), // goes on in the next ledger, of which 1 is lost
    end('g-2', 2, 33, 'completed', 200),
    begun('g-2', 3, 34, 'gaps'),
    end('g-2', 4, 34, 'completed', 200),
    begun('g-2', 5, 35, 'gaps'), // was never heard of again; 6 is lost
    lost('g-1', [2, 2], [6, 7]),
    lost('g-2', [1, 1], [6, 9]),
  ]);
  const { calls } = await ask({ kind: 'calls', agent: 'gaps', limit: 10 });
  assert.deepEqual(
    calls.map(({ id, incomplete }) => [id, incomplete]),
    [
      [callId(35), true],
      [callId(34), false],
      [callId(33), true],
      [callId(32), false],
      [callId(31), true],
    ],
  );
});

test('sessions are rows, the last to start first; one runs as long as any of its calls does', async () => {
  const [quiet, busy] = [sessionId(901), sessionId(902)];
  const inSession = (session: string, agent: string, seq: number, n: number): StoredFrame =>
    stored({ ledger: 's-1', seq, call: callId(n), session, kind: 'call', meta: asked('allow', agent), bytes: empty });
  await store.insert([
    inSession(quiet, 'quiet', 100, 41),
    inSession(quiet, 'quiet', 101, 42),
    end('s-1', 102, 42, 'completed', 200, quiet),
    end('s-1', 103, 41, 'completed', 200, quiet),
    inSession(busy, 'busy', 104, 43),
    end('s-1', 105, 43, 'completed', 200, busy),
    inSession(busy, 'busy', 106, 44),
  ]);
  const list = async (filter: object) => (await ask({ kind: 'sessions', limit: 1_000, ...filter })).sessions;
  const sinceMs = epochMicros / 1000 + 99_500;
  assert.deepEqual(await list({ sinceMs }), [
    { id: busy, agent: 'busy', task: null, startedAt: '2026-11-23T12:11:31.932Z', endedAt: null, calls: 2 },
    {
      id: quiet,
      agent: 'quiet',
      task: null,
      startedAt: '2026-11-23T12:11:27.932Z',
      endedAt: '2026-11-23T12:11:30.932Z',
      calls: 2,
    },
  ]);
  const ids = (found: readonly { readonly id: string }[]): string[] => found.map(({ id }) => id);
  assert.deepEqual(ids(await list({ agent: 'quiet' })), [quiet]);
  assert.deepEqual(ids(await list({ sinceMs: sinceMs + 6_000 })), [busy], 'a call that lately began counts');
  assert.deepEqual(ids(await list({ sinceMs, limit: 1 })), [busy]);
});

test('frames come in answers of what fits one message, each once', async () => {
  const sizes = [600_000, 700_000, 10, largeBytes, largeBytes + 1, 900_000, 0];
  await store.insert(sizes.map((size, index) => body('f-1', index + 1, 51, Buffer.alloc(size, index))));
  await store.insert([body('f-2', 1, 51, Buffer.from('other ledger'))]);
  const seen: unknown[] = [];
  let after: { readonly ledger: string; readonly seq: number } | null = null;
  for (let more = true; more; ) {
    const answer: Extract<RecordsAnswer, { kind: 'frames' }> = await ask({ kind: 'frames', call: callId(51), after });
    for (const row of answer.frames) {
      seen.push([row.ledger, row.seq, row.size, Buffer.byteLength(row.bytesBase64, 'base64')]);
      after = row;
    }
    more = answer.more;
  }
  assert.deepEqual(seen, [
    ...sizes.map((size, index) => ['f-1', index + 1, size, size > largeBytes ? 0 : size]),
    ['f-2', 1, 12, 12],
  ]);
});

test('frames come without their bodies where only sizes are asked for, far more of them in an answer', async () => {
  const place = { ledger: 'i-sizes', call: callId(701), session: sessionId(701), kind: 'channel' } as const;
  const bytes = Buffer.alloc(200_000, 'x');
  await store.insert(
    Array.from({ length: 20 }, (_, seq) => stored({ ...place, seq: seq + 1, meta: { channel: 'stdout' }, bytes })),
  );
  const question = { kind: 'frames', call: callId(701), after: null } as const;
  assert.ok((await ask(question)).more);
  const { frames, more } = await ask({ ...question, bodies: 'sizes' });
  assert.equal(more, false);
  assert.deepEqual(
    frames.map(({ seq, size, bytesBase64 }) => [seq, size, bytesBase64]),
    Array.from({ length: 20 }, (_, seq) => [seq + 1, 200_000, '']),
  );
});

test('a body of any size is read in parts', async () => {
  const bytes = Buffer.from(Array.from({ length: 3_900_000 }, (_, index) => index % 251));
  await store.insert([body('part', 1, 61, bytes)]);
  const parts: Buffer[] = [];
  for (let offset = 0; offset < bytes.length; offset += parts.at(-1)?.length ?? 0) {
    const { bytesBase64 } = await ask({ kind: 'part', ledger: 'part', seq: 1, row: 0, offset });
    assert.notEqual(bytesBase64, '');
    parts.push(Buffer.from(bytesBase64, 'base64'));
  }
  assert.ok(Buffer.concat(parts).equals(bytes));
  const beyond = await ask({ kind: 'part', ledger: 'part', seq: 1, row: 0, offset: bytes.length });
  assert.equal(beyond.bytesBase64, '');
  assert.deepEqual(await answerQuestion(store, { kind: 'part', ledger: 'part', seq: 2, row: 0, offset: 0 }), {
    kind: 'error',
    message: 'the record cannot be read: there is no frame 2 in ledger part',
  });
});

test('ledgers are counted: rows, first and last position, bytes', async () => {
  const frames = [3, 4, 9].map((seq) => body('counted', seq, 71, Buffer.alloc(100)));
  await store.insert(frames);
  const { ledgers } = await ask({ kind: 'ledgers' });
  const bytes = frames.reduce((sum, { message }) => sum + message.byteLength, 0);
  assert.deepEqual(
    ledgers.find(({ ledger }) => ledger === 'counted'),
    { ledger: 'counted', rows: 3, first: 3, last: 9, bytes },
  );
  const names = ledgers.map(({ ledger }) => ledger);
  assert.deepEqual(names, [...names].sort());
});

test('ledgers are found by a session that has frames in them, and counted whole', async () => {
  const meta = asked('allow');
  const frame = (ledger: string, seq: number, of: number) =>
    stored({ ledger, seq, call: callId(72 + seq), session: sessionId(of), kind: 'call', meta });
  await store.insert([frame('visited', 1, 72), frame('visited', 2, 73), frame('not-visited', 1, 73)]);
  const { ledgers } = await ask({ kind: 'ledgers', session: sessionId(72) });
  assert.deepEqual(
    ledgers.map(({ ledger, rows }) => [ledger, rows]),
    [['visited', 2]],
  );
});

/** All rows of a ledger, as `proof` gives them, with the number of its answers. */
async function proofOf(ledger: string) {
  const rows = [];
  const ends: number[] = [];
  for (let more = true, afterSeq = 0; more; afterSeq = ends.at(-1) ?? afterSeq) {
    const answer = await ask({ kind: 'proof', ledger, afterSeq });
    assert.ok(answer.rows.every(({ seq }) => seq > afterSeq));
    rows.push(...answer.rows);
    more = answer.more && answer.rows.length > 0;
    ends.push(answer.rows.at(-1)?.seq ?? 0);
  }
  return { rows, answers: ends.length };
}

test('a proof has every row of a ledger in its order, as it lies in the table', async () => {
  const frames = Array.from({ length: 9_000 }, (_, index) => body('proof', index + 1, 81, Buffer.from(`b${index}`)));
  await store.insert(frames);
  const { rows, answers } = await proofOf('proof');
  assert.ok(answers > 1);
  const message = ({ headerBase64, bytesBase64 }: (typeof rows)[number]): Buffer =>
    Buffer.concat([Buffer.from(headerBase64, 'base64'), Buffer.from(bytesBase64, 'base64')]);
  assert.equal(rows.length, frames.length);
  for (const [index, row] of rows.entries())
    assert.ok(message(row).equals(frames[index]?.message ?? empty), `row ${index}`);
  const { headerBase64: _, bytesBase64: __, ...columns } = rows[4] ?? assert.fail();
  assert.deepEqual(columns, {
    seq: 5,
    call: callId(81),
    session: sessionId(81),
    kind: 'response',
    atMicros: epochMicros + 5_000_000,
    offset: 0,
    meta: '{"status":200,"contentType":"t"}',
    size: 2,
  });
});

test('a position is never split over two answers, however many rows somebody has made of it', async () => {
  await store.insert([1, 2, 3].map((seq) => body('split', seq, 91, Buffer.alloc(300_000, seq))));
  const copy = (rows: string): Promise<void> =>
    hand.command(`INSERT INTO record (ledger, seq, call, session, kind, at, offset, meta, header, bytes, stream, stream_seq, stored_at)
       SELECT ledger, seq, call, session, kind, at, offset, meta, header, bytes, stream, number, stored_at
       FROM record CROSS JOIN ${rows} AS copies WHERE ledger = 'split' AND seq = 2`);
  await copy('numbers(7)');
  const eight = await proofOf('split');
  assert.deepEqual(
    eight.rows.map(({ seq }) => seq),
    [1, ...Array.from({ length: 8 }, () => 2), 3],
  );
  const doubled = eight.rows.filter(({ seq }) => seq === 2);
  assert.ok(
    doubled.every(({ size, bytesBase64 }) => size === 300_000 && bytesBase64 === ''),
    'bodies are left out',
  );
  const { bytesBase64 } = await ask({ kind: 'part', ledger: 'split', seq: 2, row: 7, offset: 299_999 });
  assert.deepEqual(Buffer.from(bytesBase64, 'base64'), Buffer.from([2]));
  await hand.command(
    "ALTER TABLE record DELETE WHERE ledger = 'split' AND seq = 2 AND stream_seq < 7 SETTINGS mutations_sync = 2",
  );
  await hand.command("ALTER TABLE record UPDATE bytes = 'x' WHERE ledger = 'split' SETTINGS mutations_sync = 2");
  await copy('numbers(5000)');
  assert.deepEqual(
    (await proofOf('split')).rows.map(({ seq }) => seq),
    [1, ...Array.from({ length: shownRows }, () => 2), 3],
  );
});

test('calls and sessions are found among many without reading the record from end to end', async () => {
  const rows = 200_000;
  const meta = JSON.stringify(asked('allow', 'needle'));
  const client = connect({ kind: 'embedded', dir });
  await client.command({
    query: `INSERT INTO record (ledger, seq, call, session, kind, at, offset, meta, header, bytes, stream, stream_seq, stored_at)
      SELECT 'many', number + 1, if(number % 100 = 0, '${noCall}', leftPad(toString(intDiv(number, 2)), 36, '0')),
        if(number % 100 = 0, '${noSession}', leftPad(toString(intDiv(number, 1000)), 32, 's')),
        multiIf(number % 2 = 0, 'call', number = 199999, 'decision', 'outcome'), fromUnixTimestamp64Micro(toInt64(${epochMicros}) + number * 1000), 0,
        if(number % 2 = 0, {meta:String}, '{"outcome":"completed","status":200}'), 'h', 'b', 'calls', number, 0
      FROM numbers(${rows})`,
    query_params: { meta },
  });
  const read = async (query: string): Promise<number> => {
    const found = await client.query({ query, format: 'JSON' });
    const { rows: count, statistics } = await found.json();
    assert.notEqual(count, 0, query);
    return statistics?.rows_read ?? assert.fail();
  };
  const call = '0'.repeat(31) + 45_555;
  const session = `${'s'.repeat(29)}111`;
  for (const query of [
    `SELECT * FROM frames WHERE call = '${call}'`,
    `SELECT * FROM calls WHERE id = '${call}'`,
    `SELECT * FROM decisions WHERE call = '${call}'`,
    `SELECT id FROM calls WHERE session = '${session}'`,
    `SELECT * FROM sessions WHERE id = '${session}'`,
    `SELECT agent FROM decisions WHERE at > fromUnixTimestamp64Micro(toInt64(${epochMicros + 199_000_000}))`,
  ]) {
    const found = await read(query);
    assert.ok(found < rows / 5, `${found} rows were read: ${query}`);
  }
  await client.close();
  await hand.command("ALTER TABLE record DELETE WHERE ledger = 'many' SETTINGS mutations_sync = 2");
});

test('views have the columns that they promise', async () => {
  await store.insert([begun('v-1', 1, 99, 'viewer'), end('v-1', 2, 99, 'completed', 200)]);
  const [call] = await hand.select(`SELECT * FROM calls WHERE id = '${callId(99)}'`);
  assert.deepEqual(call, {
    id: callId(99),
    at: '2026-11-23 12:09:48.932000',
    endedAt: '2026-11-23 12:09:49.932000',
    agent: 'viewer',
    issuer: 'https://issuer',
    groups: ['agents/a', 'agents/b'],
    task: null,
    session: sessionId(99),
    connection: 'c',
    verb: 'patch',
    apiGroup: 'apps',
    resource: 'deployments.apps/scale',
    namespace: 'n',
    name: 'web',
    method: 'PATCH',
    target: '/x',
    userAgent: 'kubectl',
    command: [],
    container: '',
    tty: false,
    grade: '',
    secrets: [],
    effect: 'allow',
    policy: 'p',
    rule: 'r',
    reasonCode: 'AllowedByRule',
    reason: '',
    approval: null,
    status: 200,
    outcome: 'completed',
    exitCode: null,
    message: null,
    durationMs: 1.5,
    responseBytes: 17,
    incomplete: false,
    ledger: 'v-1',
    seq: 1,
  });
  const [decision] = await hand.select(`SELECT * FROM decisions WHERE call = '${callId(99)}'`);
  assert.deepEqual(decision, {
    call: callId(99),
    at: '2026-11-23 12:09:48.932000',
    agent: 'viewer',
    session: sessionId(99),
    connection: 'c',
    verb: 'patch',
    resource: 'deployments.apps/scale',
    namespace: 'n',
    name: 'web',
    effect: 'allow',
    policy: 'p',
    rule: 'r',
    reasonCode: 'AllowedByRule',
    reason: '',
    approval: null,
    reviewers: [],
    policyVersion: '0123456789abcdef',
    authority: 7,
    impersonateUser: 'sluice:tier:x',
    impersonateGroups: ['sluice:x'],
    ledger: 'v-1',
    seq: 1,
  });
  const [frame] = await hand.select(`SELECT * FROM frames WHERE call = '${callId(99)}' AND kind = 'outcome'`);
  assert.deepEqual(frame, {
    ledger: 'v-1',
    seq: 2,
    call: callId(99),
    session: sessionId(99),
    at: '2026-11-23 12:09:49.932000',
    kind: 'outcome',
    channel: '',
    port: null,
    connection: null,
    offset: 0,
    meta: JSON.stringify(ended('completed', 200)),
    size: 0,
    bytes: '',
    storedAt: '2026-11-23 12:09:47.932123',
  });
  const [session] = await hand.select(`SELECT * FROM sessions WHERE id = '${sessionId(99)}'`);
  assert.deepEqual(session, {
    id: sessionId(99),
    agent: 'viewer',
    task: null,
    startedAt: '2026-11-23 12:09:48.932000',
    endedAt: '2026-11-23 12:09:49.932000',
    calls: 1,
  });
});

test('docs/record.md names every column of every view, with its type', async () => {
  const page = readFileSync(join(import.meta.dirname, '../../../docs/record.md'), 'utf8');
  for (const view of sqlViews) {
    const section = page.split(/^### /m).find((text) => text.startsWith(`${view}\n`)) ?? assert.fail(view);
    const documented = [...section.matchAll(/^\| `(\w+)` \| (\S+) \|/gm)].map(([, name, type]) => [name, type]);
    const columns = await hand.select<{ name: string; type: string }>(`DESCRIBE ${view}`);
    // That a text is stored by a dictionary, and that times are UTC, says nothing to a reader.
    const plain = (type: string): string => type.replace(/^LowCardinality\((.*)\)$/, '$1').replace("(6, 'UTC')", '(6)');
    assert.deepEqual(
      documented,
      columns.map(({ name, type }) => [name, plain(type)]),
    );
  }
});
