// The named queries, each on calls that were planted for it; what is expected was written by hand.
import assert from 'node:assert/strict';
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { ApprovalEvent, ApprovalState, FrameMeta, Outcome } from '@sluice/model';
import type { StoredFrame } from '@sluice/runtime';
import { asked, callId, ended, ran, requested, sessionId, stored, streamEnded, voted } from './fixtures.ts';
import { guardSql } from './sql-guard.ts';
import { openStore, type Store } from './store.ts';

const directory = join(import.meta.dirname, '../queries');
const dir = mkdtempSync(join(tmpdir(), 'sl-'));
const startMs = Date.now();
let store: Store;

/** A call as it is planted; what is left out is as usual. */
interface Planted {
  readonly id: number;
  readonly hoursAgo: number;
  readonly agent?: string;
  readonly session?: number;
  readonly verb: string;
  readonly resource: string;
  readonly subresource?: string;
  readonly namespace?: string;
  readonly name?: string;
  readonly effect?: 'allow' | 'deny';
  readonly reason?: 'DeniedByRule' | 'NoRuleMatched';
  /** `null`: it runs. */
  readonly outcome?: Outcome | null;
  readonly status?: number;
  readonly durationMs?: number;
  readonly bytes?: number;
}

let seq = 0;
function framesOf(planted: Planted): StoredFrame[] {
  const { id, hoursAgo, agent = 'demo', session = 1, verb, resource, subresource = '', namespace = '' } = planted;
  const { name = '', effect = 'allow', outcome = 'completed', status = 200, durationMs = 1, bytes = 10 } = planted;
  const usual = asked(effect, agent);
  const reasonCode = planted.reason ?? usual.decision.reasonCode;
  const [plural = '', ...group] = resource.split('.');
  const call: FrameMeta['call'] = {
    ...usual,
    attributes: {
      kind: 'resource',
      verb,
      apiGroup: group.join('.'),
      version: 'v1',
      resource: plural,
      subresource,
      namespace,
      name,
    },
    decision: { ...usual.decision, reasonCode },
  };
  const place = { ledger: 'l', call: callId(id), session: sessionId(session) };
  const atMicros = micros(hoursAgo);
  const frames = [stored({ ...place, seq: ++seq, kind: 'call', meta: call, atMicros })];
  if (outcome === null) return frames;
  const end: FrameMeta['outcome'] = {
    ...ended(outcome, status),
    reasonCode: outcome === 'refused' ? reasonCode : '',
    body: { bytes, contentType: 'application/json', recorded: 'masked' },
    durationMicros: durationMs * 1_000,
  };
  frames.push(stored({ ...place, seq: ++seq, kind: 'outcome', meta: end, atMicros: atMicros + durationMs * 1_000 }));
  return frames;
}

function micros(hoursAgo: number): number {
  return (startMs - hoursAgo * 3_600_000) * 1_000;
}

/** As a query shows the time. */
function at(hoursAgo: number): string {
  return new Date(startMs - hoursAgo * 3_600_000).toISOString().replace('Z', '000Z');
}

const secret = { resource: 'secrets', namespace: 'shop', name: 'db' };
const denied = { effect: 'deny', outcome: 'refused', status: 403 } as const;
const dayMs = 86_400_000;
const planted: readonly Planted[] = [
  // Reads of one secret, and what looks like one.
  { id: 1, hoursAgo: 5, agent: 'ann', verb: 'get', ...secret },
  { id: 2, hoursAgo: 4, agent: 'ann', verb: 'get', ...secret },
  { id: 3, hoursAgo: 3, agent: 'bob', session: 2, verb: 'list', ...secret, name: '' },
  { id: 4, hoursAgo: 2, agent: 'bob', session: 2, verb: 'watch', resource: 'secrets', outcome: null },
  { id: 5, hoursAgo: 1, agent: 'cat', session: 3, verb: 'get', ...secret, ...denied },
  { id: 6, hoursAgo: 1.5, agent: 'cat', session: 3, verb: 'list', ...secret },
  { id: 7, hoursAgo: 6, agent: 'dan', session: 4, verb: 'patch', ...secret },
  { id: 8, hoursAgo: 200, agent: 'eve', session: 5, verb: 'watch', ...secret, name: '', durationMs: 5 * dayMs },
  { id: 9, hoursAgo: 200, agent: 'ann', verb: 'get', ...secret },
  { id: 10, hoursAgo: 1, agent: 'ann', verb: 'get', ...secret, name: 'other' },
  { id: 11, hoursAgo: 1, agent: 'ann', verb: 'get', ...secret, namespace: 'other' },
  { id: 12, hoursAgo: 1, agent: 'ann', verb: 'list', resource: 'configmaps', namespace: 'shop' },
  { id: 13, hoursAgo: 7, agent: 'dan', session: 4, verb: 'create', ...secret },
  { id: 14, hoursAgo: 1, agent: 'ann', verb: 'list', ...secret, namespace: 'other', name: '' },
  // The life of a deployment.
  {
    id: 21,
    hoursAgo: 50,
    agent: 'dep',
    session: 6,
    verb: 'create',
    resource: 'deployments.apps',
    namespace: 'shop',
    name: 'web',
    status: 201,
  },
  {
    id: 22,
    hoursAgo: 49,
    agent: 'dep',
    session: 6,
    verb: 'get',
    resource: 'deployments.apps',
    namespace: 'shop',
    name: 'web',
  },
  {
    id: 23,
    hoursAgo: 48.5,
    agent: 'dep',
    session: 6,
    verb: 'update',
    resource: 'deployments.apps',
    subresource: 'scale',
    namespace: 'shop',
    name: 'web',
  },
  {
    id: 24,
    hoursAgo: 47,
    agent: 'dep',
    session: 6,
    verb: 'delete',
    resource: 'deployments.apps',
    namespace: 'shop',
    name: 'web',
    ...denied,
    reason: 'NoRuleMatched',
  },
  {
    id: 25,
    hoursAgo: 46,
    agent: 'dep',
    session: 6,
    verb: 'deletecollection',
    resource: 'deployments.apps',
    namespace: 'shop',
    outcome: 'failed',
    status: 0,
  },
  {
    id: 26,
    hoursAgo: 45,
    agent: 'dep',
    session: 6,
    verb: 'patch',
    resource: 'deployments.apps',
    namespace: 'shop',
    name: 'web2',
  },
  {
    id: 27,
    hoursAgo: 44,
    agent: 'dep',
    session: 6,
    verb: 'patch',
    resource: 'deployments.apps',
    namespace: 'test',
    name: 'web',
    outcome: 'presumed-unknown',
    status: 0,
  },
  {
    id: 28,
    hoursAgo: 43,
    agent: 'dep',
    session: 6,
    verb: 'get',
    resource: 'deployments.apps',
    subresource: 'proxy',
    namespace: 'shop',
    name: 'web',
  },
  {
    id: 29,
    hoursAgo: 42,
    agent: 'dep',
    session: 6,
    verb: 'delete',
    resource: 'deployments.apps',
    namespace: 'test',
    name: 'web',
    ...denied,
  },
  {
    id: 30,
    hoursAgo: 41,
    agent: 'dep',
    session: 6,
    verb: 'delete',
    resource: 'deployments.apps',
    namespace: 'test',
    name: 'web',
    ...denied,
  },
];

/** An approval that call `id` asked for, a minute between its events. */
function approvalOf(id: number, hoursAgo: number, events: readonly (readonly [ApprovalEvent, ApprovalState])[]) {
  return events.map(([event, state], index) => {
    const atMs = startMs - hoursAgo * 3_600_000 + index * 60_000;
    const meta = { approval: `approval-${id}`, seq: index + 1, atMs, event, state };
    const place = { ledger: 'approval', seq: ++seq, call: callId(id), session: sessionId(1) };
    return stored({ ...place, kind: 'approval', meta, atMicros: atMs * 1_000 });
  });
}
const taken = (id: number): ApprovalEvent => {
  return { id: `taken-${id}`, kind: 'taken', call: callId(id), exact: 'exact', shape: 'shape', instance: 'ingress' };
};
const approve = voted('approve', 'local:ann', 'Go.');
const approvals: readonly StoredFrame[] = [
  ...approvalOf(50, 3, [
    [requested(50, 'dep'), 'pending'],
    [approve, 'pending'],
    [voted('approve', 'local:bob', ''), 'approved'],
    [taken(50), 'used'],
  ]),
  ...approvalOf(51, 2, [
    [requested(51, 'dep'), 'pending'],
    [approve, 'pending'],
    [voted('deny', 'local:bob', 'No.'), 'denied'],
  ]),
  ...approvalOf(52, 1, [
    [requested(52), 'pending'],
    [{ id: 'e', kind: 'expired' }, 'expired'],
  ]),
  ...approvalOf(53, 50, [
    [requested(53), 'pending'],
    [approve, 'approved'],
    [{ id: 'f', kind: 'expired' }, 'expired'],
  ]),
];

before(async () => {
  store = await openStore({ kind: 'embedded', dir });
  await store.insert([...planted.flatMap(framesOf), ...approvals]);
});
after(async () => {
  await store.close();
  rmSync(dir, { recursive: true, force: true });
});

async function answer(
  name: string,
  params: Readonly<Record<string, string>>,
): Promise<readonly (readonly unknown[])[]> {
  return (await store.sql({ sql: readFileSync(join(directory, `${name}.sql`), 'utf8'), params })).rows;
}

test('who-read: by itself, with its namespace, with the cluster; refused and answered apart', async () => {
  const params = { ...secret, days: '7' };
  const [s1, s2, s3, s4, s5] = [1, 2, 3, 4, 5].map(sessionId);
  assert.deepEqual(await answer('who-read', params), [
    ['cat', 'get', 'object', 'deny', '1', '0', at(1), at(1), s3],
    ['cat', 'list', 'object', 'allow', '1', '1', at(1.5), at(1.5), s3],
    ['bob', 'watch', 'cluster', 'allow', '1', '0', at(2), at(2), s2],
    ['bob', 'list', 'namespace', 'allow', '1', '1', at(3), at(3), s2],
    ['ann', 'get', 'object', 'allow', '2', '2', at(5), at(4), s1],
    ['dan', 'patch', 'object', 'allow', '1', '1', at(6), at(6), s4],
    ['eve', 'watch', 'namespace', 'allow', '1', '1', at(200), at(200), s5],
  ]);
  assert.equal((await answer('who-read', { ...params, days: '30' })).length, 7);
  assert.deepEqual(
    (await answer('who-read', { ...params, days: '30' }))
      .map((row) => [row[0], row[4]])
      .find(([agent]) => agent === 'ann'),
    ['ann', '3'],
  );
});

test('denied: by agent and reason, the most first, with the newest example', async () => {
  assert.deepEqual(await answer('denied', { days: '7' }), [
    ['dep', 'DeniedByRule', '2', at(42), at(41), 'delete deployments.apps web', callId(30)],
    ['cat', 'DeniedByRule', '1', at(1), at(1), 'get secrets db', callId(5)],
    ['dep', 'NoRuleMatched', '1', at(47), at(47), 'delete deployments.apps web', callId(24)],
  ]);
  assert.deepEqual((await answer('denied', { days: '1' })).length, 1);
});

test('agent-activity: the calls of one agent by what they were about', async () => {
  assert.deepEqual(await answer('agent-activity', { agent: 'cat', days: '7' }), [
    ['get', 'secrets', 'shop', 'deny', '1', at(1), at(1)],
    ['list', 'secrets', 'shop', 'allow', '1', at(1.5), at(1.5)],
  ]);
  assert.deepEqual(await answer('agent-activity', { agent: 'ann', days: '7' }), [
    ['get', 'secrets', 'shop', 'allow', '3', at(5), at(1)],
    ['get', 'secrets', 'other', 'allow', '1', at(1), at(1)],
    ['list', 'configmaps', 'shop', 'allow', '1', at(1), at(1)],
    ['list', 'secrets', 'other', 'allow', '1', at(1), at(1)],
  ]);
});

test('unknown-outcomes: calls of which nobody knows what they did, the newest first', async () => {
  assert.deepEqual(await answer('unknown-outcomes', { days: '7' }), [
    [at(44), 'dep', 'patch', 'deployments.apps', 'test', 'web', 'presumed-unknown', callId(27)],
    [at(46), 'dep', 'deletecollection', 'deployments.apps', 'shop', '', 'failed', callId(25)],
  ]);
});

test('object-history: what was done and tried, subresources and deletions of all objects too, in the order of time', async () => {
  const params = { resource: 'deployments.apps', namespace: 'shop', name: 'web', days: '30' };
  assert.deepEqual(await answer('object-history', params), [
    [at(50), 'dep', 'create', 'deployments.apps', 'allow', 'AllowedByRule', 'completed', 201, callId(21)],
    [at(48.5), 'dep', 'update', 'deployments.apps/scale', 'allow', 'AllowedByRule', 'completed', 200, callId(23)],
    [at(47), 'dep', 'delete', 'deployments.apps', 'deny', 'NoRuleMatched', 'refused', 403, callId(24)],
    [at(46), 'dep', 'deletecollection', 'deployments.apps', 'allow', 'AllowedByRule', 'failed', 0, callId(25)],
    [at(43), 'dep', 'get', 'deployments.apps/proxy', 'allow', 'AllowedByRule', 'completed', 200, callId(28)],
  ]);
  assert.deepEqual(await answer('object-history', { ...params, days: '1' }), []);
});

test('busiest-agents: calls, changes, refusals and bytes of each, the busiest first', async () => {
  assert.deepEqual(await answer('busiest-agents', { days: '2' }), [
    ['dep', '7', '6', '3', '70', at(41)],
    ['ann', '6', '0', '0', '60', at(1)],
    ['bob', '2', '0', '0', '10', at(2)],
    ['cat', '2', '0', '1', '20', at(1)],
    ['dan', '2', '2', '0', '20', at(6)],
  ]);
});

test('slowest: the longest first, no watches, no more than asked for', async () => {
  const slow: Planted = { id: 40, hoursAgo: 1, agent: 'sly', verb: 'list', resource: 'pods', durationMs: 9_000 };
  await store.insert([...framesOf(slow), ...framesOf({ ...slow, id: 41, durationMs: 8_000 })]);
  assert.deepEqual(await answer('slowest', { days: '7', rows: '2' }), [
    [9000, at(1), 'sly', 'list', 'pods', '', '', 200, callId(40)],
    [8000, at(1), 'sly', 'list', 'pods', '', '', 200, callId(41)],
  ]);
});

const scaled = 'patch deployments.apps/scale n/web';
const minute = 1 / 60;

test('who-approved: what reviewers let through, in their words, with the calls that used it', async () => {
  const recent = [
    at(3 - 2 * minute),
    ['local:ann', 'local:bob'],
    ['Go.', ''],
    'dep',
    scaled,
    'asks',
    'used',
    [callId(50)],
    'approval-50',
  ];
  assert.deepEqual(await answer('who-approved', { days: '30' }), [
    recent,
    [at(50 - minute), ['local:ann'], ['Go.'], 'demo', scaled, 'asks', 'expired', [], 'approval-53'],
  ]);
  assert.deepEqual(await answer('who-approved', { days: '1' }), [recent]);
});

test('asked: what agents asked for, and what became of it', async () => {
  const why = [scaled, 'asks', 'A person looks at it.'];
  const both = ['local:ann', 'local:bob'];
  const recent = [
    [at(1), 'demo', ...why, 'expired', [], null, '0', callId(52), 'approval-52'],
    [at(2), 'dep', ...why, 'denied', both, '120', '0', callId(51), 'approval-51'],
    [at(3), 'dep', ...why, 'used', both, '120', '1', callId(50), 'approval-50'],
  ];
  assert.deepEqual(await answer('asked', { days: '1' }), recent);
  assert.deepEqual(await answer('asked', { days: '7' }), [
    ...recent,
    [at(50), 'demo', ...why, 'expired', ['local:ann'], '60', '0', callId(53), 'approval-53'],
  ]);
});

/** A stream in the pod `n/web`. `end`: `null` while it runs. */
function streamOf(id: number, hoursAgo: number, call: FrameMeta['call'], end: FrameMeta['outcome'] | null) {
  const place = { ledger: 'l', call: callId(id), session: sessionId(9), atMicros: micros(hoursAgo) };
  const frames = [stored({ ...place, seq: ++seq, kind: 'call', meta: call })];
  return end === null ? frames : [...frames, stored({ ...place, seq: ++seq, kind: 'outcome', meta: end })];
}
const told = 'sluice: killed by local:ann: No.';
const streamsPlanted = (): StoredFrame[] => {
  const attach = ran([], 'tom');
  const debug: FrameMeta['call'] = {
    ...asked('allow', 'deb'),
    attributes: { ...attach.attributes, verb: 'patch', subresource: 'ephemeralcontainers' } as never,
    pod: { uid: 'u', resourceVersion: '7', secrets: ['db'] },
  };
  return [
    ...streamOf(64, 4, debug, ended('completed', 200)),
    ...streamOf(60, 3, ran(['cat', '/etc/db/password'], 'tom'), streamEnded(0)),
    ...streamOf(61, 2, ran(['sh'], 'tom'), streamEnded(null, told)),
    ...streamOf(62, 1, { ...attach, attributes: { ...attach.attributes, subresource: 'attach' } as never }, null),
    ...streamOf(63, 400, ran(['ls'], 'tom'), streamEnded(2)),
  ];
};

test('exec-commands: who ran what where, and how it ended', async () => {
  await store.insert(streamsPlanted());
  const where = ['tom', 'n', 'web', 'main'];
  const recent = [
    [at(1), ...where, [], true, 'plain', 'allow', null, null, null, callId(62)],
    [at(2), ...where, ['sh'], true, 'plain', 'allow', 'cut', null, told, callId(61)],
    [at(3), ...where, ['cat', '/etc/db/password'], true, 'plain', 'allow', 'completed', 0, null, callId(60)],
  ];
  assert.deepEqual(await answer('exec-commands', { days: '7' }), recent);
  const old = [at(400), ...where, ['ls'], true, 'plain', 'allow', 'completed', 2, null, callId(63)];
  assert.deepEqual(await answer('exec-commands', { days: '30' }), [...recent, old]);
});

test('stream-bytes: what each channel carried, by agent and pod', async () => {
  assert.deepEqual(await answer('stream-bytes', { days: '7' }), [
    ['tom', 'n', 'web', 'pods/exec', 'stdout', '2', '80', at(2)],
    ['tom', 'n', 'web', 'pods/exec', 'stdin', '2', '6', at(2)],
  ]);
});

test('who-read: of a Secret, also streams and containers in pods that refer to it', async () => {
  const params = { resource: 'secrets', namespace: 'n', name: 'db', days: '7' };
  assert.deepEqual(
    await answer('who-read', params),
    [
      ['bob', 'watch', 'cluster', 'allow', '1', '0', at(2), at(2), sessionId(2)],
      ['deb', 'patch', 'pod', 'allow', '1', '1', at(4), at(4), sessionId(9)],
      ['tom', 'create', 'pod', 'allow', '3', '2', at(3), at(1), sessionId(9)],
    ].toSorted((a, b) => String(b[7]).localeCompare(String(a[7]))),
  );
  const other = await answer('who-read', { ...params, name: 'other' });
  assert.deepEqual(
    other.map(([agent]) => agent),
    ['bob'],
  );
});

test('every named query passes the guard with the parameters that its comment names, and is tested here', () => {
  const files = globSync('*.sql', { cwd: directory });
  assert.ok(files.length >= 9);
  const tests = readFileSync(import.meta.filename, 'utf8');
  for (const file of files) {
    const sql = readFileSync(join(directory, file), 'utf8');
    const documented = [...sql.matchAll(/^-- param (\w+)/gm)].map(([, name]) => name);
    assert.match(sql, /^-- [A-Z].*\.\n/, file);
    assert.deepEqual(guardSql(sql).params, new Set(documented), file);
    assert.ok(tests.includes(`\ntest('${file.replace('.sql', ':')}`), file);
  }
});
