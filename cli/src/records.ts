import { spawn } from 'node:child_process';
import { resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import type { RecordsAnswer, RecordsQuestion } from '@sluice/model';
import type { HomePaths } from './home.ts';
import { askRunning } from './running.ts';

type Answered<Q extends RecordsQuestion> = Extract<RecordsAnswer, { kind: Q['kind'] }>;

/**
 * Asks the record: the running Sluice by its control socket, or else the embedded database itself. Throws an
 * `Error` whose message is one sentence.
 */
export async function askRecords<Q extends RecordsQuestion>(home: HomePaths, question: Q): Promise<Answered<Q>> {
  const json = JSON.stringify(question);
  const running = await askRunning(home, '/v1/records', json);
  const answered = JSON.parse(running?.toString() ?? (await askDatabase(home, json))) as RecordsAnswer;
  if (answered.kind === 'error') throw new Error(answered.message);
  return answered as Answered<Q>;
}

/** A process of its own: the embedded database belongs to the recorder's code, and opens once per process. */
async function askDatabase(home: HomePaths, question: string): Promise<string> {
  const program = resolve(import.meta.dirname, '../../services/recorder/src/offline.ts');
  const child = spawn(process.execPath, [program], {
    env: { SLUICE_DATABASE_DIR: home.database },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  child.stdin.end(question);
  const answer = await text(child.stdout);
  if (answer === '') throw new Error(`the record in ${home.database} cannot be opened`);
  return answer;
}
