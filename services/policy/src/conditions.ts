import { setImmediate as immediate, setTimeout as sleep } from 'node:timers/promises';
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
  /** The masked pod as JSON, without the containers that the body adds; left out where there is none. */
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

/** What the thread says: that it has read the input, then one verdict after another. `usedMs`: its processor time by then. */
export type ConditionWord = { readonly usedMs: number } & (
  | { readonly kind: 'read' }
  | { readonly kind: 'verdict'; readonly verdict: Verdict }
);

/** Processor time that one condition may take: what a busy machine makes it wait is not its own. */
const conditionMs = 50;
/** Its call does not wait longer, whoever has the processor. */
const patienceMs = 1_000;
/** Calls that wait for the thread; beyond this, conditions end as errors at once. */
const maxWaiting = 1_000;
/** A condition that builds a huge text is ended as one that takes too long. Megabytes. */
const maxHeapMb = 256;

interface Waiting extends ConditionTask {
  readonly verdicts: Verdict[];
  readonly resolve: (verdicts: readonly Verdict[]) => void;
}

/**
 * A thread that evaluates conditions. One that takes 50 ms of its processor time, or a second, is ended with the thread, and the
 * next goes on in a new one.
 */
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
      if (word.kind === 'verdict') this.#took(word.verdict, word.usedMs);
      else this.#watch(word.usedMs);
    });
    // Out of memory, for one: the condition in hand is the reason.
    worker.on('error', () => {
      if (worker === this.#worker) this.#giveUp();
    });
    return worker;
  }

  /** Ends the condition in hand when it takes too long. `usedMs`: what the thread had used when it began. */
  #watch(usedMs: number): void {
    const startMs = performance.now();
    const lookIn = (ms: number): void => {
      const timer = setTimeout(() => void look(), ms);
      const isOver = (): boolean => timer !== this.#timer;
      const look = async (): Promise<void> => {
        // After a pause of this whole process the answer may be here already, behind the timer.
        await immediate();
        if (isOver()) return;
        const leftMs = conditionMs - ((await this.#used()) - usedMs);
        if (isOver()) return;
        if (leftMs <= 0 || performance.now() - startMs >= patienceMs) this.#giveUp();
        else lookIn(Math.max(leftMs, 5));
      };
      this.#timer = timer;
    };
    lookIn(conditionMs);
  }

  /** Processor time of the thread, in milliseconds; endless where it does not say. */
  async #used(): Promise<number> {
    const unknown = Number.POSITIVE_INFINITY;
    const asked = this.#worker?.cpuUsage().then(threadMs, () => unknown);
    return Promise.race([asked ?? unknown, sleep(patienceMs, unknown, { ref: false })]);
  }

  #took(verdict: Verdict, usedMs: number): void {
    const head = this.#waiting[0] as Waiting;
    this.#timer = undefined;
    head.verdicts.push(verdict);
    if (head.verdicts.length < head.texts.length) {
      this.#watch(usedMs);
      return;
    }
    this.#waiting.shift();
    head.resolve(head.verdicts);
    this.#begin();
  }

  /** Ends the thread with the condition in hand; the rest goes on in another one. */
  #giveUp(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
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

/** Of what Node says of a thread, in milliseconds. */
export function threadMs({ user, system }: NodeJS.CpuUsage): number {
  return (user + system) / 1000;
}
