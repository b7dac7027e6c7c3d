import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { TestBroker } from '@sluice/testing';
import { type Broker, BrokerError, openBroker } from './broker.ts';
import { ConfigError } from './env.ts';
import { createLogger } from './log.ts';

const log = createLogger('test', '/dev/null');
const question = Buffer.from('?');
let server: TestBroker;
let asking: Broker;

before(async () => {
  server = await TestBroker.start();
  asking = await openBroker(server.env, 'asking', log);
});

after(async () => {
  await asking.drain();
  await server.close();
});

const answerTo = async (subject: string): Promise<string> =>
  Buffer.from(await asking.request(subject, question, 5_000)).toString();

test('a request that nobody listens to fails at once, as such', async () => {
  await assert.rejects(asking.request('nobody', question, 60_000), { code: 'no-responders' });
});

test('a request that nobody answers times out, as such', async () => {
  const worker = await openBroker(server.env, 'worker', log);
  worker.respond('silent', 'q', () => null);
  worker.respond('broken', 'q', () => {
    throw new Error('broken');
  });
  await worker.nats.flush();
  for (const subject of ['silent', 'broken']) {
    await assert.rejects(asking.request(subject, question, 200), { code: 'timeout' });
  }
  await worker.drain();
});

test('one of a group answers', async () => {
  const workers = await Promise.all(['a', 'b'].map((name) => openBroker(server.env, name, log)));
  let answers = 0;
  for (const worker of workers) {
    worker.respond('group', 'q', () => {
      answers++;
      return Buffer.from('!');
    });
    await worker.nats.flush();
  }
  for (let i = 0; i < 10; i++) assert.equal(await answerTo('group'), '!');
  assert.equal(answers, 10);
  await Promise.all(workers.map((worker) => worker.drain()));
});

test('a worker that drains gives the answer it has in hand, and takes no other', async () => {
  const worker = await openBroker(server.env, 'worker', log);
  const started = Promise.withResolvers<void>();
  const goOn = Promise.withResolvers<void>();
  worker.respond('slow', 'q', async () => {
    started.resolve();
    await goOn.promise;
    return Buffer.from('late');
  });
  await worker.nats.flush();
  const answered = answerTo('slow');
  await started.promise;
  const drained = worker.drain();
  for (;;) {
    const refused = await asking.request('slow', question, 300).catch((error: unknown) => error);
    if (refused instanceof BrokerError && refused.code === 'no-responders') break;
  }
  goOn.resolve();
  assert.equal(await answered, 'late');
  await drained;
});

test('a broker that is away is known at once, and found again', async () => {
  await server.kill();
  for (;;) {
    const error = await asking.request('nobody', question, 300).catch((cause: unknown) => cause);
    if (error instanceof BrokerError && error.code === 'disconnected') break;
  }
  assert.equal(asking.connected(), false);
  await server.resume();
  while (!asking.connected()) await new Promise((resolve) => setTimeout(resolve, 50));
  await assert.rejects(asking.request('nobody', question, 5_000), { code: 'no-responders' });
});

test('a wrong password, or no broker at all, is a line with the address', async () => {
  const url = new URL(server.env.SLUICE_NATS_URL);
  url.password = 'wrong';
  for (const wrong of [url.href, 'nats://127.0.0.1:1']) {
    await assert.rejects(openBroker({ SLUICE_NATS_URL: wrong }, 'x', log), (error: unknown) => {
      assert.ok(error instanceof ConfigError);
      assert.match(error.message, /^no broker answers at 127\.0\.0\.1:\d+/);
      assert.ok(!error.message.includes('wrong'));
      return true;
    });
  }
});
