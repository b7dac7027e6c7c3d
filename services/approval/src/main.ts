// Approval: keeps what people decide about calls, and is the only writer of the authority, by which every decision
// goes. It decides no call itself: what a reviewer gives is an input to a decision of policy.
import { randomUUID } from 'node:crypto';
import {
  type ApprovalChange,
  type ApprovalQuestion,
  approvals as approvalStream,
  decodeWithBody,
  queueGroups,
  type ReviewQuestion,
  subjects,
} from '@sluice/model';
import {
  ledgerSettings,
  loadKey,
  openAuthorityStore,
  openBroker,
  openEventLog,
  openLedger,
  runService,
  signGrant,
} from '@sluice/runtime';
import { Approvals } from './approvals.ts';
import { Asks } from './asks.ts';
import { summaryOf } from './cards.ts';
import { stateAt } from './fold.ts';
import { openOutboxes } from './outboxes.ts';
import { answerReview } from './reviews.ts';
import { AuthorityWriter } from './writer.ts';

/** How often it is looked for what has come to an end by itself. */
const sweepMs = 1_000;

runService('approval', process.env, async ({ env, log, fail }) => {
  const [broker, control, frames] = await Promise.all([
    openBroker(env, 'approval', log),
    openBroker(env, 'approval control', log),
    openBroker(env, 'approval frames', log),
  ]);
  const store = await openAuthorityStore(control);
  const events = await openEventLog(broker, approvalStream.stream);
  const key = loadKey(env, 'grants');
  const approvals = new Approvals({
    events,
    log,
    now: events.now,
    onChanged(approval) {
      const state = stateAt(approval, events.now());
      const change: ApprovalChange = { approval: approval.id, state, summary: summaryOf(approval.request) };
      broker.tell(subjects.approvalChanged, encode(change));
    },
  });
  await approvals.load();
  const asks = new Asks({ approvals, log, now: events.now, sign: (grant) => signGrant(key, grant) });
  const ledger = await openLedger({ broker: frames, ...ledgerSettings(env, 'approval'), log, onLost: fail });
  const outboxes = await openOutboxes({ env, broker, approvals, ledger, now: events.now, log });
  const writer = await AuthorityWriter.open({
    broker: control,
    store,
    instance: randomUUID(),
    log,
    onFenced() {
      log.error('another process writes the authority; this one ends');
      // Whoever asked still gets an answer.
      void control.drain().finally(() => process.exit(1));
    },
  });
  broker.respond(subjects.approvalAsk, queueGroups.approval, async (payload) => {
    const { head, body } = decodeWithBody<ApprovalQuestion>(payload);
    return encode(await asks.answer(head, body));
  });
  broker.respond(subjects.approvalReview, queueGroups.approval, async (payload) => {
    const question = JSON.parse(Buffer.from(payload).toString()) as ReviewQuestion;
    return encode(await answerReview(approvals, events.now, question));
  });
  let sweeping: Promise<void> | undefined;
  const sweep = setInterval(() => {
    sweeping ??= asks
      .sweep((instance) => writer.mayRun(instance))
      .catch((error: unknown) => log.warn({ reason: (error as Error).message }, 'approvals could not be looked after'))
      .finally(() => {
        sweeping = undefined;
      });
  }, sweepMs);
  return {
    async drain() {
      clearInterval(sweep);
      await outboxes.drain();
      await control.drain();
      await broker.drain();
      events.close();
      const left = await ledger.drain(5_000);
      if (left > 0) log.error({ left }, 'frames without an ack are lost with this process');
      await frames.drain();
    },
  };
});

function encode(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}
