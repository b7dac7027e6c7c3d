import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import { type ApprovalCard, type ApprovalState, approvalStates, type ReviewAnswer } from '@sluice/model';
import { exitCodeOf, listApprovals, showApproval, voteOnApproval, waitForApproval } from './approvals.ts';
import { type HomePaths, homePaths } from './home.ts';

const id = '7k2m9xqd4t';
const row = {
  id,
  state: 'pending',
  agent: 'demo',
  task: null,
  summary: 'agent "demo" wants to get /metrics',
  requestedAt: '2026-11-23T12:10:16.123Z',
  expiresAt: '2026-11-23T12:40:16.123Z',
  votes: [],
} as const;
const card: ApprovalCard = {
  ...row,
  request: {
    call: '01a20850-635b-7dcb-abe1-3e7176b59372',
    session: '00',
    agent: { name: 'demo', issuer: 'sluice', groups: [] },
    connection: 'c',
    attributes: { kind: 'nonResource', verb: 'get', path: '/metrics' },
    method: 'GET',
    target: '/metrics',
    bodyBytes: 0,
    exact: '',
    shape: '',
    mayDiffer: [],
    object: { kind: 'none' },
    policy: 'p',
    rule: 'r',
    reason: '',
    policyVersion: '',
    authority: 1,
    terms: { reviewers: [], quorum: 1, holdMs: 0, expiresMs: 1_800_000 },
  },
  body: '',
  joined: [],
  uses: [],
};
const shown = (state: ApprovalState): ReviewAnswer => ({ kind: 'show', approval: { ...card, state } });

function newHome(t: TestContext): HomePaths {
  const root = mkdtempSync(join(tmpdir(), 'sl-'));
  t.after(() => rmSync(root, { recursive: true }));
  return homePaths(root);
}

/** A Sluice that gives these answers, one after the other, and then none; the questions it got are in the list. */
async function running(
  t: TestContext,
  ...answers: readonly ReviewAnswer[]
): Promise<{ readonly home: HomePaths; readonly asked: unknown[] }> {
  const home = newHome(t);
  const asked: unknown[] = [];
  const server = createServer((request, response) => {
    assert.deepEqual([request.method, request.url], ['POST', '/v1/approvals']);
    void text(request).then((body) => {
      const answer = answers[asked.length];
      asked.push(JSON.parse(body));
      if (answer !== undefined) response.end(JSON.stringify(answer));
    });
  });
  server.listen(home.controlSocket);
  await once(server, 'listening');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return { home, asked };
}

/** What a command writes. */
async function written(command: (out: PassThrough) => Promise<unknown>): Promise<string> {
  const out = new PassThrough();
  await command(out);
  out.end();
  return text(out);
}

test('`list` asks for what its options say, and prints rows', async (t) => {
  const { home, asked } = await running(t, { kind: 'list', approvals: [row] }, { kind: 'list', approvals: [] });
  const json = await written((out) => listApprovals(home, { limit: 50, json: true }, out));
  assert.deepEqual(JSON.parse(json), [row]);
  assert.equal(await written((out) => listApprovals(home, { state: 'denied', limit: 3 }, out)), 'No approvals.\n');
  assert.deepEqual(asked, [
    { kind: 'list', limit: 50 },
    { kind: 'list', limit: 3, state: 'denied' },
  ]);
});

test('`show` has the card, and takes an id in any case', async (t) => {
  const { home, asked } = await running(t, shown('pending'), shown('denied'));
  assert.deepEqual(JSON.parse(await written((out) => showApproval(home, id, { json: true }, out))), card);
  assert.match(
    await written((out) => showApproval(home, '7K2M9xQD4T', {}, out)),
    /^agent "demo" wants to get \/metrics\n/,
  );
  assert.deepEqual(asked, [
    { kind: 'show', approval: id },
    { kind: 'show', approval: id },
  ]);
});

test('`approve` and `deny` vote without a word about who votes, and say what is now the case', async (t) => {
  const { home, asked } = await running(t, shown('approved'), shown('denied'), shown('denied'));
  assert.equal(
    await written((out) => voteOnApproval(home, 'approve', id, { more: 5 }, out)),
    '7k2m9xqd4t is approved: agent "demo" wants to get /metrics\n',
  );
  assert.equal(
    await written((out) => voteOnApproval(home, 'deny', id, { reason: 'no' }, out)),
    '7k2m9xqd4t is denied: agent "demo" wants to get /metrics\n',
  );
  const json = await written((out) => voteOnApproval(home, 'deny', id, { json: true }, out));
  assert.deepEqual(JSON.parse(json), { ...row, state: 'denied' });
  assert.deepEqual(asked.slice(0, 2), [
    { kind: 'vote', approval: id, vote: 'approve', reason: '', more: 5 },
    { kind: 'vote', approval: id, vote: 'deny', reason: 'no', more: 0 },
  ]);
});

test('`wait` asks again until the approval is no longer pending, and prints it', async (t) => {
  const { home, asked } = await running(t, shown('pending'), shown('pending'), shown('used'), shown('expired'));
  let state: ApprovalState | undefined;
  const json = await written(async (out) => {
    state = await waitForApproval(home, id, { timeout: 60_000, json: true }, out);
  });
  assert.equal(state, 'used');
  assert.deepEqual(JSON.parse(json), { ...row, state: 'used' });
  assert.deepEqual(
    asked,
    Array.from({ length: 3 }, () => ({ kind: 'wait', approval: id, state: 'pending' })),
  );
  const table = await written((out) => waitForApproval(home, id, { timeout: 60_000 }, out));
  assert.match(table, /^AGE +ID .*\n\d+d +7k2m9xqd4t +expired +demo .*\n$/);
});

test('`wait` ends with its timeout, and says so', async (t) => {
  // The second question gets no answer.
  const { home } = await running(t, shown('pending'));
  await assert.rejects(
    written((out) => waitForApproval(home, id, { timeout: 300 }, out)),
    { message: `${id} is still pending; wait longer with --timeout, or look: sluice approvals show ${id}` },
  );
});

test('an approved or used approval is a success, every other one is not', () => {
  const states = Object.keys(approvalStates) as readonly ApprovalState[];
  assert.deepEqual(
    states.filter((state) => exitCodeOf(state) === 0),
    ['approved', 'used'],
  );
  assert.equal(exitCodeOf('denied'), 1);
});

test('errors are one sentence, and none of it commands a terminal', async (t) => {
  const { home, asked } = await running(t, { kind: 'error', message: 'no\u001b[2J\nsuch' });
  await assert.rejects(
    written((out) => showApproval(home, id, {}, out)),
    { message: 'no\\u001b[2J\\nsuch' },
  );
  for (const wrong of ['', '7k2m9xqd4', '7k2m9xqd4tt', '7k2m9xqd4u', '7k2m9xqd4i', '7k2m9xqd4l', '7k2m9xqd4o']) {
    await assert.rejects(
      written((out) => voteOnApproval(home, 'approve', wrong, {}, out)),
      { message: `"${wrong}" is no id of an approval; \`sluice approvals list\` shows them` },
    );
  }
  assert.equal(asked.length, 1, 'no wrong id is asked about');
  await assert.rejects(
    written((out) => listApprovals(newHome(t), { limit: 1 }, out)),
    { message: 'no Sluice runs here, and approvals are decided while one does; start it: npm start' },
  );
});
