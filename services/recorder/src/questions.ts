import type { RecordsAnswer, RecordsQuestion } from '@sluice/model';
import type { Records } from './records.ts';
import type { SqlReader } from './sql.ts';
import { SqlError } from './sql-tokens.ts';

/** Answers a question; one that cannot be answered gets an answer that says so. */
export async function answerQuestion(records: Records & SqlReader, question: RecordsQuestion): Promise<RecordsAnswer> {
  try {
    switch (question.kind) {
      case 'calls':
        return { kind: 'calls', calls: await records.calls({ ...question, limit: clamp(question.limit) }) };
      case 'sessions':
        return { kind: 'sessions', sessions: await records.sessions({ ...question, limit: clamp(question.limit) }) };
      case 'frames': {
        const { rows, more } = await records.frames(question);
        return { kind: 'frames', frames: rows, more };
      }
      case 'ledgers':
        return { kind: 'ledgers', ledgers: await records.ledgers(question) };
      case 'proof':
        return { kind: 'proof', ...(await records.proof(question)) };
      case 'part':
        return { kind: 'part', bytesBase64: await records.part(question) };
      case 'sql':
        return { kind: 'sql', ...(await records.sql(question)) };
      default:
        return { kind: 'error', message: `not a question: ${(question as { kind: string }).kind}` };
    }
  } catch (error) {
    if (error instanceof SqlError) return { kind: 'error', message: error.message };
    return { kind: 'error', message: `the record cannot be read: ${(error as Error).message}` };
  }
}

function clamp(limit: number): number {
  return Math.min(Math.max(1, Math.trunc(limit)), 1_000);
}
