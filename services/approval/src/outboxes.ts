// What becomes of approvals beyond their log: the record, and the queues. Each has an outbox of its own, so that one that
// stands still holds up nobody else.
import { type ApprovalEvent, approvals as approvalStream, decodeWithBody } from '@sluice/model';
import {
  type Broker,
  type Env,
  failpoints,
  type Ledger,
  type Logger,
  names,
  type Outbox,
  openOutbox,
  required,
  type StoredMessage,
} from '@sluice/runtime';
import type { Approvals } from './approvals.ts';
import { summaryOf } from './cards.ts';
import { type Approval, stateAt } from './fold.ts';
import { type ApprovalNotice, openQueues } from './queues.ts';

interface OutboxesParts {
  readonly env: Env;
  readonly broker: Broker;
  readonly approvals: Approvals;
  readonly ledger: Ledger;
  /** The broker's clock, milliseconds since the epoch. */
  readonly now: () => number;
  readonly log: Logger;
}

/** `SLUICE_REDIS_URL`: where the queues are. `SLUICE_APPROVAL_QUEUES`: names of consumers, with commas between. */
export async function openOutboxes({ env, broker, approvals, ledger, now, log }: OutboxesParts): Promise<Outbox> {
  const consumers = names(env, 'SLUICE_APPROVAL_QUEUES');
  const failpoint = failpoints<'before-expire' | 'after-expire'>(env);
  const queues = await openQueues({
    url: required(env, 'SLUICE_REDIS_URL'),
    log,
    consumers,
    async onDue(approval) {
      await failpoint('before-expire');
      await approvals.expire(approval);
      await failpoint('after-expire');
    },
    open: () =>
      approvals.open().map(({ id, expiresAtMs }) => ({ approval: id, dueInMs: Math.max(0, expiresAtMs - now()) })),
    refill: () => approvals.open().map((approval) => noticeOf(approval, now())),
  });
  const open = (name: string, onMessage: (message: StoredMessage) => Promise<void>): Promise<Outbox> =>
    openOutbox(broker, approvalStream.stream, approvalStream.outbox(name), log, onMessage);
  const opened = await Promise.all([
    open('record', async (message) => {
      const { head: event, body } = decodeWithBody<ApprovalEvent>(message.payload);
      const then = await known(approvals, message);
      const { seq, atMs } = message;
      const meta = { approval: then.id, seq, atMs, event, state: stateAt(then, atMs) };
      const { call, session } = then.request;
      await ledger.append('calls', { kind: 'approval', call, session, meta, bytes: body });
    }),
    open('expire', async (message) => {
      const { head: event } = decodeWithBody<ApprovalEvent>(message.payload);
      if (event.kind !== 'requested') return;
      await queues.schedule(idOf(message), Math.max(0, message.atMs + event.request.terms.expiresMs - now()));
    }),
    ...consumers.map((name) =>
      open(approvalStream.queueOutbox(name), async (message) => {
        const then = await known(approvals, message);
        await queues.notify(name, noticeOf(then, message.atMs));
      }),
    ),
  ]);
  return {
    async drain() {
      await Promise.all(opened.map((outbox) => outbox.drain()));
      await queues.drain();
    },
  };
}

/** The approval as it was right after the event in the message. */
async function known(approvals: Approvals, message: StoredMessage): Promise<Approval> {
  await approvals.learn(idOf(message), message.seq);
  const then = approvals.at(idOf(message), message.seq);
  if (then === undefined) throw new Error(`the approval ${idOf(message)} is not known`);
  return then;
}

function noticeOf(then: Approval, atMs: number): ApprovalNotice {
  const { id: approval, seq, last: kind, expiresAtMs, request } = then;
  return { approval, seq, kind, state: stateAt(then, atMs), summary: summaryOf(request), expiresAtMs };
}

function idOf({ subject }: StoredMessage): string {
  return subject.slice(subject.lastIndexOf('.') + 1);
}
