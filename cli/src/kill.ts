import { type KillAnswer, type KillQuestion, killReasonLength } from '@sluice/model';
import type { HomePaths } from './home.ts';
import { askRunning } from './running.ts';
import { holdsUnseen, onOneLine } from './text.ts';

/** `sluice kill`, with its options parsed. */
export interface KillOptions {
  readonly reason: string;
  readonly json?: true;
}

/**
 * Cuts what runs of a call or a session, as the person whose account Sluice runs under, and says which calls that were.
 * Throws an `Error` of one sentence, also where nothing of it runs.
 */
export async function kill(
  home: HomePaths,
  id: string,
  { reason, json }: KillOptions,
  out: NodeJS.WritableStream,
): Promise<void> {
  const question = killQuestion(id, reason);
  const reply = await askRunning(home, '/v1/kill', JSON.stringify(question));
  if (reply === null)
    throw new Error('no Sluice runs here, and so nothing does that could be cut; start it: npm start');
  const { calls } = JSON.parse(reply.toString()) as KillAnswer;
  if (calls.length === 0) {
    throw new Error(`nothing of ${question.id} runs; \`sluice calls list\` shows which calls are running`);
  }
  out.write(
    json === true ? `${JSON.stringify({ calls })}\n` : calls.map((call) => `cut ${onOneLine(call)}\n`).join(''),
  );
}

/** What is asked of the ingresses, but for who asks. Throws an `Error` of one sentence for what is no id or no reason. */
export function killQuestion(id: string, reason: string): Omit<KillQuestion, 'by'> {
  const asked = id.toLowerCase();
  if (!/^([0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$/.test(asked)) {
    throw new Error(`"${onOneLine(id)}" is no id of a call or a session; \`sluice calls list\` shows them`);
  }
  const why = reason.trim();
  if (why === '' || why.length > killReasonLength || holdsUnseen(why)) {
    throw new Error(`a reason has 1 to ${killReasonLength} characters on one line: --reason "not in this pod"`);
  }
  return { id: asked, reason: why };
}
