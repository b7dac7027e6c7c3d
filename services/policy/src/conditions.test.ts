import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { type ConditionInput, Conditions } from './conditions.ts';

const conditions = new Conditions();
after(() => conditions.stop());

/** What a call is, with a body in JSON. */
function input(body: string | null = null, more: Partial<ConditionInput> = {}): ConditionInput {
  return {
    request: {
      verb: 'patch',
      apiGroup: 'apps',
      version: 'v1',
      resource: 'deployments',
      subresource: 'scale',
      namespace: 'shop',
      name: 'web',
      generateName: '',
      path: '',
      connection: 'prod',
    },
    agent: { name: 'demo', issuer: 'https://id.example', groups: ['ops', 'sre'] },
    body: body === null ? null : Buffer.from(body),
    nowMs: Date.UTC(2026, 2, 4, 15, 30),
    ...more,
  };
}

const jsonPatch = '[{"op":"add","path":"/spec/hostPID","value":true}]';

/** Condition, body, verdict. */
const verdicts = [
  ['request.verb == "patch" && request.resource + "/" + request.subresource == "deployments/scale"', null, 'yes'],
  ['request.namespace == "web"', null, 'no'],
  ['"sre" in agent.groups && agent.name == "demo" && agent.issuer.endsWith("id.example")', null, 'yes'],
  ['agent.groups.exists(g, g.startsWith("dev"))', null, 'no'],
  ['now == timestamp("2026-03-04T15:30:00Z")', null, 'yes'],
  ['now.getHours("Europe/Berlin") == 16', null, 'yes'],

  ['object.spec.replicas <= 10', '{"spec":{"replicas":10}}', 'yes'],
  ['object.spec.replicas <= 10', '{"spec":{"replicas":11}}', 'no'],
  ['object.spec.replicas <= 10', '{"spec":{}}', 'error'],
  ['object.spec.replicas <= 10', '{"spec":{"replicas":"many"}}', 'error'],
  ['object.spec.replicas <= 10', '{"spec":{"replicas":null}}', 'error'],
  ['object.?spec.?replicas.orValue(1) <= 10', '{}', 'yes'],
  ['object.cpu < 0.5', '{"cpu":0.25}', 'yes'],
  ['object.cpu < 1', '{"cpu":0.25}', 'yes'],
  ['object.n == 1', '{"n":1.0}', 'yes'],
  ['object.n == 1', '{"n":1.0,"id":"1234567890123456"}', 'yes'],
  ['object.n / 2 == 1', '{"n":3}', 'yes'],
  ['object.n / 2 == 1', '{"n":3,"id":"1234567890123456"}', 'yes'],
  ['object == null', 'null', 'yes'],
  ['object == "text"', '"text"', 'yes'],
  ['object.on && !object.off && object.none == null', '{"on":true,"off":false,"none":null}', 'yes'],
  ['object["__proto__"].x == 1', '{"__proto__":{"x":1}}', 'yes'],
  ['has(object.constructor) || has(object.toString)', '{}', 'no'],
  ['object.name == "Zürich 🚲"', '{"name":"Zürich \\ud83d\\udeb2"}', 'yes'],

  // A double has no room for these.
  ['object.n == 9007199254740993', '{"n":9007199254740993}', 'yes'],
  ['object.n == 9007199254740992', '{"n":9007199254740993}', 'no'],
  ['object.n == -9223372036854775807', '{"n":-9223372036854775807}', 'yes'],
  ['object.list[1].n + 1 == 9223372036854775807', '{"list":[0,{"n":9223372036854775806}]}', 'yes'],
  ['object.n + 1 > 0', '{"n":9223372036854775807}', 'error'],

  // A JSON patch: what it does to a field cannot be read off it.
  ['object.?spec.?hostPID.orValue(false)', jsonPatch, 'error'],
  ['has(object.spec)', jsonPatch, 'error'],
  ['object[?"spec"].hasValue()', jsonPatch, 'error'],
  ['cel.bind(o, object, o.?spec.hasValue())', jsonPatch, 'error'],
  ['object.exists(step, step.path == "/spec/hostPID")', jsonPatch, 'error'],
  ['request.namespace == "shop"', jsonPatch, 'yes'],
  ['request.namespace == "shop" || has(object.spec)', jsonPatch, 'yes'],

  ['true', null, 'yes'],
  ['has(object.spec)', null, 'error'],
  ['object == null', null, 'error'],
  ['object.spec', '{"spec":{}}', 'error'],
  ['[1][5] == 1', null, 'error'],
  ['request.name.matches("(")', null, 'error'],
  ['1 +', null, 'error'],
  ['true', 'apiVersion: v1', 'error'],
  ['true', '{"a":1', 'error'],
  ['true', '', 'error'],
] as const;

for (const [text, body, verdict] of verdicts) {
  test(`${text} of ${body ?? 'no body'}: ${verdict}`, async () => {
    assert.deepEqual(await conditions.evaluate([text], input(body)), [verdict]);
  });
}

test('no conditions have no verdicts', async () => {
  assert.deepEqual(await conditions.evaluate([], input()), []);
});

test('many calls at once get their own verdicts', async () => {
  const calls = Array.from({ length: 100 }, (_, n) =>
    conditions.evaluate(['object.n == 1', `object.n == ${n}`], input(`{"n":${n}}`)),
  );
  const expected = calls.map((_, n) => [n === 1 ? 'yes' : 'no', 'yes']);
  assert.deepEqual(await Promise.all(calls), expected);
});

test('what a condition does to its variables is not seen by the next call', async () => {
  const texts = ['agent.groups.map(g, g + "!").size() == 2', 'agent.groups == ["ops", "sre"]'];
  assert.deepEqual(await conditions.evaluate(texts, input()), ['yes', 'yes']);
  assert.deepEqual(await conditions.evaluate(texts, input()), ['yes', 'yes']);
});

const backtracking = 'request.name.matches("^(a+)+$")';
/** For the expression above to go through more ways than there is time for. */
const endless = input(null, { request: { name: `${'a'.repeat(60)}!` } });

test('a condition that takes too long is an error, and the others of its call are not', async () => {
  const texts = ['request.name.endsWith("!")', backtracking, 'request.name == ""'];
  assert.deepEqual(await conditions.evaluate(texts, endless), ['yes', 'error', 'no']);
  assert.deepEqual(await conditions.evaluate(['"ops" in agent.groups'], input()), ['yes']);
});

test('a condition that waits for a busy machine is no error', async () => {
  const busy = Array.from({ length: 8 }, () => new Worker('for (;;);', { eval: true }));
  try {
    // Some milliseconds of work, of which each waits for the others.
    const body = JSON.stringify({ n: Array.from({ length: 100 }, (_, n) => n) });
    const pairs = 'object.n.all(a, object.n.all(b, a + b >= 0))';
    for (let i = 0; i < 5; i++) assert.deepEqual(await conditions.evaluate([pairs], input(body)), ['yes']);
  } finally {
    await Promise.all(busy.map((worker) => worker.terminate()));
  }
});

test('several that take too long end one by one', async () => {
  const texts = [backtracking, 'true', backtracking, backtracking];
  assert.deepEqual(await conditions.evaluate(texts, endless), ['error', 'yes', 'error', 'error']);
});

test('calls behind one that takes too long get their verdicts', async () => {
  const slow = conditions.evaluate([backtracking], endless);
  const behind = [1, 2, 3].map((n) => conditions.evaluate([`object.n == ${n}`], input('{"n":2}')));
  assert.deepEqual(await slow, ['error']);
  assert.deepEqual(await Promise.all(behind), [['no'], ['yes'], ['no']]);
});

test('a condition that makes more than fits into memory is an error', async () => {
  const cube = 'object.n.map(a, object.n.map(b, object.n.map(c, [a, b, c]))).size() > 0';
  const body = JSON.stringify({ n: Array.from({ length: 5_000 }, (_, n) => n) });
  assert.deepEqual(await conditions.evaluate([cube, 'object.n.size() == 5000'], input(body)), ['error', 'yes']);
});

test('stopping ends what still waits with errors, and takes nothing new', async () => {
  const stopping = new Conditions();
  const waiting = [backtracking, 'true'].map((text) => stopping.evaluate([text, 'true'], endless));
  await stopping.stop();
  assert.deepEqual(await Promise.all(waiting), [
    ['error', 'error'],
    ['error', 'error'],
  ]);
  assert.deepEqual(await stopping.evaluate(['true', 'false'], input()), ['error', 'error']);
});

test('more calls than may wait end with errors at once', async () => {
  const busy = new Conditions();
  const waiting = Array.from({ length: 1_000 }, () => busy.evaluate(['true'], input()));
  assert.deepEqual(await busy.evaluate(['true', 'true'], input()), ['error', 'error']);
  assert.ok((await Promise.all(waiting)).every(([verdict]) => verdict === 'yes'));
  assert.deepEqual(await busy.evaluate(['true'], input()), ['yes']);
  await busy.stop();
});
