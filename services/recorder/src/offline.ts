// Answers one question while Sluice is stopped: the question is JSON on stdin, the answer JSON on stdout. While
// Sluice runs, only the recorder can open the embedded database.
import { existsSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import type { RecordsAnswer, RecordsQuestion } from '@sluice/model';
import { databaseOf } from './config.ts';
import { answerQuestion } from './questions.ts';
import { openStore } from './store.ts';

const database = databaseOf(process.env);
const question = JSON.parse(await text(process.stdin)) as RecordsQuestion;
process.stdout.write(JSON.stringify(await answer()));

async function answer(): Promise<RecordsAnswer> {
  if (database.kind === 'embedded' && !existsSync(`${database.dir}/metadata`)) {
    return { kind: 'error', message: 'nothing has been recorded here yet; start Sluice with `npm start`' };
  }
  try {
    const store = await openStore(database);
    const answered = await answerQuestion(store, question);
    await store.close();
    return answered;
  } catch (error) {
    return { kind: 'error', message: `the record cannot be opened: ${(error as Error).message}` };
  }
}
