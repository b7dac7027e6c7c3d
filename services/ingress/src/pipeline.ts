import { refusalStatus } from '@sluice/kube';
import { type Allow, addsContainers, type Decision, type ReasonCode, type RequestAttributes } from '@sluice/model';
import type { Failpoint, Lease, Logger } from '@sluice/runtime';
import { answer, breakOff } from './answer.ts';
import type { Ask } from './ask.ts';
import type { Authenticate } from './authenticate.ts';
import { bind } from './bind.ts';
import { type Body, readableBody } from './body.ts';
import { Call, type CallParts } from './call.ts';
import { deliver } from './deliver.ts';
import type { Forward } from './forward.ts';
import { isStreamOf } from './headers.ts';
import type { Granted, Hold } from './hold.ts';
import type { Limits } from './limits.ts';
import type { LiveCalls } from './live.ts';
import { type MaskClient, rulesOf } from './mask-client.ts';
import { Refusal } from './refusal.ts';
import {
  AgentGone,
  canonicalise,
  goneSignal,
  header,
  isGone,
  type Request,
  type Response,
  readBody,
} from './request.ts';
import type { Connect } from './streams/connect.ts';
import type { Pods } from './streams/pod.ts';
import { RefusedPairs } from './streams/refused-pairs.ts';
import { StreamCall } from './streams/stream-call.ts';
import type { Upgrade } from './streams/upgrade.ts';
import { refuseMasks } from './write-back.ts';

/** Where the fault experiments can stop a call; further points are in the cluster's hands. */
export type FailpointName =
  | 'before-ask'
  | 'before-ack'
  | 'after-publish'
  | 'after-ack'
  | 'after-take'
  | 'after-first-upstream-byte'
  | 'before-outcome';

/** What the stages of a call work with. */
export interface PipelineParts extends CallParts {
  readonly authenticate: Authenticate;
  readonly ask: Ask;
  readonly hold: Hold;
  readonly maskClient: MaskClient;
  readonly forward: Forward;
  readonly failpoint: Failpoint<FailpointName>;
  /** By which the policies in force are known. */
  readonly lease: Lease;
  readonly limits: Limits;
  readonly live: LiveCalls;
  readonly pods: Pods;
  readonly connect: Connect;
  /** See `createAssertInForce`. */
  readonly assertInForce: (decision: Decision) => void;
  /** Aborts when Sluice stops and calls still in hand are being cut. */
  readonly stop: AbortSignal;
  readonly log: Logger;
}

/** Takes one call from its head to its outcome. `upgrade`: it is to become a stream. Never rejects. */
export type Pipeline = (request: Request, response: Response, upgrade?: Upgrade) => Promise<void>;

/**
 * The life of a call. The order is the contract (`docs/lifecycle.md`): each stage either completes or throws
 * a `Refusal`, and nothing goes to the cluster before the write-ahead is acknowledged.
 */
export function createPipeline(parts: PipelineParts): Pipeline {
  const { authenticate, lease, ledger, limits, log, maskClient } = parts;
  const pairs = new RefusedPairs<Told>();

  return async (request, response, upgrade) => {
    let call: Call | undefined;
    let stream: StreamCall | undefined;
    try {
      if (!ledger.healthy()) throw new Refusal('RecordUnavailable', 'Sluice cannot record calls now, so it takes none');
      const canonical = canonicalise(request, limits);
      const caller = await authenticate(request);
      const told = upgrade && pairs.takeSecond(caller.agent, canonical);
      if (told !== undefined) return answer(response, told, limits);
      // From here on the caller is known: every end of the call is recorded.
      call = new Call(parts, request, canonical, caller);
      const opening = upgrade && openStream(parts, call, upgrade);
      if (opening instanceof StreamCall) stream = opening;
      // The cluster takes its time to say what pod it is.
      const pod = stream !== undefined && lease.held() ? parts.pods.read(call) : undefined;
      pod?.catch(() => undefined);
      await call.readTarget(maskClient);
      if (!lease.held()) throw authorityLost();
      if (opening instanceof Refusal) throw opening;
      if (stream !== undefined) await stream.carry(await (pod ?? parts.pods.read(call)));
      else await exchange(parts, call, request, response);
      // A call whose agent left before an answer came has no other end.
      call.record.outcome('aborted', 0);
    } catch (error) {
      const refusal = error instanceof Refusal ? error : unexpected(error, call, log);
      const told = await end(parts, response, { call, stream }, refusal);
      if (upgrade && call && told?.code === forbidden) pairs.refused(call.agent, call.canonical, told);
    }
    await stream?.closed();
  };
}

/** Why it cannot be one is said once the target is known as it is recorded. */
function openStream(parts: PipelineParts, call: Call, upgrade: Upgrade): StreamCall | Refusal {
  try {
    return new StreamCall(parts, call, upgrade);
  } catch (error) {
    if (error instanceof Refusal) return error;
    throw error;
  }
}

/** A request and its response. Throws `Refusal`, and `AgentGone`. */
async function exchange(parts: PipelineParts, call: Call, request: Request, response: Response): Promise<void> {
  const { ask, failpoint, hold, limits, maskClient, pods } = parts;
  const bytes = await readBody(request, limits);
  call.took(bytes);
  refuseMasks(bytes);
  const body = readableBody(bytes, header(request, 'content-type'), call.canonical.attributes);
  if (body.bytes !== bytes) refuseMasks(body.bytes);
  await call.read(body, maskClient);
  if (addsContainers(call.canonical.attributes)) call.runsIn(await pods.read(call));
  await failpoint('before-ask');
  const question = call.question();
  const decision = await ask(question.request, question.masked);
  await call.decided(decision, maskClient);
  if (decision.effect === 'deny') throw new Refusal(decision.reasonCode, decision.reason, decision.hint);
  if (isStreamOnly(call.canonical.attributes)) throw new Refusal('UpgradeRequired', upgradeRequired);
  const granted = decision.effect === 'ask' ? await hold(call, decision, goneSignal(response)) : undefined;
  const allow = decision.effect === 'ask' ? (granted as Granted).decision : decision;
  await failpoint('before-ack');
  await Promise.all([call.writeAhead(), failpoint('after-publish')]);
  await failpoint('after-ack');
  if (isGone(response)) throw new AgentGone();
  await granted?.take();
  await failpoint('after-take');
  await carry(parts, { request, response, call, question, body, allow, granted });
}

/** A call that is allowed, on its last stretch. */
interface Carried {
  readonly request: Request;
  readonly response: Response;
  readonly call: Call;
  readonly question: ReturnType<Call['question']>;
  readonly body: Body;
  readonly allow: Allow;
  /** Of a call that a reviewer approved. */
  readonly granted: Granted | undefined;
}

/** Forwards the call, and delivers the answer. Throws `Refusal`, and `AgentGone`. */
async function carry(
  parts: PipelineParts,
  { request, response, call, question, body, allow, granted }: Carried,
): Promise<void> {
  const { assertInForce, ask, failpoint, forward, maskClient, pods } = parts;
  const { agent, canonical, record } = call;
  const { impersonate, record: level, mask } = allow.obligations;
  const decideAgain = (): Promise<Decision> => ask(granted?.request ?? question.request, question.masked);
  const bound = bind(parts, call, { decision: allow, decideAgain, grantEndsMs: granted?.expiresAtMs });
  const { cut } = bound;
  const assertCurrent = (): void => assertInForce(allow);
  const sent = granted?.body ?? body;
  const outgoing = { call: record.id, canonical, agent, impersonate, body: sent, cut, assertCurrent };
  const isRecordFull = level === 'full';
  let end: 'known' | 'unknown' = 'unknown';
  try {
    if (isLog(canonical.attributes)) await pods.learnSecretsOfLog(call, impersonate);
    await forward(request, response, outgoing, async (answer) => {
      end = 'known';
      await failpoint('after-first-upstream-byte');
      const atEnd = (): Promise<void> | undefined => failpoint('before-outcome');
      const subject = { agent, attributes: canonical.attributes, rules: rulesOf(allow.obligations) };
      const shows = mask === 'none' ? 'raw' : 'masked';
      await deliver(answer, response, { canonical, subject, shows, record, maskClient, isRecordFull, cut, atEnd });
    });
  } catch (error) {
    if (error instanceof Refusal && neverSent.has(error.reasonCode)) end = 'known';
    throw error;
  } finally {
    bound.release();
    granted?.conclude(end);
  }
}

/** A pod prints what it is given. */
function isLog(attributes: RequestAttributes): boolean {
  return attributes.kind === 'resource' && attributes.resource === 'pods' && attributes.subresource === 'log';
}

/** What ends a call at its last step before the cluster has a byte of it. */
const neverSent: ReadonlySet<ReasonCode> = new Set([
  'AuthorityChanged',
  'AuthorityLost',
  'ClusterUnreachable',
  'MaskingUnavailable',
  'NotAcceptable',
  'PodNotReadable',
]);

/** A change that was reported as in force everywhere must find no call behind it. Throws `Refusal`. */
export function createAssertInForce(lease: Lease): (decision: Decision) => void {
  return (decision) => {
    if (!lease.held()) throw authorityLost();
    if (decision.authority < lease.seen())
      throw new Refusal('AuthorityChanged', 'the policies changed while the call was on its way, so it was not made');
  };
}

function authorityLost(): Refusal {
  return new Refusal('AuthorityLost', 'Sluice does not know which policies are in force, so it takes no calls');
}

/** Subresources that are a stream and nothing else. */
function isStreamOnly(attributes: RequestAttributes): boolean {
  return attributes.kind === 'resource' && isStreamOf(attributes) && hasBegun.has(attributes.verb);
}

/** By GET for a WebSocket, by POST for SPDY. */
const hasBegun: ReadonlySet<string> = new Set(['get', 'create']);

const upgradeRequired = 'exec, attach and port-forward need a protocol that can carry a stream: WebSocket or SPDY/3.1';

function unexpected(error: unknown, call: Call | undefined, log: Logger): Refusal | AgentGone {
  if (error instanceof AgentGone) return error;
  log.error({ call: call?.record.id, err: error }, 'a call failed in a way nobody foresaw');
  if (call?.mayHaveTakenEffect === true)
    return new Refusal('ResponseWithheld', 'Sluice failed while it carried the answer');
  return new Refusal('RecordUnavailable', 'Sluice failed before the call went to the cluster');
}

/** What an agent was told. */
type Told = ReturnType<typeof refusalStatus>;

/**
 * The failure exit of every stage: record the refusal, then answer it; cut what has been answered in part. Returns what was
 * answered as HTTP.
 */
async function end(
  { limits, log, stop }: PipelineParts,
  response: Response,
  { call, stream }: { readonly call: Call | undefined; readonly stream: StreamCall | undefined },
  why: Refusal | AgentGone,
): Promise<Told | undefined> {
  const record = call?.record;
  let refusal = why;
  if (call !== undefined && !call.record.written && refusal instanceof Refusal) {
    await call.writeRefusal(refusal).catch((error: unknown) => {
      if (!(error instanceof Refusal)) throw error;
      refusal = error;
    });
  }
  // The agent of a stream that is cut is told on the stream, which may be closed by now.
  if (refusal instanceof AgentGone || (isGone(response) && stream?.isRunning !== true)) {
    if (stop.aborted) record?.outcome('cut', 0, 'Draining');
    else record?.outcome('aborted', 0);
    return undefined;
  }
  if (call === undefined) log.warn({ reasonCode: refusal.reasonCode }, 'refused somebody unknown');
  const { reasonCode, message, hint, approval } = refusal;
  const refused = { reasonCode, message, hint, approval, ...call?.policy, ...(record && { call: record.id }) };
  if (stream?.isRunning === true) {
    await stream.tell(refused);
    record?.outcome(reasonCode === 'EffectUnknown' ? 'failed' : 'cut', switched, reasonCode, message);
    return undefined;
  }
  if (response.headersSent) {
    record?.outcome('cut', response.statusCode, reasonCode, message);
    breakOff(response);
    return undefined;
  }
  const status = refusalStatus(refused);
  record?.outcome(outcomeOf(reasonCode), status.code, reasonCode);
  if (stream?.speaksInBand === true) {
    await stream.tell(refused);
    return undefined;
  }
  answer(response, status, limits);
  return status;
}

/** HTTP status of a stream that has begun, and of a refusal that a policy makes. */
const switched = 101;
const forbidden = 403;

function outcomeOf(reasonCode: ReasonCode): 'refused' | 'failed' | 'cut' {
  if (reasonCode === 'EffectUnknown') return 'failed';
  return cuts.has(reasonCode) ? 'cut' : 'refused';
}

/** What ends a call that was on its way, and never one that was not. */
const cuts: ReadonlySet<ReasonCode> = new Set([
  'ResponseWithheld',
  'DeadlineReached',
  'Killed',
  'TokenExpired',
  'GrantExpired',
]);
