// Ingress: where agents connect. Decodes calls, has them decided, recorded and masked, and forwards them.
// It never decides and never masks by itself.
import { randomUUID } from 'node:crypto';
import { type KillAnswer, type KillQuestion, leases, streams, subjects } from '@sluice/model';
import {
  assertStreams,
  failpoints,
  ledgerSettings,
  loadKey,
  openBroker,
  openLease,
  openLedger,
  runService,
  storeLevel,
} from '@sluice/runtime';
import { loadConnection } from '@sluice/runtime/cluster';
import { createVerifier } from '@sluice/runtime/identity';
import { createApprovalClient } from './approvals.ts';
import { createAsk } from './ask.ts';
import { createAuthenticate } from './authenticate.ts';
import { Budget, lookMs } from './budget.ts';
import { readConfig } from './config.ts';
import { createForward } from './forward.ts';
import { createGet } from './get.ts';
import { createHold } from './hold.ts';
import { LiveCalls } from './live.ts';
import { createLook } from './look.ts';
import { createMaskClient } from './mask-client.ts';
import { createAssertInForce, createPipeline, type FailpointName } from './pipeline.ts';
import { listen } from './server.ts';
import { createConnect } from './streams/connect.ts';
import { createPods } from './streams/pod.ts';

runService('ingress', process.env, async ({ env, log, fail }) => {
  const config = readConfig(env);
  const connection = loadConnection(config.kubeconfig, config.context);
  // A connection to the broker per purpose: a stalled one stalls only itself.
  const [decisions, masking, frames, control] = await Promise.all([
    openBroker(env, 'ingress decisions', log),
    openBroker(env, 'ingress masking', log),
    openBroker(env, 'ingress frames', log),
    openBroker(env, 'ingress control', log),
  ]);
  await assertStreams(frames, [streams.calls.name, streams.bytes.name, leases.stream]);
  const ledger = await openLedger({ broker: frames, ...ledgerSettings(env, 'ingress'), log, onLost: fail });
  const budget = new Budget(log);
  const look = (): Promise<void> => budget.look(() => storeLevel(control, 'bytes'));
  await look();
  const looking = setInterval(() => void look(), lookMs);
  const stop = new AbortController();
  const draining = new AbortController();
  const instance = randomUUID();
  const live = new LiveCalls(log);
  stop.signal.addEventListener('abort', () => live.stopping());
  const lease = await openLease({
    broker: control,
    role: 'ingress',
    instance,
    log,
    onAdvance: () => live.authorityChanged(),
    onLost: () => live.authorityLost(),
  });
  const ask = createAsk(decisions, loadKey(env, 'decisions'), lease, log);
  const approvals = createApprovalClient(control, instance, log);
  const digestKey = loadKey(env, 'digests');
  const maskClient = createMaskClient({ small: decisions, large: masking }, loadKey(env, 'raw'));
  const get = createGet(connection);
  control.respond(subjects.kill, instance, (payload) => {
    const calls = live.kill(JSON.parse(Buffer.from(payload).toString()) as KillQuestion);
    return calls.length === 0 ? null : Buffer.from(JSON.stringify({ calls } satisfies KillAnswer));
  });
  const pipeline = createPipeline({
    connection: connection.name,
    digestKey,
    authenticate: createAuthenticate(createVerifier(config.keysDir)),
    ask,
    hold: createHold({ approvals, look: createLook(get), ask, lease, draining: draining.signal, log }),
    maskClient,
    pods: createPods(get, maskClient, digestKey),
    connect: createConnect(connection),
    assertInForce: createAssertInForce(lease),
    forward: createForward(connection),
    ledger,
    budget,
    lease,
    limits: config.limits,
    live,
    failpoint: failpoints<FailpointName>(env),
    stop: stop.signal,
    log,
  });
  const server = await listen(config, pipeline, { draining, stop }, log);
  return {
    facts: { port: server.port, connection: connection.name },
    async drain() {
      await server.drain();
      const left = await ledger.drain(5_000);
      if (left > 0) log.error({ left }, 'frames without an ack are lost with this process');
      lease.close();
      clearInterval(looking);
      await Promise.all([decisions.drain(), masking.drain(), frames.drain(), control.drain()]);
    },
  };
});
