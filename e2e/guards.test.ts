// A check that cannot fail checks nothing: takes a guard out of a copy of the tree, and sees the test that watches it
// fail.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { copyTree, removeScratch, run, scratch, takeOut } from '@sluice/testing';

const dir = scratch();
after(() => removeScratch(dir));

const guards = [
  {
    what: 'the wait for the write-ahead',
    file: 'services/ingress/src/pipeline.ts',
    guard: "await Promise.all([call.writeAhead(), failpoint('after-publish')]);",
    without: 'void call.writeAhead().catch(() => undefined);',
    tests: 'e2e/faults.test.ts',
    pattern: 'broker gone before ack',
  },
  {
    what: 'the second try at a frame without an ack',
    file: 'libs/runtime/src/lane.ts',
    guard: "if (nowMs - due.publishedAtMs >= answerMs) this.#notTaken(token, due, 'no answer', nowMs);",
    without: '',
    tests: 'libs/runtime/src/lane.test.ts',
    pattern: 'ack is lost',
  },
  {
    what: 'the look at frames that were on their way when the connection broke',
    file: 'libs/runtime/src/lane.ts',
    guard: 'if (breaks === this.#breaks) return;',
    without: 'return;',
    tests: 'libs/runtime/src/lane.test.ts',
    pattern: 'connection broke',
  },
  {
    what: 'the look at what is in the record already',
    file: 'services/recorder/src/store.ts',
    guard: "if (place === 'new') {",
    without: "if (place !== 'conflict') {",
    tests: 'services/recorder/src/faults.test.ts',
    pattern: 'not stored twice',
  },
  {
    what: 'the ack that waits for the insert',
    file: 'libs/runtime/src/frames.ts',
    guard: 'inHand = takeBatch();',
    without: 'inHand = takeBatch(); for (const { message } of inHand) message.ack();',
    tests: 'services/recorder/src/faults.test.ts',
    pattern: 'batch in hand',
  },
  {
    what: 'the signature on decisions',
    file: 'libs/runtime/src/signed.ts',
    guard: 'if (!timingSafeEqual(message.subarray(0, macBytes), mac(key, json))) return null;',
    without: '',
    tests: 'libs/runtime/src/decisions.test.ts',
    pattern: 'any other byte',
  },
  {
    what: 'the masks',
    file: 'services/masking/src/mask.ts',
    guard: 'return { bytes: spliced(value, splices), masks: splices.length, secrets, splices };',
    without: 'return { bytes: value, masks: splices.length, secrets, splices };',
    tests: 'e2e/canary.test.ts',
    pattern: 'verb|client output',
  },
  {
    what: 'what a text carries on from one piece to the next',
    file: 'services/masking/src/text.ts',
    guard: 'const text = Buffer.concat([state.context, state.held, bytes]);',
    without: 'const text = Buffer.concat([state.context, bytes]);',
    tests: 'services/masking/src/text.property.test.ts',
    pattern: 'byte by byte',
  },
  {
    what: 'the look at what may be the beginning of a value shown before',
    file: 'services/masking/src/fingerprint.ts',
    guard: 'if (!isEnd) decided = Math.min(decided, start);',
    without: '',
    tests: 'services/masking/src/fingerprint.test.ts',
    pattern: 'cut in two',
  },
  {
    what: 'the last look at what is in force',
    file: 'services/ingress/src/forward.ts',
    guard: 'outgoing.assertCurrent();',
    without: '',
    tests: 'e2e/authority.test.ts',
    pattern: 'has not been sent yet',
  },
  {
    what: 'the wait for all who go by the authority',
    file: 'services/approval/src/writer.ts',
    guard: 'while (this.#leases.outstandingMs(seq, performance.now()) > 0) {',
    without: 'while (false) {',
    tests: 'services/approval/src/writer.test.ts',
    pattern: 'returns only after',
  },
  {
    what: 'the look at what an agent has in the store',
    file: 'services/ingress/src/budget.ts',
    guard: 'if (this.#level === undefined) return true;',
    without: 'return true;',
    tests: 'services/ingress/src/budget.test.ts',
    pattern: 'comes to half',
  },
  {
    what: 'the end of a wait with its call',
    file: 'services/ingress/src/budget.ts',
    guard: "signal.addEventListener('abort', leave);",
    without: '',
    tests: 'services/ingress/src/budget.test.ts',
    pattern: 'let go by the end',
  },
  {
    what: 'the look at refused calls',
    file: 'libs/runtime/src/lane.ts',
    guard: 'this.#isRefusing = true;',
    without: '',
    tests: 'libs/runtime/src/lane.test.ts',
    pattern: 'however young',
  },
  {
    what: 'the queue behind a refused frame',
    file: 'libs/runtime/src/lane.ts',
    guard:
      'if (this.#held.isEmpty && this.#broker.connected()) this.#publish(token, due);\n      else this.#held.add(token);',
    without: 'this.#publish(token, due);',
    tests: 'libs/runtime/src/lane.test.ts',
    pattern: 'full store of calls',
  },
  {
    what: 'the one use of a grant',
    file: 'services/approval/src/fold.ts',
    guard: "if (state !== 'approved') return `it is ${state}`;\n      return covers",
    without: 'return covers',
    tests: 'services/approval/src/fold.property.test.ts',
    pattern: 'one end, one use',
  },
  {
    what: 'the time at which the broker stored an event',
    file: 'services/approval/src/approvals.ts',
    guard: 'if (late !== null) throw new Inadmissible(`approval ${id} stays as it is: ${late}`);',
    without: '',
    tests: 'services/approval/src/approvals.test.ts',
    pattern: 'the broker stored too late',
  },
  {
    what: 'the compare-and-swap on an approval',
    file: 'libs/runtime/src/event-log.ts',
    guard: '{ expect: { lastSubjectSequence: lastSeq } }',
    without: '{}',
    tests: 'libs/runtime/src/event-log.test.ts',
    pattern: 'told that it was too late',
  },
  {
    what: 'the second decision',
    file: 'services/ingress/src/hold.ts',
    guard: "if (second.effect !== 'allow') throw stillNot(second, opened.approval);",
    without: '',
    tests: 'e2e/approvals.test.ts',
    pattern: 'denies meanwhile',
  },
  {
    what: 'the grant that is taken before a call goes on',
    file: 'services/ingress/src/pipeline.ts',
    guard: 'await granted?.take();',
    without: '',
    tests: 'e2e/approvals.test.ts',
    pattern: 'at the same instant',
  },
  {
    what: 'the binding to what was reviewed',
    file: 'services/ingress/src/hold.ts',
    guard: 'const body = bound(call, object);\n  if (body === null)',
    without: 'const body = call.body as Body | null;\n  if (body === null)',
    tests: 'e2e/approvals.test.ts',
    pattern: 'has changed since',
  },
  {
    what: 'the wait for the client of an agent',
    file: 'services/ingress/src/streams/websocket-leg.ts',
    guard: "this.#early = peer === 'agent' ? [] : undefined;",
    without: 'this.#early = undefined;',
    tests: 'services/ingress/src/streams/websocket-leg.test.ts',
    pattern: 'hears nothing before',
  },
  {
    what: 'the masks of what a pod says',
    file: 'services/ingress/src/streams/exec.ts',
    guard: 'agent.send(channel, showsRaw ? raw : masked);',
    without: 'agent.send(channel, raw);',
    tests: 'services/ingress/src/streams/exec.test.ts',
    pattern: 'masked before it is delivered',
  },
  {
    what: 'the record ahead of what is typed',
    file: 'services/ingress/src/streams/exec.ts',
    guard: "await record.input('stdin', masked);",
    without: "void record.input('stdin', masked).catch(() => undefined);",
    tests: 'services/ingress/src/streams/exec.test.ts',
    pattern: 'acknowledged before the pod gets it',
  },
  {
    what: 'the second look at a pod',
    file: 'services/ingress/src/streams/exec.ts',
    guard: 'await inputAllowed;',
    without: '',
    tests: 'services/ingress/src/streams/exec.test.ts',
    pattern: 'until the pod is known',
  },
  {
    what: 'the grade of scripts that nobody can read',
    file: 'services/policy/src/exec/terms.ts',
    guard: 'const graded = [...(reading.isOpaque ? [terms.opaque] : []),',
    without: 'const graded = [',
    tests: 'services/policy/src/streams.test.ts',
    pattern: 'eval',
  },
] as const;

/** The same for fault experiments, with one seed each, and what they say then. */
const experimentGuards = [
  {
    what: 'the refusal of what nobody decides',
    file: 'services/ingress/src/ask.ts',
    guard: "throw new Refusal('PolicyUnavailable', 'Sluice cannot decide this call now: no policy worker answers');",
    without: `return {
      ...{ effect: 'allow', reasonCode: 'AllowedByRule', digest: request.digest, policy: '', rule: '', policyVersion: '' },
      ...{ authority: authority.seen(), notAfter: Infinity },
      obligations: { impersonate: { user: 'sluice:tier:demo', groups: ['sluice:demo'] } },
    } as Decision;`,
    experiment: 2,
    seed: 1,
    said: /check: .*allowed by ""/,
  },
  {
    what: 'the end of decisions',
    file: 'libs/runtime/src/decisions.ts',
    guard: ' && nowMs < decision.notAfter',
    without: '',
    experiment: 16,
    seed: 0,
    said: /check: .*an old decision was used/,
  },
  {
    what: 'the end of a log that nobody masks',
    file: 'services/ingress/src/masked.ts',
    guard: 'const piece = await this.#client.text(this.#subject, this.#as, raw(chunk), this.#carry, until);',
    without:
      "const piece = await this.#client.text(this.#subject, this.#as, raw(chunk), this.#carry, until).catch(() => ({ bytes: chunk, carry: '', held: 0 }));",
    experiment: 24,
    seed: 1,
    said: /I6: exchange /,
  },
] as const;

/** A run, from the start of its Sluice to the verdict, on a busy machine. */
const experimentMs = 400_000;
/** What waits for ever without its guard is cancelled, and then stops what it had started. */
const testMs = 180_000;

function runTests(tree: string, tests: string, pattern: string): ReturnType<typeof run> {
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const options = ['--test', `--test-timeout=${testMs}`, `--test-name-pattern=${pattern}`];
  return run(process.execPath, [...options, join(tree, tests)], env, '', 2 * testMs);
}

const whole = join(dir, 'whole');
const passed = new Map<string, ReturnType<typeof run>>();

/** All that is watched by a file of tests, while nothing is taken out: once for each file. */
function runWhole(tests: string): ReturnType<typeof run> {
  if (passed.size === 0) copyTree(whole);
  const patterns = guards.filter((guard) => guard.tests === tests).map(({ pattern }) => pattern);
  const running = passed.get(tests) ?? runTests(whole, tests, patterns.join('|'));
  passed.set(tests, running);
  return running;
}

for (const [index, { what, file, guard, without, tests, pattern }] of guards.entries()) {
  test(`without ${what} a test fails`, async () => {
    const complete = await runWhole(tests);
    assert.equal(complete.code, 0, `with the guard: ${complete.stdout}`);
    const copy = join(dir, String(index));
    copyTree(copy);
    takeOut(copy, file, guard, without);
    const broken = await runTests(copy, tests, pattern);
    assert.notEqual(broken.code, 0, `without the guard: ${broken.stdout}`);
    assert.match(broken.stdout, /(fail|cancelled) [1-9]/);
  });
}

for (const { what, file, guard, without, experiment, seed, said } of experimentGuards) {
  test(`without ${what} fault experiment ${experiment} fails`, async () => {
    const copy = join(dir, `experiment-${experiment}`);
    copyTree(copy);
    const runExperiment = (): ReturnType<typeof run> => {
      const options = ['--experiment', String(experiment), '--seed', String(seed), '--seeds', '1'];
      return run(process.execPath, [join(copy, 'e2e', 'faults', 'main.ts'), ...options], process.env, '', experimentMs);
    };
    takeOut(copy, file, guard, without);
    // With its guard `experiments.test.ts` makes it.
    const broken = await runExperiment();
    assert.equal(broken.code, 1, broken.stderr);
    assert.match(broken.stdout, said);
  });
}
