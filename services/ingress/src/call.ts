import { createHmac, type KeyObject, randomUUIDv7 } from 'node:crypto';
import { type Agent, type BodyNote, type Decision, type FrameMeta, maxValueBytes } from '@sluice/model';
import type { Ledger } from '@sluice/runtime';
import type { Raw } from '@sluice/runtime/raw';
import { type MaskClient, MaskError } from './mask-client.ts';
import { CallRecord } from './record.ts';
import { Refusal } from './refusal.ts';
import { type CanonicalRequest, header, type Request } from './request.ts';

/** What a call takes from the pipeline it runs in. */
export interface CallParts {
  /** Name of the cluster connection. */
  readonly connection: string;
  readonly digestKey: KeyObject;
  readonly ledger: Ledger;
}

/** Of the agent's own name for itself, so much is recorded. */
const maxUserAgent = 256;

/** A call whose agent is known: its record, and the facts its frames are made of. */
export class Call {
  readonly record: CallRecord;
  readonly #parts: CallParts;
  readonly #request: Request;
  readonly #canonical: CanonicalRequest;
  readonly #agent: Agent;
  #digest = '';
  #decision: Decision | undefined;
  #body: BodyNote | null = null;
  #maskedBody: Buffer = Buffer.alloc(0);
  /** Whether the write-ahead was acknowledged: the cluster may have seen something of the call. */
  #ahead = false;

  constructor(parts: CallParts, request: Request, canonical: CanonicalRequest, agent: Agent) {
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
      const [masked = Buffer.alloc(0)] = await maskClient(this.#agent, this.#canonical.attributes, form, [body]);
      // Masks are longer than short values: what no longer fits a frame could never be acknowledged.
      if (masked.length > maxValueBytes)
        throw new Refusal('BodyTooLarge', 'the request body is too large once it is masked');
      this.#maskedBody = masked;
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
      userAgent: header(this.#request, 'user-agent').slice(0, maxUserAgent),
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
export function refuseMasks(body: Raw): void {
  if (body.indexOf(maskPrefix) === -1 && body.indexOf(maskPrefixBase64) === -1) return;
  throw new Refusal(
    'MaskedValueWritten',
    'the body holds a mask in place of a secret, and writing it would destroy the secret',
    'Send only the fields that change (kubectl patch), or the whole object with real values.',
  );
}
