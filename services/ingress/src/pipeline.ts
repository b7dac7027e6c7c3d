import { createHmac, randomUUIDv7 } from 'node:crypto';
import type { ServerHttp2Stream } from 'node:http2';
import { refusalStatus } from '@sluice/kube';
import type { Agent, BodyNote, Decision, FrameMeta, ReasonCode } from '@sluice/model';
import type { Failpoint, Ledger, Logger } from '@sluice/runtime';
import type { Raw } from '@sluice/runtime/raw';
import type { Ask } from './ask.ts';
import type { Authenticate } from './authenticate.ts';
import { AgentGone, deliver } from './deliver.ts';
import type { Forward } from './forward.ts';
import { type MaskClient, MaskError } from './mask-client.ts';
import { CallRecord } from './record.ts';
import { Refusal } from './refusal.ts';
import {
  type CanonicalRequest,
  canonicalise,
  header,
  isGone,
  type Request,
  type Response,
  readBody,
} from './request.ts';

/** Where the fault experiments can stop a call. */
export type FailpointName = 'before-ask' | 'before-ack' | 'after-ack' | 'after-first-upstream-byte';

/** What the stages of a call work with. */
export interface PipelineParts {
  /** Name of the cluster connection. */
  readonly connection: string;
  readonly digestKey: Uint8Array;
  readonly authenticate: Authenticate;
  readonly ask: Ask;
  readonly maskClient: MaskClient;
  readonly forward: Forward;
  readonly ledger: Ledger;
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

/** A call whose agent is known: its record, and the facts its frames are made of. */
class Call {
  readonly record: CallRecord;
  readonly #parts: PipelineParts;
  readonly #request: Request;
  readonly #canonical: CanonicalRequest;
  readonly #agent: Agent;
  #digest = '';
  #decision: Decision | undefined;
  #body: BodyNote | null = null;
  #maskedBody: Buffer = Buffer.alloc(0);
  /** Whether the write-ahead was acknowledged: the cluster may have seen something of the call. */
  #ahead = false;

  constructor(parts: PipelineParts, request: Request, canonical: CanonicalRequest, agent: Agent) {
    this.#parts = parts;
    this.#request = request;
    this.#canonical = canonical;
    this.#agent = agent;
    const day = new Date().toISOString().slice(0, 10);
    const session = this.#hmac(JSON.stringify([agent.issuer, agent.name, day])).slice(0, 32);
    this.record = new CallRecord(parts.ledger, randomUUIDv7(), session);
  }

  get digest(): string {
    return this.#digest;
  }

  get mayHaveTakenEffect(): boolean {
    return this.#ahead;
  }

  get policy(): { readonly policy: string; readonly rule: string } {
    return { policy: this.#decision?.policy ?? '', rule: this.#decision?.rule ?? '' };
  }

  /** The body as it came: from now on the request has a digest. */
  took(body: Raw): void {
    const { method, target } = this.#canonical;
    const hmac = createHmac('sha256', this.#parts.digestKey);
    hmac.update(JSON.stringify([this.#agent.issuer, this.#agent.name, method, target.canonical])).update('\n');
    this.#digest = hmac.update(body).digest('hex');
    if (body.length === 0) return;
    const contentType = header(this.#request, 'content-type') || 'application/json';
    this.#body = { bytes: body.length, contentType, recorded: 'digest', hmac: this.#hmac(body) };
  }

  /** Has a JSON body masked for the record. Any other stays a digest. Throws `Refusal`. */
  async maskBody(body: Raw, maskClient: MaskClient): Promise<void> {
    if (this.#body === null || body.length === 0) return;
    const form = jsonForms[this.#body.contentType.split(';', 1)[0]?.trim().toLowerCase() ?? ''];
    // YAML may stand in an apply patch; kubectl sends JSON there.
    if (form === undefined || !looksLikeJson(body)) return;
    try {
      const [masked] = await maskClient(this.#agent, this.#canonical.attributes, form, [body]);
      this.#maskedBody = masked ?? Buffer.alloc(0);
      const { contentType } = this.#body;
      this.#body = { bytes: this.#maskedBody.length, contentType, recorded: 'masked' };
    } catch (error) {
      if (!(error instanceof MaskError)) throw error;
      if (error.code === 'unreadable') throw new Refusal('BodyNotReadable', 'the request body is not JSON');
      throw new Refusal('MaskingUnavailable', 'Sluice cannot mask the request for the record now, so it was not made');
    }
  }

  decided(decision: Decision): void {
    this.#decision = decision;
  }

  /** Call and decision, on the broker's disk before a byte goes to the cluster. Throws `Refusal`. */
  async writeAhead(): Promise<void> {
    await this.record.call(this.#meta(this.#decided()), this.#maskedBody);
    this.#ahead = true;
  }

  /** A refusal, recorded before it is answered. Throws `Refusal` when it cannot be. */
  async writeRefusal(refusal: Refusal): Promise<void> {
    const decision = {
      ...this.#decided(),
      effect: 'deny',
      reasonCode: refusal.reasonCode,
      reason: refusal.message,
      impersonate: null,
    } as const;
    await this.record.call(this.#meta(decision), this.#maskedBody);
  }

  #decided(): FrameMeta['call']['decision'] {
    const decision = this.#decision;
    const allowed = decision?.effect === 'allow';
    return {
      effect: allowed ? 'allow' : 'deny',
      ...this.policy,
      reasonCode: decision?.reasonCode ?? 'NoRuleMatched',
      reason: decision?.effect === 'deny' ? decision.reason : '',
      policyVersion: decision?.policyVersion ?? '',
      impersonate: allowed ? decision.obligations.impersonate : null,
    };
  }

  #meta(decision: FrameMeta['call']['decision']): FrameMeta['call'] {
    const { attributes, method, target } = this.#canonical;
    return {
      agent: this.#agent,
      connection: this.#parts.connection,
      attributes,
      method,
      target: target.canonical,
      userAgent: header(this.#request, 'user-agent'),
      digest: this.#digest,
      body: this.#body,
      decision,
    };
  }

  #hmac(data: string | Uint8Array): string {
    return createHmac('sha256', this.#parts.digestKey).update(data).digest('hex');
  }
}

/** Request media types whose bodies are masked for the record. */
const jsonForms: Readonly<Record<string, 'object' | 'json-patch'>> = {
  'application/json': 'object',
  'application/merge-patch+json': 'object',
  'application/strategic-merge-patch+json': 'object',
  'application/apply-patch+yaml': 'object',
  'application/json-patch+json': 'json-patch',
};

function looksLikeJson(body: Raw): boolean {
  return /^\s*[[{]/.test(body.toString('latin1', 0, 64));
}

const maskPrefix = 'sluice-mask:v1:';
/** 15 bytes are 20 characters of base64 without a rest: a masked `data` value begins with exactly these. */
const maskPrefixBase64 = Buffer.from(maskPrefix).toString('base64');

/** A mask that is written back would destroy the secret it stands for. */
function refuseMasks(body: Raw): void {
  if (body.indexOf(maskPrefix) === -1 && body.indexOf(maskPrefixBase64) === -1) return;
  throw new Refusal(
    'MaskedValueWritten',
    'the body holds a mask in place of a secret, and writing it would destroy the secret',
    'Send only the fields that change (kubectl patch), or the whole object with real values.',
  );
}

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
  if (why instanceof AgentGone || isGone(response)) {
    if (stop.aborted) record?.outcome('cut', 0, 'Draining');
    else record?.outcome('aborted', 0);
    return;
  }
  let refusal = why;
  if (call !== undefined && !call.record.written) {
    await call.writeRefusal(refusal).catch((error: unknown) => {
      if (!(error instanceof Refusal)) throw error;
      refusal = error;
    });
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
