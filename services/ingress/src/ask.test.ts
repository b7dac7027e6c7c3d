import assert from 'node:assert/strict';
import { createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { type Decision, type DecisionRequest, decodeDecisionRequest } from '@sluice/model';
import { type Broker, BrokerError, createLogger, signDecision } from '@sluice/runtime';
import { createAsk } from './ask.ts';
import { Refusal } from './refusal.ts';

const newKey = (): KeyObject => createSecretKey(randomBytes(32));
const key = newKey();
const log = createLogger('test', '/dev/null');
const request: DecisionRequest = {
  call: 'c',
  digest: 'd',
  agent: { name: 'a', issuer: 'i', groups: [] },
  connection: 'x',
  attributes: { kind: 'nonResource', verb: 'get', path: '/version' },
  generateName: '',
  body: 'none',
};
const nothing = Buffer.alloc(0);
/** What ingress has seen of the authority. */
const authority = { seen: () => 1, hear: () => undefined };
const allow: Decision = {
  effect: 'allow',
  reasonCode: 'AllowedByRule',
  policy: 'p',
  rule: 'r',
  authority: 1,
  policyVersion: 'v',
  digest: 'd',
  notAfter: Date.now() + 60_000,
  obligations: { impersonate: { user: 'u', groups: [] } },
};

/** A broker whose nth request gets the nth answer. */
function brokerThat(...answers: (() => Promise<Uint8Array>)[]): Broker & { asked: number } {
  const broker = {
    asked: 0,
    request: () => answers[broker.asked++]?.() ?? Promise.reject(new BrokerError('timeout')),
  };
  return broker as unknown as Broker & { asked: number };
}

const never = (): Promise<Uint8Array> => new Promise(() => undefined);
const soon = async (): Promise<Uint8Array> => signDecision(key, allow);

async function refusedWith(broker: Broker): Promise<void> {
  await assert.rejects(createAsk(broker, key, authority, log)(request, nothing), (error: unknown) => {
    assert.ok(error instanceof Refusal);
    assert.equal(error.reasonCode, 'PolicyUnavailable');
    return true;
  });
}

test('an answer in time is asked for once', async () => {
  const broker = brokerThat(soon);
  assert.deepEqual(await createAsk(broker, key, authority, log)(request, nothing), allow);
  assert.equal(broker.asked, 1);
});

test('a worker that does not answer costs a second ask, and the first answer counts', async () => {
  const broker = brokerThat(never, soon);
  assert.deepEqual(await createAsk(broker, key, authority, log)(request, nothing), allow);
  assert.equal(broker.asked, 2);
});

test('when more than a few asks of a second needed a second one, no more are made', async () => {
  let asked = 0;
  const broker = { request: () => (asked++, never()) } as unknown as Broker;
  const ask = createAsk(broker, key, authority, log);
  for (let i = 0; i < 20; i++) void ask(request, nothing).catch(() => undefined);
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.ok(asked > 20 && asked <= 22, `${asked} asks for 20 calls`);
});

test('no worker, no broker or no answer: no decision', async () => {
  for (const code of ['no-responders', 'disconnected', 'timeout'] as const) {
    await refusedWith(brokerThat(() => Promise.reject(new BrokerError(code))));
  }
});

test('a decision that is forged, for another request, or over is none', async () => {
  await refusedWith(brokerThat(async () => signDecision(newKey(), allow)));
  await refusedWith(brokerThat(async () => signDecision(key, { ...allow, digest: 'other' })));
  await refusedWith(brokerThat(async () => signDecision(key, { ...allow, notAfter: Date.now() - 1 })));
  await refusedWith(brokerThat(async () => new Uint8Array(0)));
});

test('an obligation that this build does not know is not passed over', async () => {
  const obligations = { ...(allow.effect === 'allow' ? allow.obligations : {}), notarise: 'yes' } as never;
  await refusedWith(brokerThat(async () => signDecision(key, { ...allow, obligations })));
});

test('a decision by policies that are no longer in force is asked for again, until one is up to date', async () => {
  const old = async (): Promise<Uint8Array> => signDecision(key, { ...allow, authority: 4 });
  const current = async (): Promise<Uint8Array> => signDecision(key, { ...allow, authority: 5 });
  const broker = brokerThat(old, old, current);
  const decision = await createAsk(broker, key, { seen: () => 5, hear: () => undefined }, log)(request, nothing);
  assert.deepEqual([decision.authority, broker.asked], [5, 3]);
});

test('where only old decisions come, there is none', async () => {
  const old = async (): Promise<Uint8Array> => signDecision(key, { ...allow, authority: 4 });
  const broker = { request: old } as unknown as Broker;
  const ask = createAsk(broker, key, { seen: () => 5, hear: () => undefined }, log);
  await assert.rejects(ask(request, nothing), { reasonCode: 'PolicyUnavailable' });
});

test('what a decision knows of the authority, ingress knows from then on', async () => {
  const heard: number[] = [];
  const ask = createAsk(brokerThat(soon), key, { seen: () => 0, hear: (seq) => heard.push(seq) }, log);
  await ask(request, nothing);
  assert.deepEqual(heard, [1]);
});

test('the masked body goes with the question', async () => {
  let asked: Uint8Array = nothing;
  const broker = {
    request: (_subject: string, payload: Uint8Array) => {
      asked = payload;
      return soon();
    },
  } as unknown as Broker;
  await createAsk(broker, key, authority, log)({ ...request, body: 'json' }, Buffer.from('{"a":1}'));
  const { request: arrived, body } = decodeDecisionRequest(Buffer.from(asked));
  assert.deepEqual([arrived, body.toString()], [{ ...request, body: 'json' }, '{"a":1}']);
});
