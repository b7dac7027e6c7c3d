import { type ApprovalChange, type ApprovalState, approvalStates, subjects } from '@sluice/model';
import type { Broker } from '@sluice/runtime';
import { onOneLine, shortened } from '../text.ts';

/** A minute has at most so many changes told; of the others it has the number. */
const toldPerMinute = 20;
/** So many approvals are remembered: a change is told to all, and more than once. */
const knownApprovals = 1_000;
const maxSummaryChars = 300;
const minuteMs = 60_000;

/** Writes approvals as they are opened and as they end. Closed, it writes no more lines about what it left out. */
export function tellApprovals(broker: Broker, out: NodeJS.WritableStream): { close(): void } {
  const news = new ApprovalNews();
  const write = (lines: string): void => {
    if (lines !== '') out.write(lines);
  };
  broker.listen(subjects.approvalChanged, (payload) => write(news.told(payload)));
  const timer = setInterval(() => write(news.minute()), minuteMs);
  return { close: () => clearInterval(timer) };
}

/** What is said of changes, and how much of them: an agent that asks without end must not flood a terminal. */
export class ApprovalNews {
  readonly #known = new Map<string, ApprovalState>();
  #told = 0;
  #untold = 0;

  /** The lines for an `ApprovalChange` as JSON; none for what is no news, and for what is none. */
  told(payload: Uint8Array): string {
    const change = read(payload);
    if (change === null || !this.#isNews(change)) return '';
    if (this.#told === toldPerMinute) {
      this.#untold++;
      return '';
    }
    this.#told++;
    const id = onOneLine(change.approval);
    const line = `  approval  ${id} ${change.state}: ${onOneLine(shortened(change.summary, maxSummaryChars))}\n`;
    return change.state === 'pending' ? `${line}            npx --no-install sluice approvals show ${id}\n` : line;
  }

  /** A minute is over: a line about what it had too many of, if it had. */
  minute(): string {
    const untold = this.#untold;
    this.#told = 0;
    this.#untold = 0;
    return untold === 0 ? '' : `  approval  … ${untold} more: npx --no-install sluice approvals list\n`;
  }

  /** Votes and further calls of a command are changes, too, and leave the state as it is. */
  #isNews({ approval, state }: ApprovalChange): boolean {
    if (state === 'approved' || this.#known.get(approval) === state) return false;
    this.#known.set(approval, state);
    const [oldest] = this.#known.keys();
    if (this.#known.size > knownApprovals && oldest !== undefined) this.#known.delete(oldest);
    return true;
  }
}

/** `null` for what is no `ApprovalChange`. */
function read(payload: Uint8Array): ApprovalChange | null {
  try {
    const { approval, state, summary } = JSON.parse(Buffer.from(payload).toString()) as Record<string, unknown>;
    if (typeof approval !== 'string' || typeof state !== 'string' || typeof summary !== 'string') return null;
    return Object.hasOwn(approvalStates, state) ? { approval, state: state as ApprovalState, summary } : null;
  } catch {
    return null;
  }
}
