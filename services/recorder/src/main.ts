// The recorder: takes frames off the broker into the record, each exactly once, keeps watch over the ledgers of all
// writers, and answers questions about the record.
import {
  leases,
  ledgerGraceMs,
  maxPayloadBytes,
  queueGroups,
  type RecordsAnswer,
  type RecordsQuestion,
  streams,
  subjects,
} from '@sluice/model';
import {
  assertStreams,
  consumeFrames,
  failpoints,
  integer,
  ledgerSettings,
  openBroker,
  openLeaseStore,
  openLedger,
  required,
  runService,
} from '@sluice/runtime';
import { Clocks } from './clocks.ts';
import { databaseOf } from './config.ts';
import { type Keeper, openKeeper } from './keeper.ts';
import { holdPartitions, type Partitions } from './partitions.ts';
import { answerQuestion } from './questions.ts';
import { SecondHome } from './second-home.ts';
import { openStore } from './store.ts';

/** The list of all heads is written this often, unless `SLUICE_LEDGER_HEADS_MS` says otherwise. */
const headsMs = 60_000;
/** What the broker has when a question comes belongs into the answer, and is waited for this long. */
const questionMs = 1_000;
/** Its own last frames are waited for this long before the recorder stops. */
const lastFramesMs = 3_000;

/** Where the fault experiments can stop a batch. Before it is inserted, the one before it has been acknowledged. */
type FailpointName = 'before-insert' | 'after-insert';

runService('recorder', process.env, async ({ env, log, fail }) => {
  const failpoint = failpoints<FailpointName>(env);
  const database = databaseOf(env);
  const store = await openStore(database);
  const secondHome = new SecondHome(required(env, 'SLUICE_SEALS_DIR'), (ledger) => store.sealKey(ledger), log);
  const [frames, own, control, questions] = await Promise.all([
    openBroker(env, 'recorder frames', log),
    openBroker(env, 'recorder ledger', log),
    openBroker(env, 'recorder control', log),
    openBroker(env, 'recorder questions', log),
  ]);
  await assertStreams(frames, [streams.calls.name, streams.bytes.name, leases.stream]);
  const clocks = new Clocks();
  let partitions: Partitions | undefined;
  let keeper: Keeper | undefined;
  const intake = await consumeFrames(frames, log, async (batch) => {
    partitions?.assertHeld();
    await failpoint('before-insert');
    const { fresh, repeated, quarantined } = await store.insert(batch);
    await failpoint('after-insert');
    // Before the acks: a seal that did not reach its second home comes again with its batch.
    await secondHome.keep([...fresh, ...repeated]);
    if (quarantined > 0) log.error({ quarantined }, 'messages that have no place in the record went to quarantine');
    for (const skew of clocks.skewsIn(fresh, performance.now())) {
      log.error({ code: 'ClockSkewed', ...skew }, 'the clocks of a writer and of the broker differ');
    }
    keeper?.recorded(new Set(fresh.map(({ ledger }) => ledger)));
  });
  const ledger = await openLedger({ broker: own, ...ledgerSettings(env, 'recorder'), log, onLost: fail });
  const leaseStore = await openLeaseStore(control);
  partitions = await holdPartitions({
    store: leaseStore,
    instance: ledger.instance,
    fence: database.kind === 'embedded' ? 'database' : 'wait',
    log,
    onTaken: (partition) => intake.take(partition),
    onLost: fail,
  });
  keeper = await openKeeper({
    store,
    intake,
    leaseStore,
    ledger,
    broker: control,
    log,
    graceMs: integer(env, 'SLUICE_LEDGER_GRACE_MS', ledgerGraceMs),
    headsMs: integer(env, 'SLUICE_LEDGER_HEADS_MS', headsMs),
  });
  questions.respond(subjects.records, queueGroups.recorder, async (payload) => {
    const question = JSON.parse(Buffer.from(payload).toString()) as RecordsQuestion;
    if (isOfNow(question)) await intake.catchUp(questionMs);
    const answer = encoded(await answerQuestion(store, question));
    if (answer.length <= maxPayloadBytes) return answer;
    return encoded({ kind: 'error', message: 'the answer is larger than a message may be' });
  });
  return {
    async drain() {
      await keeper.stop();
      await ledger.drain(lastFramesMs);
      await keeper.ownIsRecorded(lastFramesMs);
      await intake.drain();
      await partitions.release();
      await Promise.all([frames, own, control, questions].map((broker) => broker.drain()));
      await store.close();
    },
  };
});

/** Whether a question is the first about what there is; those that read on in what it named need not wait. */
function isOfNow(question: RecordsQuestion): boolean {
  const { kind } = question;
  return kind !== 'proof' && kind !== 'part' && !(kind === 'frames' && question.after !== null);
}

function encoded(answer: RecordsAnswer): Buffer {
  return Buffer.from(JSON.stringify(answer));
}
