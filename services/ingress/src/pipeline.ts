import type { ServerHttp2Stream } from 'node:http2';
import { refusalStatus } from '@sluice/kube';
import type { ReasonCode } from '@sluice/model';
import type { Failpoint, Logger } from '@sluice/runtime';
import type { Ask } from './ask.ts';
import type { Authenticate } from './authenticate.ts';
import { Call, type CallParts, refuseMasks } from './call.ts';
import { AgentGone, deliver } from './deliver.ts';
import type { Forward } from './forward.ts';
import type { MaskClient } from './mask-client.ts';
import { Refusal } from './refusal.ts';
import { canonicalise, header, isGone, type Request, type Response, readBody } from './request.ts';

/** Where the fault experiments can stop a call. */
export type FailpointName = 'before-ask' | 'before-ack' | 'after-ack' | 'after-first-upstream-byte';

/** What the stages of a call work with. */
export interface PipelineParts extends CallParts {
  readonly authenticate: Authenticate;
  readonly ask: Ask;
  readonly maskClient: MaskClient;
  readonly forward: Forward;
  readonly failpoint: Failpoint<FailpointName>;
  /** Aborts when Sluice stops and calls still in hand are being cut. */
  readonly stop: AbortSignal;
  readonly log: Logger;
}

/** Takes one call from its head to its outcome. Never rejects. */
export type Pipeline = (request: Request, response: Response) => Promise<void>;

/**
 * The life of a call. The order is the contract (`docs/lifecycle.md`): each stage either completes or throws
 * a `Refusal`, and nothing goes to the cluster before the write-ahead is acknowledged.
 */
export function createPipeline(parts: PipelineParts): Pipeline {
  const { ask, authenticate, connection, failpoint, forward, ledger, log, maskClient } = parts;

  return async (request, response) => {
    let call: Call | undefined;
    try {
      if (!ledger.healthy()) throw new Refusal('RecordUnavailable', 'Sluice cannot record calls now, so it takes none');
      const canonical = canonicalise(request);
      const agent = await authenticate(request);
      // From here on the caller is known: every end of the call is recorded.
      call = new Call(parts, request, canonical, agent);
      if (header(request, 'upgrade') !== '') throw new Refusal('UpgradeRefused', upgradeRefused);
      const body = await readBody(request);
      call.took(body);
      refuseMasks(body);
      await call.maskBody(body, maskClient);
      await failpoint('before-ask');
      const decision = await ask({
        call: call.record.id,
        digest: call.digest,
        agent,
        connection,
        attributes: canonical.attributes,
      });
      call.decided(decision);
      if (decision.effect === 'deny') throw new Refusal(decision.reasonCode, decision.reason, decision.hint);
      await failpoint('before-ack');
      await call.writeAhead();
      await failpoint('after-ack');
      const { record } = call;
      const outgoing = { call: record.id, canonical, agent, impersonate: decision.obligations.impersonate, body };
      await forward(request, response, outgoing, async (answer) => {
        await failpoint('after-first-upstream-byte');
        await deliver(answer, response, { canonical, agent, record, maskClient });
      });
      // A call whose agent left before an answer came has no other end.
      record.outcome('aborted', 0);
    } catch (error) {
      const refusal = error instanceof Refusal ? error : unexpected(error, call, log);
      await end(parts, response, call, refusal);
    }
  };
}

const upgradeRefused =
  'Sluice carries no upgraded connections: exec, attach, cp and port-forward do not pass through it';

function unexpected(error: unknown, call: Call | undefined, log: Logger): Refusal | AgentGone {
  if (error instanceof AgentGone) return error;
  log.error({ call: call?.record.id, err: error }, 'a call failed in a way nobody foresaw');
  if (call?.mayHaveTakenEffect === true)
    return new Refusal('ResponseWithheld', 'Sluice failed while it carried the answer');
  return new Refusal('RecordUnavailable', 'Sluice failed before the call went to the cluster');
}

/** The failure exit of every stage: record the refusal, then answer it; cut what has been answered in part. */
async function end(
  { log, stop }: PipelineParts,
  response: Response,
  call: Call | undefined,
  why: Refusal | AgentGone,
): Promise<void> {
  const record = call?.record;
  let refusal = why;
  if (call !== undefined && !call.record.written && refusal instanceof Refusal) {
    await call.writeRefusal(refusal).catch((error: unknown) => {
      if (!(error instanceof Refusal)) throw error;
      refusal = error;
    });
  }
  if (refusal instanceof AgentGone || isGone(response)) {
    if (stop.aborted) record?.outcome('cut', 0, 'Draining');
    else record?.outcome('aborted', 0);
    return;
  }
  if (call === undefined) log.warn({ reasonCode: refusal.reasonCode }, 'refused somebody unknown');
  const { reasonCode, message, hint } = refusal;
  if (response.headersSent) {
    record?.outcome('cut', response.statusCode, reasonCode);
    cut(response);
    return;
  }
  const status = refusalStatus({ reasonCode, message, hint, ...call?.policy, ...(record && { call: record.id }) });
  record?.outcome(outcomeOf(reasonCode), status.code, reasonCode);
  answer(response, status);
}

function outcomeOf(reasonCode: ReasonCode): 'refused' | 'failed' | 'cut' {
  if (reasonCode === 'EffectUnknown') return 'failed';
  return reasonCode === 'ResponseWithheld' ? 'cut' : 'refused';
}

/** Ends an answer so that the agent can see it is not whole. */
function cut(response: Response): void {
  if ('stream' in response) (response.stream as ServerHttp2Stream).close(internalError);
  else response.destroy();
}

/** NGHTTP2_INTERNAL_ERROR (RFC 9113, 7). */
const internalError = 0x2;

/** Answers with a `Status`. */
export function answer(response: Response, status: ReturnType<typeof refusalStatus>): void {
  const body = Buffer.from(status.body);
  response.writeHead(status.code, { ...status.headers, 'content-length': String(body.length) });
  response.end(body);
}
