// Answers questions while Sluice is stopped: each line of stdin is one, as JSON, and each line of stdout an answer, in
// the order of the questions, until stdin ends. While Sluice runs, only the recorder can open the embedded database.
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { RecordsAnswer, RecordsQuestion } from '@sluice/model';
import { databaseOf } from './config.ts';
import { answerQuestion } from './questions.ts';
import { openStore, type Store } from './store.ts';

const opened = openRecord();
let answered = Promise.resolve();
for await (const line of createInterface({ input: process.stdin })) {
  const answering = answer(JSON.parse(line) as RecordsQuestion);
  answered = answered.then(async () => {
    process.stdout.write(`${oneLine(await answering)}\n`);
  });
}
await answered;
const { store } = await opened;
await store?.close();

async function answer(question: RecordsQuestion): Promise<RecordsAnswer> {
  const { store, message } = await opened;
  return store === null ? { kind: 'error', message } : answerQuestion(store, question);
}

/** For readers to whom a line also ends at the separators that Unicode has for lines and paragraphs. */
function oneLine(answer: RecordsAnswer): string {
  return JSON.stringify(answer).replaceAll('\u2028', '\\u2028').replaceAll('\u2029', '\\u2029');
}

/** The record, or why there is none to be read. */
async function openRecord(): Promise<{ readonly store: Store | null; readonly message: string }> {
  const database = databaseOf(process.env);
  if (database.kind === 'embedded' && !existsSync(`${database.dir}/metadata`)) {
    return { store: null, message: 'nothing has been recorded here yet; start Sluice with `npm start`' };
  }
  try {
    return { store: await openStore(database), message: '' };
  } catch (error) {
    return { store: null, message: `the record cannot be opened: ${(error as Error).message}` };
  }
}
