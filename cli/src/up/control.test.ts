// The control socket against a real broker: who is not there yet is waited for, and who votes is not believed.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { type KillQuestion, queueGroups, subjects } from '@sluice/model';
import { BrokerError, createLogger, openBroker } from '@sluice/runtime';
import { removeScratch, scratch, TestBroker, within } from '@sluice/testing';
import { homePaths } from '../home.ts';
import { kill } from '../kill.ts';
import { openRecords } from '../records.ts';
import { askRunning } from '../running.ts';
import { listenControl } from './control.ts';
import { Tail } from './tail.ts';

const log = createLogger('test', '/dev/null');
const reviewer = { name: 'local:alice', groups: ['staff', 'sre'] };

test('a question is asked again while its part is being started again, and is answered once', async (t) => {
  const dir = scratch();
  const server = await TestBroker.start();
  const broker = await openBroker(server.env, 'test cli', log);
  const recorder = await openBroker(server.env, 'test recorder', log);
  let refusals = 0;
  let starts: Promise<void> | undefined;
  const questions: unknown[] = [];
  const watched: typeof broker = {
    ...broker,
    request: (...args) =>
      broker.request(...args).catch((error: unknown) => {
        if (error instanceof BrokerError && error.code === 'no-responders' && ++refusals === 2) {
          recorder.respond(subjects.records, queueGroups.recorder, (payload) => {
            questions.push(JSON.parse(Buffer.from(payload).toString()));
            return Buffer.from(JSON.stringify({ kind: 'calls', calls: [] }));
          });
          starts = recorder.nats.flush();
        }
        throw error;
      }),
  };
  const control = await listenControl(
    join(dir, 'control.sock'),
    watched,
    new Tail(() => openBroker(server.env, 'test tail', log)),
    reviewer,
  );
  t.after(async () => {
    await control.close();
    await Promise.all([broker, recorder].map((connection) => connection.drain()));
    await server.close();
    removeScratch(dir);
  });
  const records = openRecords(homePaths(dir));
  const question = { kind: 'calls', limit: 3 } as const;
  assert.deepEqual(await within('an answer', records.ask(question)), { kind: 'calls', calls: [] });
  await starts;
  assert.ok(refusals >= 2);
  assert.deepEqual(questions, [question]);
  await records.close();
});

test('a vote is the vote of who runs Sluice, whoever the client says it is; other questions go as they are', async (t) => {
  const dir = scratch();
  const server = await TestBroker.start();
  const broker = await openBroker(server.env, 'control', log);
  const approval = await openBroker(server.env, 'approval', log);
  // It answers with what it was asked.
  approval.respond(subjects.approvalReview, queueGroups.approval, (payload) => payload);
  await approval.nats.flush();
  const control = await listenControl(
    join(dir, 'control.sock'),
    broker,
    new Tail(() => openBroker(server.env, 'control tail', log)),
    reviewer,
  );
  t.after(async () => {
    await control.close();
    await Promise.all([broker, approval].map((connection) => connection.drain()));
    await server.close();
    removeScratch(dir);
  });
  const relayed = async (question: string): Promise<unknown> =>
    JSON.parse(String(await askRunning(homePaths(dir), '/v1/approvals', question)));

  const vote = { kind: 'vote', approval: '7k2m9xqd4t', vote: 'approve', reason: '', more: 0 };
  assert.deepEqual(await relayed(JSON.stringify(vote)), { ...vote, reviewer });
  const other = { name: 'local:root', groups: ['wheel'] };
  assert.deepEqual(await relayed(JSON.stringify({ ...vote, reviewer: other })), { ...vote, reviewer });
  // Twice the key, and the kind after it.
  const twice = '{"reviewer":{"name":"local:root"},"kind":"list","reviewer":"local:root","kind":"vote"}';
  assert.deepEqual(await relayed(twice), { kind: 'vote', reviewer });
  for (const question of [
    { kind: 'list', state: 'pending', limit: 3 },
    { kind: 'show', approval: '7k2m9xqd4t' },
    { kind: 'wait', approval: '7k2m9xqd4t', state: 'pending' },
  ]) {
    assert.deepEqual(await relayed(JSON.stringify(question)), question);
  }
  for (const question of ['', 'vote', 'null', '"vote"', '{"kind":"vote"']) {
    await assert.rejects(relayed(question), { message: 'the question is not a JSON object' });
  }
});

test('a kill goes to every ingress, in the name of who runs Sluice; it says what each of them cut', async (t) => {
  const dir = scratch();
  const server = await TestBroker.start();
  const broker = await openBroker(server.env, 'control', log);
  const ingresses = await Promise.all(['a', 'b', 'c'].map(() => openBroker(server.env, 'ingress', log)));
  const control = await listenControl(
    join(dir, 'control.sock'),
    broker,
    new Tail(() => openBroker(server.env, 'control tail', log)),
    reviewer,
  );
  t.after(async () => {
    await control.close();
    await Promise.all([broker, ...ingresses].map((connection) => connection.drain()));
    await server.close();
    removeScratch(dir);
  });
  const home = homePaths(dir);
  const id = '01a20850-635b-7dcb-abe1-3e7176b59372';
  const session = 'a'.repeat(32);
  const out = new PassThrough();
  const nothing = { message: `nothing of ${id} runs; \`sluice calls list\` shows which calls are running` };
  await assert.rejects(kill(home, id, { reason: 'no' }, out), nothing, 'no ingress is there');

  const questions: unknown[] = [];
  for (const [index, ingress] of ingresses.entries()) {
    ingress.nats.subscribe(subjects.kill, {
      callback: (_, message) => {
        const question = message.json<KillQuestion>();
        questions.push(question);
        const calls = question.id === session ? [['one'], ['two', 'three'], []][index] : [];
        if (calls !== undefined && calls.length > 0) message.respond(JSON.stringify({ calls }));
      },
    });
    await ingress.nats.flush();
  }
  await assert.rejects(kill(home, id, { reason: 'no' }, out), nothing, 'none of them runs it');
  questions.length = 0;
  await kill(home, session.toUpperCase(), { reason: ' not in this pod ', json: true }, out);
  const { calls } = JSON.parse(String(out.read())) as { calls: string[] };
  assert.deepEqual(calls.toSorted(), ['one', 'three', 'two']);
  const question = { id: session, reason: 'not in this pod', by: 'local:alice' };
  assert.deepEqual(questions, [question, question, question]);
  await kill(home, session, { reason: 'no' }, out);
  assert.deepEqual(String(out.read()).split('\n').toSorted(), ['', 'cut one', 'cut three', 'cut two']);

  // Whoever reaches the socket is no more believed than the command.
  questions.length = 0;
  const relayed = (asked: object) => askRunning(home, '/v1/kill', JSON.stringify(asked));
  await relayed({ id: session, reason: 'no', by: 'local:root', calls: ['x'] });
  assert.deepEqual(questions[0], { id: session, reason: 'no', by: 'local:alice' });
  await assert.rejects(relayed({ id: session, reason: 'two\nlines' }), /^Error: a reason has 1 to 200 characters/);
  await assert.rejects(relayed({ id: '>', reason: 'no' }), /^Error: ">" is no id of a call or a session/);
});

test('a reason is one line that people can read, and an id is one', async () => {
  const home = homePaths('/nowhere');
  const out = new PassThrough();
  const id = 'a'.repeat(32);
  for (const reason of ['', '  ', 'a\nb', 'a\tb', '\u001b[2J', '\u202egpj', 'x'.repeat(201)]) {
    await assert.rejects(kill(home, id, { reason }, out), /a reason has 1 to 200 characters/, JSON.stringify(reason));
  }
  for (const wrong of ['', 'all', 'a'.repeat(31), `${id}\n`, '*']) {
    await assert.rejects(kill(home, wrong, { reason: 'no' }, out), /is no id of a call or a session/, wrong);
  }
  await assert.rejects(kill(home, id, { reason: 'x'.repeat(200) }, out), /no Sluice runs here/);
});
