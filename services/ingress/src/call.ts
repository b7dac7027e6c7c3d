import { createHmac, type KeyObject, randomUUIDv7 } from 'node:crypto';
import { type HeldCall, objectName, parseTarget, podSecrets, queryValue } from '@sluice/kube';
import {
  type Agent,
  type Allow,
  type ApprovalRequest,
  type AskReviewer,
  type BodyNote,
  type Decision,
  type DecisionRequest,
  type FrameMeta,
  type MaskRule,
  maskPrefix,
  maxValueBytes,
  type RequestAttributes,
  type ReviewedObject,
  reviewedBodyBytes,
  type StreamPod,
  type StreamRequest,
} from '@sluice/model';
import type { Ledger } from '@sluice/runtime';
import { type Raw, raw } from '@sluice/runtime/raw';
import type { Caller } from './authenticate.ts';
import type { Body } from './body.ts';
import type { Budget } from './budget.ts';
import { type MaskClient, MaskError, maskedText, rulesOf } from './mask-client.ts';
import { CallRecord } from './record.ts';
import { Refusal } from './refusal.ts';
import { type CanonicalRequest, header, type Request } from './request.ts';
import { sessionOf } from './session.ts';
import type { KnownPod } from './streams/pod.ts';
import { writtenTexts } from './written.ts';

/** What a call takes from the pipeline it runs in. */
export interface CallParts {
  /** Name of the cluster connection. */
  readonly connection: string;
  readonly digestKey: KeyObject;
  readonly ledger: Ledger;
  readonly budget: Budget;
}

/** Of the agent's own name for itself, so much is recorded. */
const maxUserAgent = 256;

/** A call whose agent is known: its record, and the facts its frames are made of. */
export class Call {
  readonly record: CallRecord;
  readonly #parts: CallParts;
  readonly #request: Request;
  readonly canonical: CanonicalRequest;
  readonly agent: Agent;
  readonly tokenEndsMs: number;
  #digest = '';
  #decision: Decision | undefined;
  #held: FrameMeta['call']['held'];
  #grant: Omit<FrameMeta['decision'], 'decision'> | undefined;
  #attributes: RequestAttributes;
  #body: Body | null = null;
  #note: BodyNote | null = null;
  #stream: StreamRequest | undefined;
  /** Of what runs in one. */
  #pod: KnownPod | undefined;
  #maskedBody: Buffer = Buffer.alloc(0);
  /** As they are recorded. */
  #target: string;
  #userAgent = '';
  /** Whether the write-ahead was acknowledged: the cluster may have seen something of the call. */
  #ahead = false;

  constructor(parts: CallParts, request: Request, canonical: CanonicalRequest, { agent, tokenEndsMs }: Caller) {
    this.tokenEndsMs = tokenEndsMs;
    this.#parts = parts;
    this.#request = request;
    this.canonical = canonical;
    this.#attributes = canonical.attributes;
    this.#target = canonical.target.canonical.split('?', 1)[0] ?? '';
    this.agent = agent;
    const session = sessionOf(agent, parts.digestKey, Date.now());
    this.record = new CallRecord(parts.ledger, parts.budget.share(agent), randomUUIDv7(), session);
  }

  get digest(): string {
    return this.#digest;
  }

  /** As it goes to the cluster, but for preconditions. */
  get body(): Body {
    return this.#body ?? { kind: 'none', bytes: raw(Buffer.alloc(0)), contentType: '' };
  }

  /** What of the masked body a reviewer is shown. */
  get reviewedBody(): Buffer {
    return this.#maskedBody.subarray(0, reviewedBodyBytes);
  }

  /** The pod of a stream, as the object that a reviewer is asked about. */
  get pod(): ReviewedObject | undefined {
    const pod = this.#pod;
    if (this.#stream === undefined || pod === undefined) return undefined;
    if (pod.kind === 'read') {
      const { uid, resourceVersion } = pod.pod;
      return { kind: 'known', uid, resourceVersion };
    }
    return pod.kind === 'absent' ? { kind: 'absent' } : { kind: 'unreadable', why: 'Sluice cannot read the pod' };
  }

  get mayHaveTakenEffect(): boolean {
    return this.#ahead;
  }

  get policy(): { readonly policy: string; readonly rule: string } {
    return { policy: this.#decision?.policy ?? '', rule: this.#decision?.rule ?? '' };
  }

  /** The body as it came: from now on the request has a digest. */
  took(body: Raw): void {
    const { method, target } = this.canonical;
    const hmac = createHmac('sha256', this.#parts.digestKey);
    hmac.update(JSON.stringify([this.agent.issuer, this.agent.name, method, target.canonical])).update('\n');
    this.#digest = hmac.update(body).digest('hex');
    if (body.length === 0) return;
    const contentType = header(this.#request, 'content-type') || 'application/json';
    this.#note = { bytes: body.length, contentType, recorded: 'digest', hmac: this.#hmac(body) };
  }

  /**
   * The body, read. It is masked for policy and record; one that cannot be read stays a digest. Throws `Refusal`.
   */
  async read(body: Body, maskClient: MaskClient): Promise<void> {
    this.#body = body;
    await this.#mask(body, maskClient, []);
  }

  async #mask(body: Body, maskClient: MaskClient, rules: readonly MaskRule[]): Promise<void> {
    if (body.kind === 'none' || this.#note === null) return;
    if (body.kind === 'opaque') {
      this.#note = { ...this.#note, ...(body.why === undefined ? {} : { opaque: body.why }) };
      return;
    }
    const form = body.kind === 'json-patch' ? 'json-patch' : 'object';
    try {
      const subject = { agent: this.agent, attributes: this.canonical.attributes, rules };
      const [masked = Buffer.alloc(0)] = await maskClient.values(subject, { form, direction: 'sent' }, [body.bytes]);
      // Masks are longer than short values: what no longer fits a frame could never be acknowledged.
      if (masked.length > maxValueBytes)
        throw new Refusal('BodyTooLarge', 'the request body is too large once it is masked');
      this.#maskedBody = masked;
      const { contentType } = this.#note;
      this.#note = { bytes: this.#maskedBody.length, contentType, recorded: 'masked' };
    } catch (error) {
      if (!(error instanceof MaskError)) throw error;
      if (error.code === 'tooLarge')
        throw new Refusal('BodyTooLarge', 'the request body is too large once it is masked');
      if (error.code === 'unreadable') throw new Refusal('BodyNotReadable', 'the request body is not JSON');
      throw new Refusal('MaskingUnavailable', 'Sluice cannot mask the request for the record now, so it was not made');
    }
  }

  /**
   * What the agent wrote into the target and into its own name may hold a secret, arguments of a command above all.
   * Throws `Refusal`; then the record has the path alone.
   */
  async readTarget(maskClient: MaskClient): Promise<void> {
    const { target, attributes } = this.canonical;
    const written = writtenTexts(target, header(this.#request, 'user-agent').slice(0, maxUserAgent));
    if (written === null) return this.#wrote(target.canonical, header(this.#request, 'user-agent'));
    try {
      const subject = { agent: this.agent, attributes, rules: [] };
      const masked = await maskedText(maskClient, subject, written.text, 'sent');
      const { canonical, userAgent } = written.read(masked);
      this.#wrote(canonical, userAgent);
    } catch (error) {
      if (!(error instanceof MaskError)) throw error;
      throw new Refusal('MaskingUnavailable', 'Sluice cannot mask the request for the record now, so it was not made');
    }
  }

  #wrote(target: string, userAgent: string): void {
    this.#target = target;
    this.#userAgent = userAgent.slice(0, maxUserAgent);
  }

  /** It is a stream. */
  streams(asked: StreamRequest, pod: KnownPod): void {
    this.#stream = asked;
    this.#pod = pod;
  }

  /** What its body names runs in a pod, with the Secrets that it refers to beside those of the pod. */
  runsIn(known: KnownPod): void {
    this.#pod = known;
    if (known.kind !== 'read' || this.#maskedBody.length === 0) return;
    const [pod, added] = [known.masked, this.#maskedBody].map((json): unknown => JSON.parse(json.toString()));
    this.#pod = { ...known, pod: { ...known.pod, secrets: podSecrets(pod, added) } };
  }

  /** What is asked about the call, and what goes with it: the masked body, and the masked pod. Throws `Refusal`. */
  question(): { readonly request: DecisionRequest; readonly masked: Buffer } {
    const { kind = 'none', bytes } = this.#body ?? {};
    let { attributes } = this.canonical;
    let generateName = '';
    if (attributes.kind === 'resource' && attributes.verb === 'create' && kind === 'json' && bytes !== undefined) {
      const named = objectName(bytes);
      generateName = named.name === '' ? named.generateName : '';
      // A POST has no name in its target, except for subresources.
      if (attributes.name === '') attributes = { ...attributes, name: named.name };
    }
    this.#attributes = attributes;
    const request = {
      call: this.record.id,
      digest: this.#digest,
      agent: this.agent,
      connection: this.#parts.connection,
      attributes,
      generateName,
      body: kind,
      ...this.#selectors(),
      ...(this.#stream && { stream: this.#maskedStream(this.#stream) }),
      ...(this.#pod && { pod: this.#pod.kind }),
    } as const;
    if (this.#pod?.kind !== 'read') return { request, masked: this.#maskedBody };
    const bodyBytes = this.#maskedBody.length;
    if (bodyBytes === 0) return { request, masked: this.#pod.masked };
    return { request: { ...request, bodyBytes }, masked: Buffer.concat([this.#maskedBody, this.#pod.masked]) };
  }

  /** Policy knows which fields are masked, and so must not be asked about. What they are asked for is masked. */
  #selectors(): Pick<DecisionRequest, 'fieldSelector' | 'labelSelector'> {
    if (!this.#target.includes('Selector=')) return {};
    const target = parseTarget(this.#target);
    const [fieldSelector, labelSelector] = [queryValue(target, 'fieldSelector'), queryValue(target, 'labelSelector')];
    return { ...(fieldSelector && { fieldSelector }), ...(labelSelector && { labelSelector }) };
  }

  /** Masks what is to be recorded by the decision's rules, too. Throws `Refusal`. */
  async decided(decision: Decision, maskClient: MaskClient): Promise<void> {
    this.#decision = decision;
    const rules = decision.effect === 'deny' ? [] : rulesOf(decision.obligations);
    if (rules.length > 0 && this.#body !== null) await this.#mask(this.#body, maskClient, rules);
  }

  /** What of it two tries have in common, and what it can be bound to, is read from this. */
  asHeld(): HeldCall {
    const { attributes, method, target } = this.canonical;
    const { kind, bytes, contentType } = this.body;
    return { attributes, method, target, kind, contentType, body: bytes };
  }

  /** Keyed digest of what two tries of one command have in common, hex. */
  shape(text: string | Uint8Array): string {
    const { issuer, name } = this.agent;
    const hmac = createHmac('sha256', this.#parts.digestKey);
    hmac.update(JSON.stringify([issuer, name, this.#parts.connection])).update('\n');
    return hmac.update(text).digest('hex');
  }

  /** What a reviewer is asked. */
  approvalRequest(
    { policy, rule, reason, policyVersion, authority, terms }: AskReviewer,
    about: Pick<ApprovalRequest, 'shape' | 'mayDiffer' | 'object'>,
  ): ApprovalRequest {
    return {
      call: this.record.id,
      session: this.record.session,
      agent: this.agent,
      connection: this.#parts.connection,
      attributes: this.#attributes,
      method: this.canonical.method,
      target: this.#target,
      bodyBytes: this.#maskedBody.length,
      exact: this.#digest,
      ...about,
      ...(this.#stream && { stream: this.#recordedStream(this.#stream) }),
      policy,
      rule,
      reason,
      policyVersion,
      authority,
      terms,
    };
  }

  /** The call waits for a reviewer: it and the decision are recorded before the cluster is looked at. Throws `Refusal`. */
  async writeHeld(held: NonNullable<FrameMeta['call']['held']>): Promise<void> {
    this.#held = held;
    await this.record.call(this.#meta(this.#decided()), this.#maskedBody);
  }

  /** The second decision, after a reviewer approved the call. */
  allowed(decision: Allow, grant: Omit<FrameMeta['decision'], 'decision'>): void {
    this.#decision = decision;
    this.#grant = grant;
  }

  /** Call and decision, on the broker's disk before a byte goes to the cluster. Throws `Refusal`. */
  async writeAhead(): Promise<void> {
    if (this.#grant === undefined) await this.record.call(this.#meta(this.#decided()), this.#maskedBody);
    else await this.record.decision({ decision: this.#decided(), ...this.#grant });
    this.#ahead = true;
  }

  /** A refusal, recorded before it is answered. Throws `Refusal` when it cannot be. */
  async writeRefusal(refusal: Refusal): Promise<void> {
    const decided = this.#decided();
    const decision = {
      ...decided,
      effect: decided.effect === 'ask' ? 'ask' : 'deny',
      reasonCode: refusal.reasonCode,
      reason: refusal.message,
      impersonate: null,
    } as const;
    await this.record.call(this.#meta(decision), this.#maskedBody);
  }

  #decided(): FrameMeta['call']['decision'] {
    const decision = this.#decision;
    return {
      effect: decision?.effect ?? 'deny',
      ...this.policy,
      reasonCode: decision?.reasonCode ?? 'NoRuleMatched',
      reason: decision === undefined || decision.effect === 'allow' ? '' : decision.reason,
      policyVersion: decision?.policyVersion ?? '',
      authority: decision?.authority ?? 0,
      impersonate: decision?.effect === 'allow' ? decision.obligations.impersonate : null,
    };
  }

  #meta(decision: FrameMeta['call']['decision']): FrameMeta['call'] {
    const { method } = this.canonical;
    return {
      agent: this.agent,
      connection: this.#parts.connection,
      attributes: this.#attributes,
      method,
      target: this.#target,
      userAgent: this.#userAgent,
      digest: this.#digest,
      body: this.#note,
      decision,
      ...(this.#stream && { stream: this.#recordedStream(this.#stream) }),
      ...(this.#pod && this.#stream === undefined && { pod: this.#recordedPod() }),
      ...(this.#held && { held: this.#held }),
    };
  }

  #recordedStream(stream: StreamRequest): NonNullable<FrameMeta['call']['stream']> {
    const grade = this.#decision?.grade ?? 'opaque';
    return { ...this.#maskedStream(stream), grade, pod: this.#recordedPod() };
  }

  #recordedPod(): StreamPod | null {
    return this.#pod?.kind === 'read' ? this.#pod.pod : null;
  }

  /** As the target is recorded, so are the arguments in it. Where they could not be told apart, none is known. */
  #maskedStream(asked: StreamRequest): StreamRequest {
    const masked = parseTarget(this.#target).query.filter(([name]) => name === 'command');
    const isWhole = masked.length === asked.command.length;
    return { ...asked, command: isWhole ? masked.map(([, value]) => value) : asked.command.map(() => maskPrefix) };
  }

  #hmac(data: string | Uint8Array): string {
    return createHmac('sha256', this.#parts.digestKey).update(data).digest('hex');
  }
}
