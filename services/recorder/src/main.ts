// The recorder: takes frames off the broker into the record, each exactly once, and answers questions about it.
import { maxPayloadBytes, queueGroups, type RecordsAnswer, type RecordsQuestion, subjects } from '@sluice/model';
import { consumeFrames, ensureStreams, openBroker, runService } from '@sluice/runtime';
import { databaseOf } from './config.ts';
import { answerQuestion } from './questions.ts';
import { openStore } from './store.ts';

runService('recorder', process.env, async ({ env, log }) => {
  const store = await openStore(databaseOf(env));
  const [frames, questions] = await Promise.all([
    openBroker(env, 'recorder frames', log),
    openBroker(env, 'recorder questions', log),
  ]);
  await ensureStreams(frames);
  const consuming = await consumeFrames(frames, log, async (batch) => {
    const quarantined = await store.insert(batch);
    if (quarantined > 0) log.error({ quarantined }, 'messages that are no frames went to quarantine');
  });
  questions.respond(subjects.records, queueGroups.recorder, async (payload) => {
    const question = JSON.parse(Buffer.from(payload).toString()) as RecordsQuestion;
    const answer = encoded(await answerQuestion(store, question));
    if (answer.length <= maxPayloadBytes) return answer;
    return encoded({ kind: 'error', message: 'the answer is larger than a message may be' });
  });
  return {
    async drain() {
      await consuming.drain();
      await Promise.all([frames.drain(), questions.drain()]);
      await store.close();
    },
  };
});

function encoded(answer: RecordsAnswer): Buffer {
  return Buffer.from(JSON.stringify(answer));
}
