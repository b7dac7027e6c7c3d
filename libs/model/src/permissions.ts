import { approvals } from './approval.ts';
import { authority } from './authority.ts';
import { consumerOf, leases, partitions, queueGroups, shown, streams, subjects } from './subjects.ts';

/**
 * Who connects to the broker, each with an nkey of its own. `control` asks for the CLI. `operator` makes streams and
 * consumers, and takes no part in calls.
 */
export const roles = ['ingress', 'policy', 'masking', 'approval', 'recorder', 'control', 'operator'] as const;
export type Role = (typeof roles)[number];

/** What a role may do at the broker; what is not named here is refused. */
export interface Permissions {
  /** Subjects, with NATS' wildcards. */
  readonly publish: readonly string[];
  /** The same besides the role's own inboxes; `subject group` allows it only as a member of that queue group. */
  readonly subscribe: readonly string[];
  /** `once`: may answer each request it gets, within `answerWithinSeconds`, wherever the asker's inbox is. */
  readonly answers: 'once' | 'never';
}

/** A request can be answered for this long. */
export const answerWithinSeconds = 30;

/** Answers come back under this prefix; only the role itself may listen there. */
export function inboxPrefixOf(role: string): string {
  return `_INBOX_${role}`;
}

const infoOf = (stream: string): string => `$JS.API.STREAM.INFO.${stream}`;
const valuesOf = (stream: string): string => `$JS.API.STREAM.MSG.GET.${stream}`;
const callFrames = `${streams.calls.prefix}.*`;
const byteFrames = `${streams.bytes.prefix}.*`;
const streamsOfFrames = Object.values(streams).map(({ name }) => name);

/** To take frames: ask a consumer for the next ones, and acknowledge them. */
const takeFrames = streamsOfFrames.flatMap((stream) =>
  Array.from({ length: partitions }, (_, partition) => `${stream}.${consumerOf(partition)}`).flatMap((consumer) => [
    `$JS.API.CONSUMER.INFO.${consumer}`,
    `$JS.API.CONSUMER.MSG.NEXT.${consumer}`,
    `$JS.ACK.${consumer}.>`,
  ]),
);
/** To write a ledger: see that its streams are there, and hold a lease on it. */
const writeLedger = [callFrames, ...[...streamsOfFrames, leases.stream].map(infoOf), valuesOf(leases.stream)];
/** To take what became of approvals: from durable consumers, each of which has its own place in the stream. */
const readOutboxes = [
  `$JS.API.CONSUMER.INFO.${approvals.stream}.*`,
  `$JS.API.CONSUMER.MSG.NEXT.${approvals.stream}.*`,
  `$JS.ACK.${approvals.stream}.>`,
];
const readAuthority = [infoOf(authority.stream), valuesOf(authority.stream)];

export const permissions: Readonly<Record<Role, Permissions>> = {
  ingress: {
    publish: [
      subjects.decide,
      subjects.mask,
      subjects.lease,
      subjects.approvalAsk,
      ...writeLedger,
      byteFrames,
      leases.ledger('ingress', '*'),
    ],
    subscribe: [subjects.renew, subjects.approvalChanged, subjects.kill],
    answers: 'once',
  },
  policy: {
    publish: [subjects.lease, ...readAuthority],
    subscribe: [
      `${subjects.decide} ${queueGroups.policy}`,
      `${subjects.compile} ${queueGroups.policy}`,
      subjects.renew,
    ],
    answers: 'once',
  },
  masking: {
    publish: [shown.subject, infoOf(shown.stream), valuesOf(shown.stream)],
    subscribe: [`${subjects.mask} ${queueGroups.masking}`],
    answers: 'once',
  },
  approval: {
    publish: [
      subjects.compile,
      subjects.renew,
      subjects.approvalChanged,
      authority.policies,
      authority.writer,
      ...readAuthority,
      approvals.subject,
      infoOf(approvals.stream),
      valuesOf(approvals.stream),
      ...readOutboxes,
      ...writeLedger,
      leases.ledger('approval', '*'),
    ],
    subscribe: [subjects.lease, subjects.apply, subjects.approvalAsk, subjects.approvalReview].map(
      (subject) => `${subject} ${queueGroups.approval}`,
    ),
    answers: 'once',
  },
  recorder: {
    // It ends the ledgers of writers that died.
    publish: [...writeLedger, ...takeFrames, leases.ledger('*', '*'), leases.partition('*')],
    subscribe: [`${subjects.records} ${queueGroups.recorder}`, leases.ledger('*', '*')],
    answers: 'once',
  },
  control: {
    publish: [subjects.decide, subjects.apply, subjects.records, subjects.approvalReview, subjects.kill],
    subscribe: [callFrames, byteFrames, subjects.approvalChanged],
    answers: 'never',
  },
  operator: { publish: ['$JS.API.>'], subscribe: [], answers: 'never' },
};
