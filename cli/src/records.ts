import { spawn } from 'node:child_process';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import type { RecordsAnswer, RecordsQuestion } from '@sluice/model';
import type { HomePaths } from './home.ts';
import { askRunning } from './running.ts';

type Answered<Q extends RecordsQuestion> = Extract<RecordsAnswer, { kind: Q['kind'] }>;

/** The record, open to be read. */
export interface Records {
  /** Asks; several questions may be on their way. Throws an `Error` whose message is one sentence. */
  ask<Q extends RecordsQuestion>(question: Q): Promise<Answered<Q>>;
  close(): Promise<void>;
}

/** The record of the Sluice that runs here, by its control socket; where none does, the database itself. */
export function openRecords(home: HomePaths): Records {
  let database: DatabaseReader | undefined;
  const askEither = async (question: string): Promise<string> => {
    if (database === undefined) {
      const answer = await askRunning(home, '/v1/records', question);
      if (answer !== null) return answer.toString();
      database ??= new DatabaseReader(home);
    }
    return database.ask(question);
  };
  return {
    async ask<Q extends RecordsQuestion>(question: Q) {
      const answer = JSON.parse(await askEither(JSON.stringify(question))) as RecordsAnswer;
      if (answer.kind === 'error') throw new Error(answer.message);
      return answer as Answered<Q>;
    },
    async close() {
      await database?.close();
    },
  };
}

const gone = 'the record cannot be read: its reader has died';

/** A process of its own reads the database: it belongs to the recorder's code, and opens once per process. */
class DatabaseReader {
  readonly #child;
  readonly #asked: { readonly answer: (json: string) => void; readonly fail: (error: Error) => void }[] = [];
  readonly #ended: Promise<void>;
  #isGone = false;

  constructor(home: HomePaths) {
    const program = resolve(import.meta.dirname, '../../services/recorder/src/offline.ts');
    this.#child = spawn(process.execPath, [program], {
      env: { SLUICE_DATABASE_DIR: home.database, SLUICE_CLICKHOUSE_URL: home.clickhouseUrl },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    // A reader that died says so by its end.
    this.#child.stdin.on('error', () => undefined);
    createInterface({ input: this.#child.stdout }).on('line', (line) => this.#asked.shift()?.answer(line));
    this.#ended = new Promise((resolve) => {
      this.#child.on('close', () => {
        this.#isGone = true;
        for (const { fail } of this.#asked) fail(new Error(gone));
        resolve();
      });
    });
  }

  /** Answers come in the order of the questions. */
  ask(json: string): Promise<string> {
    if (this.#isGone) return Promise.reject(new Error(gone));
    return new Promise((answer, fail) => {
      this.#asked.push({ answer, fail });
      this.#child.stdin.write(`${json}\n`);
    });
  }

  close(): Promise<void> {
    this.#child.stdin.end();
    return this.#ended;
  }
}
