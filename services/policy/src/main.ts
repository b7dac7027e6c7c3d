// The policy worker: answers what ingress asks, from policies compiled once. It holds no state of a call.
import { randomUUID } from 'node:crypto';
import {
  authority,
  type CompileAnswer,
  decodeDecisionRequest,
  type PolicyFiles,
  queueGroups,
  subjects,
} from '@sluice/model';
import {
  failpoints,
  loadKey,
  type Membership,
  openAuthorityStore,
  openBroker,
  openGrant,
  openLease,
  required,
  runService,
  signDecision,
} from '@sluice/runtime';
import { compile } from './compile.ts';
import { Conditions } from './conditions.ts';
import { evaluate } from './evaluate.ts';
import type { PolicySet } from './policy.ts';

/** Where the fault experiments can stop an answer: before it is found, and before it leaves. */
type FailpointName = 'policy-asked' | 'policy-decided';

runService('policy', process.env, async ({ env, log }) => {
  const issuers = required(env, 'SLUICE_ISSUERS').split(',');
  const key = loadKey(env, 'decisions');
  const grants = loadKey(env, 'grants');
  const failpoint = failpoints<FailpointName>(env);
  const [broker, control] = await Promise.all([
    openBroker(env, 'policy decisions', log),
    openBroker(env, 'policy control', log),
  ]);
  const store = await openAuthorityStore(control);
  const conditions = new Conditions();
  let inForce: { readonly set: PolicySet; readonly authority: number } | undefined;
  let version = '';
  let membership: Membership | undefined;

  const join = (): void => {
    membership ??= broker.respond(subjects.decide, queueGroups.policy, async (payload) => {
      await failpoint('policy-asked');
      const { request, body } = decodeDecisionRequest(Buffer.from(payload));
      if (inForce === undefined) return null;
      const grounds = { ...inForce, nowMs: Date.now(), conditions: conditions.evaluate };
      const approved = request.granted === undefined ? null : openGrant(grants, request.granted.grant);
      const answer = signDecision(key, await evaluate(grounds, request, body, approved));
      await failpoint('policy-decided');
      return answer;
    });
  };
  /** Answers no asks until there is a set again that compiles. */
  const leave = async (): Promise<void> => {
    const left = membership;
    membership = undefined;
    inForce = undefined;
    await left?.leave();
  };
  const advance = async (seq: number): Promise<void> => {
    const policies = await store.last(authority.policies);
    if (policies === null) return leave();
    const { files } = JSON.parse(Buffer.from(policies.payload).toString()) as PolicyFiles;
    const compiled = compile(files, issuers);
    if (compiled.kind === 'errors') {
      log.error({ authority: seq, first: compiled.errors[0] }, 'the policies in force do not compile here: leaving');
      return leave();
    }
    if (version !== compiled.set.version) log.info({ authority: seq, version: compiled.set.version }, 'policies');
    version = compiled.set.version;
    inForce = { set: compiled.set, authority: seq };
    join();
  };

  control.respond(subjects.compile, queueGroups.policy, (payload) => {
    const { files } = JSON.parse(Buffer.from(payload).toString()) as PolicyFiles;
    const compiled = compile(files, issuers);
    const answer: CompileAnswer =
      compiled.kind === 'errors'
        ? { kind: 'faults', faults: compiled.errors }
        : {
            kind: 'compiled',
            version: compiled.set.version,
            policies: compiled.set.policies.length,
            rules: compiled.set.policies.reduce((sum, { rules }) => sum + rules.length, 0),
          };
    return Buffer.from(JSON.stringify(answer));
  });
  const lease = await openLease({
    broker: control,
    role: 'policy',
    instance: randomUUID(),
    log,
    onAdvance: advance,
    // Ingress holds a lease of its own, and refuses what is older than it knows.
    onLost: () => undefined,
  });
  return {
    async drain() {
      lease.close();
      await broker.drain();
      await conditions.stop();
      await control.drain();
    },
  };
});
