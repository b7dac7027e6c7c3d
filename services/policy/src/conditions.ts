import { Worker } from 'node:worker_threads';
import type { Agent, Grade } from '@sluice/model';

/** What conditions of one call speak of. */
export interface ConditionInput {
  readonly request: Readonly<Record<string, string>>;
  readonly agent: Agent;
  /** The masked body as JSON; `null` when there is none. */
  readonly body: Uint8Array | null;
  /** Of what runs in a pod, and of a port-forward. */
  readonly exec?: ExecInput;
  /** The masked pod as JSON; left out where there is none. */
  readonly pod?: Uint8Array;
  readonly nowMs: number;
}

export interface ExecInput {
  readonly kind: 'exec' | 'attach' | 'portforward';
  readonly command: readonly string[];
  readonly container: string;
  readonly stdin: boolean;
  readonly tty: boolean;
  readonly grade: Grade;
  /** 0: none is asked about. */
  readonly port: number;
}

/** `error`: it could not be evaluated, or took too long. */
export type Verdict = 'yes' | 'no' | 'error';

/** Evaluates conditions, all of one call at once. Never rejects. */
export type Evaluate = (texts: readonly string[], input: ConditionInput) => Promise<readonly Verdict[]>;

/** What the thread is given. */
export interface ConditionTask {
  readonly texts: readonly string[];
  readonly input: ConditionInput;
}

/** What the thread says: that it has read the input, then one verdict after another. */
export type ConditionWord = { readonly kind: 'read' } | { readonly kind: 'verdict'; readonly verdict: Verdict };

/** One condition may take this long. */
export const conditionTimeoutMs = 50;
/** Calls that wait for the thread; beyond this, conditions end as errors at once. */
const maxWaiting = 1_000;
/** A condition that builds a huge text is ended as one that takes too long. Megabytes. */
const maxHeapMb = 256;

interface Waiting extends ConditionTask {
  readonly verdicts: Verdict[];
  readonly resolve: (verdicts: readonly Verdict[]) => void;
}

/** A thread that evaluates conditions. One that takes longer than 50 ms is ended with the thread, and the next goes on in a new one. */
export class Conditions {
  #worker: Worker | null = null;
  readonly #waiting: Waiting[] = [];
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  readonly evaluate: Evaluate = (texts, input) => {
    if (texts.length === 0) return Promise.resolve([]);
    if (this.#stopped || this.#waiting.length >= maxWaiting) return Promise.resolve(texts.map(() => 'error'));
    return new Promise((resolve) => {
      this.#waiting.push({ texts, input, verdicts: [], resolve });
      if (this.#waiting.length === 1) this.#begin();
    });
  };

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#worker?.terminate();
    for (const { texts, resolve } of this.#waiting.splice(0)) resolve(texts.map(() => 'error'));
  }

  /** Gives the thread what is left of the first call that waits. */
  #begin(): void {
    const [head] = this.#waiting;
    if (head === undefined || this.#stopped) return;
    this.#worker ??= this.#start();
    const { texts, input, verdicts } = head;
    this.#worker.postMessage({ texts: texts.slice(verdicts.length), input } satisfies ConditionTask);
  }

  #start(): Worker {
    const worker = new Worker(new URL('./condition-worker.ts', import.meta.url), {
      resourceLimits: { maxOldGenerationSizeMb: maxHeapMb },
    });
    worker.on('message', (word: ConditionWord) => {
      if (worker !== this.#worker) return;
      clearTimeout(this.#timer);
      if (word.kind === 'verdict') this.#took(word.verdict);
      else this.#watch();
    });
    // Out of memory, for one: the condition in hand is the reason.
    worker.on('error', () => {
      if (worker === this.#worker) this.#giveUp();
    });
    return worker;
  }

  #watch(): void {
    this.#timer = setTimeout(() => {
      // After a pause of this whole process the answer may be here already, behind the timer.
      const timer = this.#timer;
      setImmediate(() => {
        if (timer === this.#timer) this.#giveUp();
      });
    }, conditionTimeoutMs);
  }

  #took(verdict: Verdict): void {
    const head = this.#waiting[0] as Waiting;
    this.#timer = undefined;
    head.verdicts.push(verdict);
    if (head.verdicts.length < head.texts.length) {
      this.#watch();
      return;
    }
    this.#waiting.shift();
    head.resolve(head.verdicts);
    this.#begin();
  }

  /** Ends the thread with the condition in hand; the rest goes on in another one. */
  #giveUp(): void {
    clearTimeout(this.#timer);
    void this.#worker?.terminate();
    this.#worker = null;
    const [head] = this.#waiting;
    if (head === undefined) return;
    head.verdicts.push('error');
    if (head.verdicts.length === head.texts.length) {
      this.#waiting.shift();
      head.resolve(head.verdicts);
    }
    this.#begin();
  }
}
