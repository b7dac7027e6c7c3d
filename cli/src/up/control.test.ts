// The control socket against a real broker: who is not there yet is waited for.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { queueGroups, subjects } from '@sluice/model';
import { BrokerError, createLogger, openBroker } from '@sluice/runtime';
import { removeScratch, scratch, TestBroker, within } from '@sluice/testing';
import { homePaths } from '../home.ts';
import { openRecords } from '../records.ts';
import { listenControl } from './control.ts';
import { Tail } from './tail.ts';

const log = createLogger('test', '/dev/null');

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
  assert.deepEqual([refusals, questions], [2, [question]]);
  await records.close();
});
