// The life of an exec, an attach or a port-forward, from the question to its end. The order is the contract
// (`docs/lifecycle.md`), as for every call.
import type { IncomingMessage } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseStreamRequest, type Refused, statusInsteadOf, TargetError } from '@sluice/kube';
import type { Allow, Decision, StreamRequest } from '@sluice/model';
import { raw } from '@sluice/runtime/raw';
import { type Bound, bind } from '../bind.ts';
import type { Call } from '../call.ts';
import { deliver } from '../deliver.ts';
import { upstreamHeaders } from '../forward.ts';
import type { Granted } from '../hold.ts';
import { maskedText, rulesOf } from '../mask-client.ts';
import type { PipelineParts } from '../pipeline.ts';
import { Refusal } from '../refusal.ts';
import { AgentGone } from '../request.ts';
import { archiveOf } from './archive.ts';
import type { ChannelsRecord } from './channels-record.ts';
import { run } from './exec.ts';
import { cutWords, refusalWords, type Words } from './in-band.ts';
import { type Leg, lastBytesMs, wordsMs } from './leg.ts';
import type { KnownPod } from './pod.ts';
import { forward } from './port-forward.ts';
import type { Upgrade } from './upgrade.ts';

/** Between the sign that an agent's client takes what is said and a refusal. Milliseconds. */
const settledMs = 20;
/** No cluster says more when it refuses. */
const maxAnswerBytes = 1024 * 1024;

/** One stream. */
export class StreamCall {
  readonly #parts: PipelineParts;
  readonly #call: Call;
  readonly #upgrade: Upgrade;
  readonly #stream: StreamRequest;
  /** Once the agent's connection has switched protocols. */
  #agent: Leg | undefined;
  /** Once the cluster has opened the stream. */
  #record: ChannelsRecord | undefined;
  /** Of a port-forward: those that connections were opened to. */
  readonly #ports = new Set<number>();
  /** Resolves when the agent has had the time for its last words. */
  #told: Promise<void> = Promise.resolve();

  /** Throws `Refusal`. */
  constructor(parts: PipelineParts, call: Call, upgrade: Upgrade) {
    this.#parts = parts;
    this.#call = call;
    this.#upgrade = upgrade;
    const { attributes, target } = call.canonical;
    try {
      this.#stream = parseStreamRequest(attributes, target) as StreamRequest;
    } catch (error) {
      if (!(error instanceof TargetError)) throw error;
      throw new Refusal('TargetNotCanonical', error.message);
    }
    upgrade.check(this.#stream);
  }

  /** Decides, connects and carries. Writes the outcome of what ends in order. Throws `Refusal`, and `AgentGone`. */
  async carry(pod: KnownPod): Promise<void> {
    const { ask, failpoint, maskClient } = this.#parts;
    const call = this.#call;
    call.took(raw(Buffer.alloc(0)));
    call.streams(this.#stream, pod);
    await failpoint('before-ask');
    const question = call.question();
    const decision = await ask(question.request, question.masked);
    await call.decided(decision, maskClient);
    if (decision.effect === 'deny') throw new Refusal(decision.reasonCode, decision.reason, decision.hint);
    const granted = decision.effect === 'ask' ? await this.#held(decision, pod) : undefined;
    const allow = decision.effect === 'ask' ? (granted as Granted).decision : decision;
    await failpoint('before-ack');
    await Promise.all([call.writeAhead(), failpoint('after-publish')]);
    await failpoint('after-ack');
    if (this.#upgrade.gone.aborted) throw new AgentGone();
    await granted?.take();
    await failpoint('after-take');
    const decideAgain = (port?: number): Promise<Decision> => {
      const request = granted?.request ?? question.request;
      return ask(port === undefined ? request : { ...request, port }, question.masked);
    };
    const bound = bind(this.#parts, call, {
      decision: allow,
      decideAgain: async () => {
        const decision = await decideAgain();
        for (const port of decision.effect === 'allow' ? this.#ports : []) {
          const ofPort = await decideAgain(port);
          if (ofPort.effect !== 'allow') return ofPort;
        }
        return decision;
      },
      grantEndsMs: granted?.expiresAtMs,
    });
    let end: 'known' | 'unknown' = 'unknown';
    try {
      await this.#open(allow, bound, pod, decideAgain);
      end = 'known';
    } catch (error) {
      // The command was begun, and that is what was granted; or it never was. What cuts in between leaves it open.
      const isRefused = error instanceof Refusal && error.reasonCode !== 'EffectUnknown' && error !== bound.cut.reason;
      if (this.#record !== undefined || isRefused) end = 'known';
      throw error;
    } finally {
      bound.release();
      granted?.conclude(end);
    }
  }

  /** Whether it runs: what ends it now cuts it. */
  get isRunning(): boolean {
    return this.#record !== undefined;
  }

  /** Whether a refusal can be said on the stream itself, where clients show it and do not try another protocol. */
  get speaksInBand(): boolean {
    return this.#stream.kind !== 'portforward';
  }

  /** Tells the agent why there is no stream, or no more. What is said on a running one is recorded first. Never rejects. */
  async tell(refused: Refused): Promise<void> {
    // Each connection of a port-forward has been told.
    if (!this.speaksInBand) return;
    try {
      const agent = (this.#agent ??= await this.#upgrade.acceptChannels(this.#stream));
      if (!this.isRunning) {
        // What its client dropped now would be all that it hears, and nobody waits for a refusal to be quick.
        await agent.drained();
        await sleep(settledMs);
      }
      const words = this.isRunning
        ? cutWords(agent, this.#stream, refused)
        : refusalWords(agent, this.#stream, refused);
      await this.#say(agent, words);
    } catch {
      this.#upgrade.destroy();
    }
  }

  /** Writes down the last words, before the outcome says how it all ended. */
  async #say(agent: Leg, words: Words): Promise<void> {
    const record = this.#record;
    for (const [channel, bytes] of words) {
      if (bytes.length > 0) record?.conclude(channel, bytes);
      agent.send(channel, bytes);
    }
    this.#told = agent.close(wordsMs);
  }

  /** Resolves when the agent has taken its last words, or has had the time. */
  async closed(): Promise<void> {
    await this.#told;
    // What was answered as HTTP closes by itself.
    if (!this.#upgrade.response.headersSent) this.#upgrade.destroy();
  }

  /** The upgrade is accepted meanwhile, so that no client gives up on it; what the agent sends waits. */
  async #held(decision: Extract<Decision, { effect: 'ask' }>, pod: KnownPod): Promise<Granted> {
    if (this.speaksInBand) this.#agent = await this.#upgrade.acceptChannels(this.#stream);
    const granted = await this.#parts.hold(this.#call, decision, this.#upgrade.gone);
    await this.#parts.pods.assertSame(this.#call, pod);
    return granted;
  }

  async #open(allow: Allow, { cut }: Bound, pod: KnownPod, decide: (port: number) => Promise<Decision>): Promise<void> {
    const { connect, failpoint, maskClient, pods } = this.#parts;
    const call = this.#call;
    const { impersonate, mask } = allow.obligations;
    const outgoing = { call: call.record.id, canonical: call.canonical, agent: call.agent, impersonate };
    const connecting = {
      stream: this.#stream,
      target: call.canonical.target.canonical,
      headers: upstreamHeaders(this.#upgrade.request, { ...outgoing, body: call.body }),
      over: AbortSignal.any([cut, this.#upgrade.gone]),
      assertCurrent: () => this.#parts.assertInForce(allow),
    };
    const subject = { agent: call.agent, attributes: call.canonical.attributes, rules: rulesOf(allow.obligations) };
    if (this.#stream.kind === 'portforward') {
      const connected = await connect.spdy(connecting, ['portforward.k8s.io']);
      if (connected.kind === 'answer') return this.#refusedBy(connected.answer, allow, cut);
      const cluster = connected.end;
      try {
        const record = this.#runs(`SPDY/3.1 ${cluster.protocol}`);
        await failpoint('after-first-upstream-byte');
        const agent = this.#upgrade.acceptForwards(this.#stream);
        Object.assign(record.facts, { client: agent.protocol, unmasked: true });
        await forward({ agent, cluster, record, maskClient, subject, allow, decide, ports: this.#ports, cut });
        await this.#completed();
      } finally {
        cluster.socket.destroy();
      }
      return;
    }
    const learned = pods.learnSecrets(call, pod.kind === 'read' ? pod.pod.secrets : [], impersonate);
    learned.catch(() => undefined);
    const connected = await connect.channels(connecting);
    if (connected.kind === 'answer') return this.#refusedBy(connected.answer, allow, cut);
    const cluster = connected.end;
    try {
      const record = this.#runs(cluster.protocol);
      await failpoint('after-first-upstream-byte');
      await learned;
      const agent = (this.#agent ??= await this.#upgrade.acceptChannels(this.#stream));
      record.facts.client = agent.protocol;
      const { command, stdin, tty } = this.#stream;
      const inputAllowed = stdin ? pods.assertSame(call, pod) : Promise.resolve();
      inputAllowed.catch(() => undefined);
      const archive = archiveOf(command);
      const isTyped = (stdin || tty) && archive === null;
      const what = { hasStdin: stdin, isTyped, archive, showsRaw: mask === 'none' };
      await run({ agent, cluster, record, maskClient, subject, ...what, inputAllowed, cut });
      await this.#completed();
      this.#told = agent.close(lastBytesMs);
    } finally {
      cluster.destroy();
    }
  }

  /** From here on the command may be running, whether the agent hears of it or not. */
  #runs(upstream: string): ChannelsRecord {
    this.#record = this.#call.record.channels();
    this.#record.facts.upstream = upstream;
    return this.#record;
  }

  async #completed(): Promise<void> {
    await this.#parts.failpoint('before-outcome');
    this.#call.record.outcome('completed', switched);
  }

  /** The cluster answers with a `Status` instead of a stream. */
  async #refusedBy(answer: IncomingMessage, allow: Allow, cut: AbortSignal): Promise<void> {
    const { maskClient } = this.#parts;
    const { canonical, agent, record } = this.#call;
    const subject = { agent, attributes: canonical.attributes, rules: rulesOf(allow.obligations) };
    if (this.#agent === undefined) {
      const isRecordFull = allow.obligations.record === 'full';
      const delivery = { canonical, subject, shows: 'masked', record, maskClient, isRecordFull, cut } as const;
      await deliver(answer, this.#upgrade.response, { ...delivery, atEnd: () => undefined });
      return;
    }
    const code = answer.statusCode ?? 502;
    let bytes = 0;
    answer.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > maxAnswerBytes) answer.destroy(new Error('too much'));
    });
    const said = await buffer(answer).catch(() => Buffer.alloc(0));
    const message = await maskedText(maskClient, subject, messageIn(said) ?? messageIn(statusInsteadOf(code)) ?? '');
    throw new Refusal('StreamRefused', `the cluster refuses the stream: ${message}`);
  }
}

/** HTTP status of a switch of protocols. */
const switched = 101;

function messageIn(status: Buffer | string): string | null {
  try {
    const { message } = JSON.parse(status.toString()) as { readonly message?: unknown };
    return typeof message === 'string' ? message : null;
  } catch {
    return null;
  }
}
