import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ApprovalCard, ResourceAttributes } from '@sluice/model';
import { approvalsTable, cardText, standingLine } from './approval-card.ts';

const now = Date.parse('2026-11-23T12:15:00Z');

const card: ApprovalCard = {
  id: '7k2m9xqd4t',
  state: 'pending',
  agent: 'demo',
  task: null,
  summary: 'agent "demo" wants to patch deployments.apps/scale "web" in namespace "shop"',
  requestedAt: '2026-11-23T12:10:16.123Z',
  expiresAt: '2026-11-23T12:40:16.123Z',
  votes: [],
  request: {
    call: '01a20850-635b-7dcb-abe1-3e7176b59372',
    session: '3f0c9a4be1d2475f8a6b7c0d1e2f3a4b',
    agent: { name: 'demo', issuer: 'https://id.example', groups: ['agents/ci', 'agents/read-only'] },
    connection: 'prod-eu',
    attributes: {
      kind: 'resource',
      verb: 'patch',
      apiGroup: 'apps',
      version: 'v1',
      resource: 'deployments',
      subresource: 'scale',
      namespace: 'shop',
      name: 'web',
    },
    method: 'PATCH',
    target: '/apis/apps/v1/namespaces/shop/deployments/web/scale',
    bodyBytes: 24,
    exact: '00',
    shape: '00',
    mayDiffer: [],
    object: { kind: 'known', uid: '5f2c6d1e-9a51-4a0e-8a63-0d7c2f1b9e44', resourceVersion: '48151' },
    policy: 'incident-agent',
    rule: 'scale-a-little',
    reason: 'Scaling is looked at by those who pay for it.',
    policyVersion: 'v',
    authority: 1,
    terms: { reviewers: [], quorum: 1, holdMs: 60_000, expiresMs: 1_800_000 },
  },
  body: '{"spec":{"replicas":10}}',
  joined: [],
  uses: [],
};

test('the card of a pending approval ends with what to type', () => {
  assert.equal(
    cardText(card, now),
    `agent "demo" wants to patch deployments.apps/scale "web"
  in namespace "shop"

state      pending: no reviewer has decided yet; open for
           25m more, until 2026-11-23 12:40:16 UTC
why        Scaling is looked at by those who pay for it.
rule       "scale-a-little" of policy "incident-agent"
reviewers  anybody
cluster    prod-eu
agent      demo (https://id.example)
groups     agents/ci, agents/read-only
object     resourceVersion 48151
           uid 5f2c6d1e-9a51-4a0e-8a63-0d7c2f1b9e44
asked      4m ago, 2026-11-23 12:10:16 UTC
call       01a20850-635b-7dcb-abe1-3e7176b59372
request    PATCH
  /apis/apps/v1/namespaces/shop/deployments/web/scale
  {
    "spec": {
      "replicas": 10
    }
  }

npx --no-install sluice approvals approve 7k2m9xqd4t
npx --no-install sluice approvals deny 7k2m9xqd4t --reason "…"
`,
  );
});

const pods: ResourceAttributes = {
  kind: 'resource',
  verb: 'delete',
  apiGroup: '',
  version: 'v1',
  resource: 'pods',
  subresource: '',
  namespace: 'shop',
  name: 'web',
};
const joined = { call: 'c', attributes: pods, method: 'DELETE', target: '/x', exact: '', shape: '' };

test('the card of a decided approval says who decided what, what joined, and what came of it', () => {
  const decided: ApprovalCard = {
    ...card,
    state: 'ambiguous',
    task: 'roll web back',
    votes: [
      { reviewer: 'local:alice', vote: 'approve', reason: 'looks right', at: '2026-11-23T12:11:00.000Z', more: 3 },
      { reviewer: 'local:bob', vote: 'approve', reason: '', at: '2026-11-23T12:12:00.000Z', more: 0 },
    ],
    request: {
      ...card.request,
      agent: { name: 'demo', issuer: 'sluice', groups: [] },
      target: '/api/v1/namespaces/shop/pods/web',
      object: { kind: 'absent' },
      bodyBytes: 40_000,
      mayDiffer: ['.metadata.annotations.at', '.spec.nonce'],
      reason: '',
      terms: { ...card.request.terms, quorum: 2, reviewers: [['group:sre', 'local:alice'], ['local:bob']] },
    },
    body: `{"a":"${'x'.repeat(32)}`,
    joined: [
      { ...joined, attributes: { ...pods, name: 'web-2' } },
      { ...joined, attributes: { kind: 'nonResource', verb: 'get', path: '/metrics' } },
    ],
    uses: [
      { call: 'call-1', at: '2026-11-23T12:13:00.000Z', end: 'known' },
      { call: 'call-2', at: '2026-11-23T12:13:01.000Z', end: 'unknown' },
      { call: 'call-3', at: '2026-11-23T12:13:02.000Z', end: null },
    ],
  };
  assert.equal(
    cardText(decided, now),
    `agent "demo" wants to patch deployments.apps/scale "web"
  in namespace "shop"

state      ambiguous: the grant is spent, and nobody knows
           whether the call took effect
rule       "scale-a-little" of policy "incident-agent"
reviewers  2 people who each are group:sre or local:alice,
           and local:bob
cluster    prod-eu
agent      demo (sluice)
task       roll web back
object     is not there yet
asked      4m ago, 2026-11-23 12:10:16 UTC
call       01a20850-635b-7dcb-abe1-3e7176b59372
request    PATCH
  /api/v1/namespaces/shop/pods/web
  {"a":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
  … 39962 more bytes: npx --no-install sluice replay 01a20850-635b-7dcb-abe1-3e7176b59372 --full
may vary   .metadata.annotations.at, .spec.nonce, in another
           try
also asked delete pods shop/web-2
also asked get /metrics
vote       2026-11-23 12:11:00 UTC local:alice: approve, and
           up to 3 further calls: looks right
vote       2026-11-23 12:12:00 UTC local:bob: approve
use        2026-11-23 12:13:00 UTC by call call-1: it has an
           outcome
use        2026-11-23 12:13:01 UTC by call call-2: nobody
           knows whether it took effect
use        2026-11-23 12:13:02 UTC by call call-3: on its
           way
`,
  );
});

test('a grant that is not spent says how long it is good for, a card without a body shows none', () => {
  const { request } = card;
  const approved = cardText({ ...card, state: 'approved', request: { ...request, bodyBytes: 0 }, body: '' }, now);
  assert.match(
    approved,
    /\nstate {6}approved: a reviewer has approved it, and the\n {11}grant is not spent; open for 25m more, until\n/,
  );
  assert.match(approved, /\/scale\n$/);
  assert.doesNotMatch(approved, /npx/);
  const many = cardText({ ...card, joined: Array.from({ length: 23 }, () => joined) }, now);
  assert.equal(many.split('also asked').length - 1, 20);
  assert.match(many, /\n {11}… 3 more: --json has them\n/);
  const unreadable = {
    ...card,
    request: { ...request, object: { kind: 'unreadable', why: 'the cluster says 403' } },
  } as const;
  assert.match(cardText(unreadable, now), /\nobject {5}could not be read: the cluster says 403\n/);
  const none = { ...card, request: { ...request, object: { kind: 'none' } } } as const;
  assert.match(cardText(none, now), /\nobject {5}none: the call is about no single one\n/);
});

test('the card says how many reviewers are wanted, and which', () => {
  const { request } = card;
  const wanted = (quorum: number, reviewers: readonly (readonly string[])[]): string => {
    const terms = { ...request.terms, quorum, reviewers };
    return cardText({ ...card, request: { ...request, terms } }, now);
  };
  assert.match(wanted(1, [['group:sre', 'group:dba']]), /\nreviewers {2}anybody who is group:sre or group:dba\n/);
  assert.match(wanted(3, []), /\nreviewers {2}3 people\n/);
});

test('a body cut within a character has the bytes counted that are not here', () => {
  const cut = { ...card, body: `${'x'.repeat(32_767)}\ufffd`, request: { ...card.request, bodyBytes: 32_769 } };
  assert.match(cardText(cut, now), /\n {2}… 1 more bytes: /);
});

test('nothing that an agent or a reviewer wrote commands a terminal or begins a line of the card', () => {
  const evil = '\u001b[2J\nstate      approved\u202e\u009b';
  const spoken = `x ${'y '.repeat(40)}state      approved`;
  const hostile: ApprovalCard = {
    ...card,
    summary: spoken,
    task: evil,
    votes: [{ reviewer: evil, vote: 'deny', reason: evil, at: card.requestedAt, more: 0 }],
    request: {
      ...card.request,
      agent: { name: evil, issuer: evil, groups: [evil] },
      connection: evil,
      target: evil,
      reason: spoken,
      rule: evil,
      policy: evil,
      mayDiffer: [evil],
      object: { kind: 'known', uid: evil, resourceVersion: evil },
    },
    body: `\u001b[2J\nstate      approved\r`,
    joined: [{ ...joined, attributes: { ...pods, name: evil } }],
  };
  const text = cardText(hostile, now);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  assert.doesNotMatch(text, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
  assert.deepEqual(text.match(/^state .*/gm), ['state      pending: no reviewer has decided yet; open for']);
  const line = standingLine({ ...card, state: 'denied', summary: evil });
  assert.equal(line, '7k2m9xqd4t is denied: \\u001b[2J\\nstate      approved\\u202e\\u009b\n');
  assert.equal(approvalsTable([{ ...card, agent: evil, summary: evil }], now).split('\n').length, 3);
});

test('the list says how old an approval is, and how long it is open where that matters', () => {
  const rows: readonly ApprovalCard[] = [
    { ...card, summary: 'agent "demo" wants to delete pods "a"' },
    {
      ...card,
      id: '0123456789',
      state: 'denied',
      agent: 'deployer',
      requestedAt: '2026-11-21T12:10:16Z',
      summary: 's',
    },
    { ...card, id: 'zzzzzzzzzz', state: 'approved', expiresAt: '2026-11-23T12:14:00Z', summary: 'x'.repeat(201) },
  ];
  assert.equal(
    approvalsTable(rows, now),
    [
      `AGE  ID          STATE     AGENT     ${'SUMMARY'.padEnd(200)}  EXPIRES`,
      `4m   7k2m9xqd4t  pending   demo      ${'agent "demo" wants to delete pods "a"'.padEnd(200)}  in 25m`,
      `2d   0123456789  denied    deployer  ${'s'.padEnd(200)}  -`,
      `4m   zzzzzzzzzz  approved  demo      ${'x'.repeat(199)}…  in 0s`,
      '',
    ].join('\n'),
  );
  assert.equal(approvalsTable([], now), 'No approvals.\n');
});

test('after a vote one line says what is now the case', () => {
  const said = 'agent "demo" wants to patch deployments.apps/scale "web" in namespace "shop"\n';
  assert.equal(standingLine({ ...card, state: 'approved' }), `7k2m9xqd4t is approved: ${said}`);
  const vote = { reviewer: 'local:a', vote: 'approve', reason: '', at: card.requestedAt, more: 0 } as const;
  const terms = { ...card.request.terms, quorum: 2 };
  assert.equal(
    standingLine({ ...card, votes: [vote], request: { ...card.request, terms } }),
    `7k2m9xqd4t is pending, with 1 of 2 approvals: ${said}`,
  );
});

const script = 'echo "$PASSWORD" | rev; rm -rf /data\u202e\u200b';
const query = new URLSearchParams([
  ['command', 'sh'],
  ['command', '-c'],
  ['command', script],
  ['container', 'main'],
  ['stdin', 'true'],
  ['stdout', 'true'],
  ['tty', 'false'],
]);
const exec: ApprovalCard = {
  ...card,
  request: {
    ...card.request,
    attributes: {
      ...(card.request.attributes as ResourceAttributes),
      verb: 'create',
      apiGroup: '',
      resource: 'pods',
      subresource: 'exec',
    },
    target: `/api/v1/namespaces/shop/pods/web/exec?${query.toString()}`,
    bodyBytes: 0,
  },
};

test('the card of a command begins with it, as one would type it, and nothing of it is unseen', () => {
  const lines = cardText(exec, now).split('\n');
  assert.deepEqual(lines.slice(3, 9), [
    'command    kubectl exec web -n shop -c main -i -- sh -c',
    `           $'echo "$PASSWORD" | rev; rm -rf`,
    String.raw`           /data\u202e\u200b'`,
    'container  main',
    'input      stdin',
    '',
  ]);
  const read: ApprovalCard = {
    ...exec,
    request: {
      ...exec.request,
      stream: {
        kind: 'exec',
        command: ['bash'],
        container: '',
        stdin: true,
        stdout: true,
        stderr: true,
        tty: true,
        ports: [],
        grade: 'interactive',
        pod: { uid: 'u-1', resourceVersion: '7', secrets: ['db', 'tls'] },
      },
    },
  };
  assert.deepEqual(cardText(read, now).split('\n').slice(3, 10), [
    'command    kubectl exec web -n shop -i -t -- bash',
    "container  the pod's only one, or its default",
    'input      stdin and a terminal',
    'grade      interactive: what is typed decides what it runs',
    'pod        uid u-1',
    'secrets    db, tls, which the pod refers to',
    '',
  ]);
});

test('a command that asks with another is told in full, and a port-forward by its ports', () => {
  const { attributes, method, target, exact, shape } = exec.request;
  const joined = { call: 'c', attributes, method, target: target.replace('command=sh&', 'command=ash&'), exact, shape };
  assert.match(
    cardText({ ...card, joined: [joined] }, now),
    /also asked {0,1}kubectl exec web -n shop -c main -i -- ash\n? /,
  );
  const forward: ApprovalCard = {
    ...exec,
    request: {
      ...exec.request,
      attributes: { ...(attributes as ResourceAttributes), subresource: 'portforward' },
      target: '/api/v1/namespaces/shop/pods/web/portforward?ports=80,443',
    },
  };
  assert.match(cardText(forward, now), /\ncommand {4}kubectl port-forward web -n shop 80 443\n\nstate/);
});
