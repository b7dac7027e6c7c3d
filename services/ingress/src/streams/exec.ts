// An exec or an attach that runs: every byte is masked, recorded and passed on, in this order, until one side ends it.
import { endFor, exitCodeOf } from '@sluice/kube';
import type { Channel } from '@sluice/model';
import { type MaskClient, type MaskSubject, maskedText } from '../mask-client.ts';
import { asWithheld, isQuiet, MaskedText, type Passing } from '../masked.ts';
import type { CallOver } from '../record.ts';
import { Refusal } from '../refusal.ts';
import { AgentGone, agentGone } from '../request.ts';
import { ArchivedFiles } from './archive.ts';
import type { ChannelsRecord } from './channels-record.ts';
import { type Leg, type LegEvent, StreamError } from './leg.ts';
import { Resizes } from './resizes.ts';

/** What a stream runs with. */
export interface Running {
  readonly agent: Leg;
  readonly cluster: Leg;
  readonly record: ChannelsRecord;
  readonly maskClient: MaskClient;
  readonly subject: MaskSubject;
  /** Whether it was decided with stdin. Without, what an agent says there is for nobody, whatever the cluster would do with it. */
  readonly hasStdin: boolean;
  /** Somebody types, or reads along: what is no secret must not wait for what may follow it. */
  readonly isTyped: boolean;
  /** What is an archive: its places count, and its files are named in the record. */
  readonly archive: 'stdin' | 'stdout' | null;
  /** The agent gets the values as they are; the record does not. */
  readonly showsRaw: boolean;
  /** Resolves when input may go to the pod. Rejects with a `Refusal`. */
  readonly inputAllowed: Promise<void>;
  /** Aborts with the `Refusal` that names why the stream is cut. */
  readonly cut: AbortSignal;
}

/** A `Status` has no more. Bytes. */
const maxStatusBytes = 64 * 1024;
/** What may be the beginning of a secret is not held for longer, when nothing follows. Milliseconds. */
const quietMs = { typed: 300, other: 1_000 } as const;

/**
 * Carries both directions until the command has ended and the agent was told how, or has left with the whole archive that it
 * came for: `kubectl cp` does not wait for what tar says then. Throws `AgentGone`, and `Refusal`: what `cut`
 * says, or what made it impossible to go on. Whoever calls ends both legs.
 */
export async function run(running: Running): Promise<void> {
  const { cut, agent } = running;
  const { promise: failed, reject: fail } = Promise.withResolvers<never>();
  const isCut = (): void => fail(cut.reason);
  // Whoever waits for a pod that takes nothing hears nothing else.
  const isLeft = (): void => fail(agentGone);
  cut.addEventListener('abort', isCut);
  agent.gone.addEventListener('abort', isLeft);
  if (cut.aborted) isCut();
  if (agent.gone.aborted) isLeft();
  const pumps = new Pumps(running);
  pumps.input().catch(fail);
  try {
    await Promise.race([pumps.output(), failed]);
  } catch (error) {
    pumps.stop();
    if (error instanceof AgentGone && pumps.gaveArchive) return await running.record.settled();
    throw asWithheld(error);
  } finally {
    cut.removeEventListener('abort', isCut);
    agent.gone.removeEventListener('abort', isLeft);
    pumps.stop();
  }
}

class Pumps implements CallOver {
  readonly #running: Running;
  readonly #texts = new Map<Channel, MaskedText>();
  readonly #resizes = new Resizes();
  readonly #files = new ArchivedFiles();
  readonly signal: AbortSignal;
  #isOver = false;

  constructor(running: Running) {
    this.#running = running;
    this.signal = AbortSignal.any([running.cut, running.agent.gone]);
  }

  /** Nothing more is recorded or passed on. */
  stop(): void {
    this.#isOver = true;
  }

  /** Whether the agent was sent all of an archive. */
  get gaveArchive(): boolean {
    return this.#running.archive === 'stdout' && this.#files.isWhole;
  }

  throwIfOver(): void {
    this.#running.cut.throwIfAborted();
    if (this.#isOver || this.#running.agent.gone.aborted) throw agentGone;
  }

  /** From the agent to the pod, until the agent leaves: then it throws `AgentGone`. */
  async input(): Promise<never> {
    const { agent, cluster, hasStdin, inputAllowed } = this.#running;
    await inputAllowed;
    await this.#pump(agent, async ({ channel, ...event }) => {
      if (channel === 'stdin' && !hasStdin) return 'more';
      if (channel === 'stdin' && event.kind === 'data') await this.#toPod(await this.#text('stdin').push(event.bytes));
      else if (channel === 'stdin') {
        await this.#toPod(await this.#text('stdin').flush());
        cluster.end('stdin');
      } else if (channel === 'resize' && event.kind === 'data') await this.#resize(event.bytes);
      // Go clients close their side of what they only read.
      else if (event.kind === 'data')
        throw new Refusal('StreamNotReadable', `the agent sent something on the channel ${channel}`);
      return 'more';
    });
    throw agentGone;
  }

  /** From the pod to the agent, until the command has ended and the agent was told. */
  async output(): Promise<void> {
    const parts: Buffer[] = [];
    const end = await this.#pump(this.#running.cluster, async ({ channel, ...event }) => {
      if (channel !== 'error') {
        if (event.kind === 'data') await this.#toAgent(channel, await this.#text(channel).push(event.bytes));
        return 'more';
      }
      if (event.kind === 'end') return 'done';
      parts.push(event.bytes);
      if (parts.reduce((sum, { length }) => sum + length, 0) > maxStatusBytes)
        throw new Refusal('ResponseWithheld', 'the cluster says more than a Status of how the stream ended');
      return 'more';
    });
    for (const channel of outputs) {
      // A text that holds nothing back has nothing more to give.
      if (this.#texts.get(channel)?.isHolding === true) await this.#toAgent(channel, await this.#text(channel).flush());
    }
    if (end === 'gone')
      throw new Refusal('EffectUnknown', 'the connection to the cluster broke before the command had ended');
    await this.#tellEnd(Buffer.concat(parts));
  }

  /** Takes what comes out of a leg, in its order. What its texts hold goes on when nothing comes for a while. */
  async #pump(leg: Leg, take: (event: LegEvent) => Promise<'more' | 'done'>): Promise<'done' | 'gone'> {
    const ms = this.#running.isTyped ? quietMs.typed : quietMs.other;
    const isInput = leg === this.#running.agent;
    for (;;) {
      const next = leg.read();
      // It is awaited below, unless the stream ends meanwhile.
      next.catch(() => undefined);
      for (const channel of isInput ? inputs : outputs) {
        if (this.#texts.get(channel)?.isHolding !== true || !(await isQuiet(next, ms))) continue;
        const passing = await this.#text(channel).flush();
        await (isInput ? this.#toPod(passing) : this.#toAgent(channel, passing));
      }
      const event = await next.catch((error: unknown) => {
        throw error instanceof StreamError ? unreadable(error, isInput) : error;
      });
      this.throwIfOver();
      if (event === null) return 'gone';
      if ((await take(event)) === 'done') return 'done';
    }
  }

  #text(channel: Channel): MaskedText {
    let text = this.#texts.get(channel);
    if (text === undefined) {
      const { maskClient, subject, isTyped, archive } = this.#running;
      const direction = channel === 'stdin' ? 'sent' : 'shown';
      const keepLength = channel === archive;
      text = new MaskedText(maskClient, subject, {
        direction,
        ...(isTyped && { typing: true }),
        ...(keepLength && { keepLength }),
      });
      this.#texts.set(channel, text);
    }
    return text;
  }

  /** Input is on the broker's disk before it goes to the pod. */
  async #toPod({ masked, raw }: Passing): Promise<void> {
    if (raw.length === 0 && masked.length === 0) return;
    const { cluster, record } = this.#running;
    await record.claim(masked.length, this);
    this.throwIfOver();
    this.#look('stdin', masked);
    await record.input('stdin', masked);
    this.throwIfOver();
    cluster.send('stdin', raw);
    await cluster.drained();
  }

  /** Output is on its way to the record before it is on its way to the agent. */
  async #toAgent(channel: Channel, { masked, raw }: Passing): Promise<void> {
    if (raw.length === 0 && masked.length === 0) return;
    const { agent, record, showsRaw } = this.#running;
    await record.claim(masked.length, this);
    this.throwIfOver();
    this.#look(channel, masked);
    record.output(channel, masked);
    agent.send(channel, showsRaw ? raw : masked);
    await record.within();
    await agent.drained();
  }

  /** What an archive holds is known from its masked bytes. */
  #look(channel: Channel, masked: Buffer): void {
    const { archive, record } = this.#running;
    if (channel !== archive) return;
    this.#files.push(masked);
    if (this.#files.files.length > 0) record.facts.files = this.#files.files;
  }

  async #resize(bytes: Buffer): Promise<void> {
    const { cluster, record } = this.#running;
    const sizes = this.#resizes.push(bytes);
    if (sizes === null)
      throw new Refusal('StreamNotReadable', 'the agent resizes its terminal to something that is no size');
    if (sizes.length === 0) return;
    await record.claim(sizes.length, this);
    this.throwIfOver();
    await record.input('resize', sizes);
    this.throwIfOver();
    cluster.send('resize', sizes);
  }

  async #tellEnd(status: Buffer): Promise<void> {
    const { agent, cluster, record, maskClient, subject } = this.#running;
    record.facts.exitCode = cluster.hasStatus ? exitCodeOf(status) : status.length === 0 ? 0 : null;
    const translated = endFor(status, cluster, agent);
    const text = translated.toString();
    const masked = Buffer.from(text === success ? text : await maskedText(maskClient, subject, text));
    await record.claim(masked.length, this);
    this.throwIfOver();
    if (masked.length > 0) record.output('error', masked);
    // The last word waits until everything before it is on disk.
    await record.settled();
    this.throwIfOver();
    agent.send('error', masked);
  }
}

/** How API servers say that a command succeeded: nothing in it could be masked. */
const success = '{"metadata":{},"status":"Success"}';
const inputs: readonly Channel[] = ['stdin'];
const outputs: readonly Channel[] = ['stdout', 'stderr'];

function unreadable({ message }: StreamError, isInput: boolean): Refusal {
  if (isInput) return new Refusal('StreamNotReadable', `the agent\u2019s stream cannot be read: ${message}`);
  return new Refusal('ResponseWithheld', `the cluster\u2019s stream cannot be read: ${message}`);
}
