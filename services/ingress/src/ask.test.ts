import assert from 'node:assert/strict';
import { createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import type { Decision, DecisionRequest } from '@sluice/model';
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
};
const allow: Decision = {
  effect: 'allow',
  reasonCode: 'AllowedByRule',
  policy: 'p',
  rule: 'r',
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
  await assert.rejects(createAsk(broker, key, log)(request), (error: unknown) => {
    assert.ok(error instanceof Refusal);
    assert.equal(error.reasonCode, 'PolicyUnavailable');
    return true;
  });
}

test('an answer in time is asked for once', async () => {
  const broker = brokerThat(soon);
  assert.deepEqual(await createAsk(broker, key, log)(request), allow);
  assert.equal(broker.asked, 1);
});

test('a worker that does not answer costs a second ask, and the first answer counts', async () => {
  const broker = brokerThat(never, soon);
  assert.deepEqual(await createAsk(broker, key, log)(request), allow);
  assert.equal(broker.asked, 2);
});

test('when more than a few asks of a second needed a second one, no more are made', async () => {
  let asked = 0;
  const broker = { request: () => (asked++, never()) } as unknown as Broker;
  const ask = createAsk(broker, key, log);
  for (let i = 0; i < 20; i++) void ask(request).catch(() => undefined);
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
  const obligations = { ...(allow.effect === 'allow' ? allow.obligations : {}), deadline: 1 } as never;
  await refusedWith(brokerThat(async () => signDecision(key, { ...allow, obligations })));
});
