import {
  AckPolicy,
  DiscardPolicy,
  JetStreamApiCodes,
  JetStreamApiError,
  type JetStreamManager,
  jetstreamManager,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
} from '@nats-io/jetstream';
import {
  approvals,
  authority,
  consumerOf,
  leases,
  maxPayloadBytes,
  partitions,
  type StreamKey,
  shown,
  streams,
} from '@sluice/model';
import type { Broker } from './broker.ts';
import { ConfigError } from './env.ts';
import { type StoreSizes, storeSizes } from './store.ts';

/**
 * Makes the streams and their consumers where they are missing, an outbox of approvals for each of the consumers `queues` among them; those of an older Sluice, or of another size,
 * are brought up to date. A stream that holds more than its new size keeps it, and refuses until it holds less. Only
 * the operator may do this.
 */
export async function provision(
  broker: Broker,
  sizes: StoreSizes = storeSizes({}),
  queues: readonly string[] = [],
): Promise<void> {
  const manager = await jetstreamManager(broker.nats);
  for (const key of Object.keys(streams) as StreamKey[]) {
    await ensureStream(manager, streamOfFrames(key, sizes[key]));
    await ensureConsumers(manager, key);
  }
  for (const stream of [leasesStream, authorityStream, shownStream, approvalsStream])
    await ensureStream(manager, stream);
  const outboxes = [...approvals.outboxes, ...queues.map(approvals.queueOutbox)];
  for (const outbox of outboxes) await ensureOutbox(manager, outbox);
}

/** Throws `ConfigError` when the broker has no such stream: no service makes one. */
export async function assertStreams(broker: Broker, names: readonly string[]): Promise<void> {
  const manager = await jetstreamManager(broker.nats, { checkAPI: false });
  for (const name of names) {
    if (await exists(() => manager.streams.info(name))) continue;
    throw new ConfigError(`the broker has no stream ${name}; \`sluice up\` makes it, with the operator's credentials`);
  }
}

type StreamPlan = Partial<StreamConfig> & Pick<StreamConfig, 'name' | 'subjects' | 'max_bytes'>;

function streamOfFrames(key: StreamKey, maxBytes: number): StreamPlan {
  const { name, prefix } = streams[key];
  return {
    name,
    subjects: [`${prefix}.*`],
    storage: StorageType.File,
    retention: RetentionPolicy.Workqueue,
    discard: DiscardPolicy.New,
    max_bytes: maxBytes,
    max_msg_size: maxPayloadBytes,
    deny_delete: true,
    // A window of remembered ids costs memory and no frame carries one.
    duplicate_window: 100_000_000,
  };
}

/** A lease nobody has renewed for an hour is nobody's: a recorder that starts then closes the ledger without it. */
const leaseAgeNanos = 3_600 * 1_000_000_000;

/** What both streams of last values have. One that was read from a replica could be an old one. */
const lastValues = {
  storage: StorageType.File,
  retention: RetentionPolicy.Limits,
  max_msgs_per_subject: 1,
  allow_direct: false,
  deny_delete: true,
  deny_purge: true,
} as const;

const leasesStream: StreamPlan = {
  ...lastValues,
  name: leases.stream,
  subjects: [leases.subject],
  max_bytes: leases.maxBytes,
  max_age: leaseAgeNanos,
};

const authorityStream: StreamPlan = {
  ...lastValues,
  name: authority.stream,
  subjects: [authority.subject],
  discard: DiscardPolicy.New,
  max_bytes: authority.maxBytes,
  max_msg_size: maxPayloadBytes,
};

/** Full, it forgets what is oldest: those values are found no more, and nothing else is lost. */
const shownStream: StreamPlan = {
  ...lastValues,
  name: shown.stream,
  subjects: [shown.subject],
  discard: DiscardPolicy.Old,
  max_bytes: shown.maxBytes,
  max_age: shown.maxAgeMs * 1_000_000,
};

/** Append-only: full, it refuses, and then nothing can be asked or granted. */
const approvalsStream: StreamPlan = {
  name: approvals.stream,
  subjects: [approvals.subject],
  storage: StorageType.File,
  retention: RetentionPolicy.Limits,
  discard: DiscardPolicy.New,
  max_bytes: approvals.maxBytes,
  max_age: approvals.maxAgeMs * 1_000_000,
  max_msg_size: maxPayloadBytes,
  allow_direct: false,
  deny_delete: true,
  deny_purge: true,
};

async function ensureStream(manager: JetStreamManager, plan: StreamPlan): Promise<void> {
  // Adding one that is there would count its reserved space twice.
  if (!(await exists(() => manager.streams.info(plan.name)))) await manager.streams.add(plan);
  else await manager.streams.update(plan.name, { subjects: plan.subjects, max_bytes: plan.max_bytes });
}

/** A consumer per partition. */
async function ensureConsumers(manager: JetStreamManager, key: StreamKey): Promise<void> {
  const { name, prefix } = streams[key];
  const settings = {
    // A recorder that died holds what it had taken for this long; one that is slow gets it twice, which is harmless.
    ack_wait: 10_000_000_000,
    max_ack_pending: 10_000,
  };
  // An older Sluice had one consumer for a whole stream: no other may stand beside it on a work queue.
  if (await exists(() => manager.consumers.info(name, 'recorder'))) await manager.consumers.delete(name, 'recorder');
  for (let partition = 0; partition < partitions; partition++) {
    const consumer = consumerOf(partition);
    if (await exists(() => manager.consumers.info(name, consumer)))
      await manager.consumers.update(name, consumer, settings);
    else
      await manager.consumers.add(name, {
        durable_name: consumer,
        ack_policy: AckPolicy.Explicit,
        filter_subject: `${prefix}.${partition}`,
        ...settings,
      });
  }
}

/** What became of approvals, for one who takes it at its own pace, each event until it is acknowledged. */
async function ensureOutbox(manager: JetStreamManager, name: string): Promise<void> {
  const consumer = approvals.outbox(name);
  if (await exists(() => manager.consumers.info(approvals.stream, consumer))) return;
  await manager.consumers.add(approvals.stream, {
    durable_name: consumer,
    ack_policy: AckPolicy.Explicit,
    filter_subject: approvals.subject,
    ack_wait: 10_000_000_000,
    max_ack_pending: 1_000,
  });
}

const notFound: ReadonlySet<number> = new Set([JetStreamApiCodes.StreamNotFound, JetStreamApiCodes.ConsumerNotFound]);

async function exists(look: () => Promise<unknown>): Promise<boolean> {
  try {
    await look();
    return true;
  } catch (error) {
    if (error instanceof JetStreamApiError && notFound.has(error.code)) return false;
    throw error;
  }
}
