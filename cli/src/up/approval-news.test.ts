// What `sluice up` says of approvals: the lines themselves, and that changes told on a real broker become lines.
import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { type ApprovalState, subjects } from '@sluice/model';
import { createLogger, openBroker } from '@sluice/runtime';
import { TestBroker, until } from '@sluice/testing';
import { ApprovalNews, tellApprovals } from './approval-news.ts';

const summary = 'agent "demo" wants to delete deployments.apps "web" in namespace "shop"';

function change(state: string, approval = '7k2m9xqd4t', said = summary): Buffer {
  return Buffer.from(JSON.stringify({ approval, state, summary: said }));
}

test('an approval is told when it is opened and when it ends, each once', () => {
  const news = new ApprovalNews();
  assert.equal(
    news.told(change('pending')),
    `  approval  7k2m9xqd4t pending: agent "demo" wants to delete deployments.apps "web" in namespace "shop"
            npx --no-install sluice approvals show 7k2m9xqd4t
`,
  );
  assert.equal(news.told(change('pending')), '', 'a vote of two, a further call');
  assert.equal(news.told(change('approved')), '', 'it goes on');
  const used = '  approval  7k2m9xqd4t used: agent "demo" wants to delete deployments.apps "web" in namespace "shop"\n';
  assert.equal(news.told(change('used')), used);
  assert.equal(news.told(change('used')), '');
  assert.match(news.told(change('ambiguous')), /^ {2}approval {2}7k2m9xqd4t ambiguous: .*\n$/);
  const ends: readonly ApprovalState[] = ['denied', 'expired', 'used', 'ambiguous', 'cancelled'];
  for (const [index, state] of ends.entries()) {
    assert.equal(news.told(change(state, `a${index}`, 's')), `  approval  a${index} ${state}: s\n`);
  }
});

test('a minute has twenty changes told, and the number of the others', () => {
  const news = new ApprovalNews();
  assert.equal(news.minute(), '');
  const told = Array.from({ length: 57 }, (_, index) => news.told(change('pending', `a${index}`)));
  assert.equal(told.filter((lines) => lines !== '').length, 20);
  assert.equal(told.slice(20).join(''), '');
  assert.equal(news.minute(), '  approval  … 37 more: npx --no-install sluice approvals list\n');
  assert.equal(news.minute(), '', 'it is said once');
  assert.equal(news.told(change('denied', 'a50', 's')), '  approval  a50 denied: s\n', 'the next minute');
});

test('what is told stays on its line, commands no terminal, and is no longer than it may be', () => {
  const news = new ApprovalNews();
  assert.equal(
    news.told(change('denied', 'a\u001b[2J', 'x\n  approval  b denied: \u202ey\u009b')),
    '  approval  a\\u001b[2J denied: x\\n  approval  b denied: \\u202ey\\u009b\n',
  );
  assert.equal(news.told(change('denied', 'b', 'x'.repeat(301))), `  approval  b denied: ${'x'.repeat(299)}…\n`);
  const noChanges = ['', 'null', '[]', '{"approval":"c"}', '{"approval":1,"state":"denied","summary":"s"}'];
  for (const payload of noChanges) assert.equal(news.told(Buffer.from(payload)), '', payload);
  assert.equal(news.told(change('toString')), '', 'no state');
});

test('what the approval service tells is written by who listens as `control`', async (t) => {
  const server = await TestBroker.start();
  const log = createLogger('test', '/dev/null');
  const control = await openBroker(server.env, 'control', log);
  const approval = await openBroker(server.env, 'approval', log);
  const out = new PassThrough({ encoding: 'utf8' });
  let written = '';
  out.on('data', (text: string) => {
    written += text;
  });
  const news = tellApprovals(control, out);
  t.after(async () => {
    news.close();
    await Promise.all([control, approval].map((connection) => connection.drain()));
    await server.close();
  });
  await control.nats.flush();
  approval.tell(subjects.approvalChanged, change('cancelled', '7k2m9xqd4t', 's'));
  await until('a line', () => written !== '');
  assert.equal(written, '  approval  7k2m9xqd4t cancelled: s\n');
});
