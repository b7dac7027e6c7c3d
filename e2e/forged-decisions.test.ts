// Somebody who has taken a service's credentials for the broker, and has none of its keys, answers in its place.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { DemoCluster } from '@sluice/demo-cluster';
import { type Decision, type DecisionRequest, decodeDecisionRequest } from '@sluice/model';
import { type Broker, createLogger, loadKey, openBroker, signDecision } from '@sluice/runtime';
import { openDemo, reasonCode, removeScratch, Sluice, scratch, type Upstream, until } from '@sluice/testing';

const dir = scratch();
const log = createLogger('test', '/dev/null');
let upstream: Upstream & { readonly cluster: DemoCluster };
let sluice: Sluice;
let intruder: Broker;
/** A genuine decision, overheard. */
let genuine: Uint8Array = new Uint8Array(0);
/** How the intruder answers an ask. */
let answer: (request: DecisionRequest) => Uint8Array = () => genuine;

before(async () => {
  upstream = await openDemo(dir);
  sluice = await Sluice.start({
    home: join(dir, 'home'),
    flags: ['--kubeconfig', upstream.kubeconfig],
    // The policy worker that is killed stays away.
    env: { SLUICE_RESTART_DELAY_MS: '600000' },
  });
});
after(async () => {
  await intruder?.nats.close();
  await sluice?.stop();
  await upstream?.close();
  removeScratch(dir);
});

let counter = 0;

async function create(): Promise<{ readonly status: number; readonly reason: string; readonly seen: boolean }> {
  const name = `forged-${++counter}`;
  const body = JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name } });
  const answered = await sluice.call('POST', '/api/v1/namespaces/default/configmaps', body);
  const seen = upstream.cluster.log.some((entry) => entry.kind === 'request' && entry.body.includes(`"${name}"`));
  return { status: answered.status, reason: answered.status === 201 ? '' : reasonCode(answered), seen };
}

/** How often ingress has said that a decision is not to be trusted. */
function alarms(): number {
  return readFileSync(join(sluice.home, 'log', 'ingress.log'), 'utf8').split('"code":"DecisionNotTrusted"').length - 1;
}

test('with the credentials of ingress its inboxes can be overheard, and nothing can be put into them', async () => {
  const taken = await openBroker(sluice.brokerEnv(), 'ingress taken', log);
  const overheard = new Set<string>();
  const isDecision = (payload: Uint8Array): boolean => Buffer.from(payload).includes('"effect":"allow"');
  taken.listen('_INBOX_ingress.>', (payload, subject) => {
    overheard.add(subject);
    if (isDecision(payload)) genuine = payload;
  });
  await taken.nats.flush();
  assert.deepEqual(await create(), { status: 201, reason: '', seen: true });
  await taken.nats.flush();
  assert.ok(genuine.byteLength > 0);
  const inboxes = [...overheard];
  const refused: string[] = [];
  void (async () => {
    for await (const status of taken.nats.status()) if (status.type === 'error') refused.push(status.error.message);
  })();
  for (const inbox of inboxes) taken.nats.publish(inbox, genuine);
  await until('the refusals', () => refused.length === inboxes.length);
  for (const message of refused) assert.match(message, /permissions violation for publish to "_INBOX_ingress\./i);
  await taken.drain();
});

test('with the credentials of policy asks can be answered; who has the key as well decides', async () => {
  await sluice.kill('policy');
  intruder = await openBroker(sluice.brokerEnv(), 'policy taken', log);
  intruder.respond('sluice.decide', 'policy', (payload) => answer(decodeDecisionRequest(Buffer.from(payload)).request));
  await intruder.nats.flush();
  answer = (request) => signed(allowing(request));
  assert.deepEqual(await create(), { status: 201, reason: '', seen: true });
});

const forgeries: Readonly<Record<string, (request: DecisionRequest) => Uint8Array>> = {
  'a decision without the key': (request) => {
    const forged = Buffer.from(signed(allowing(request)));
    forged.fill(0, 0, 32);
    return forged;
  },
  'a genuine decision with another byte': (request) => {
    const text = Buffer.from(signed({ ...allowing(request), policy: 'p1' }));
    return Buffer.from(text.toString('latin1').replace('"policy":"p1"', '"policy":"p2"'), 'latin1');
  },
  'a genuine decision of an earlier call': () => genuine,
  'a genuine decision that is over': (request) => signed({ ...allowing(request), notAfter: Date.now() - 1 }),
};

for (const [what, forge] of Object.entries(forgeries)) {
  test(`${what}: the call is refused, the cluster sees nothing, and ingress says so`, async () => {
    answer = forge;
    const before = alarms();
    assert.deepEqual(await create(), { status: 503, reason: 'PolicyUnavailable', seen: false });
    await until('the alarm', () => alarms() === before + 1);
  });
}

function signed(decision: Decision): Uint8Array {
  return signDecision(loadKey({ SLUICE_KEYS_DIR: join(sluice.home, 'keys') }, 'decisions'), decision);
}

/** The genuine decision, as it would be for another request. */
function allowing({ digest }: DecisionRequest): Decision {
  const decision = JSON.parse(Buffer.from(genuine.subarray(32)).toString()) as Decision;
  return { ...decision, digest, notAfter: Date.now() + 60_000 };
}
