// The decision on one call: deny before ask before allow before nothing matched.
import { derivedAttributes, isSession } from '@sluice/kube';
import {
  type Agent,
  type ApprovalTerms,
  addsContainers,
  type Decision,
  type DecisionRequest,
  type Effect,
  type Grant,
  type Obligations,
  type RequestAttributes,
  type ResourceAttributes,
} from '@sluice/model';
import type { ConditionInput, Evaluate, ExecInput, Verdict } from './conditions.ts';
import { runningBy } from './exec/running.ts';
import { execEffect, portsEffect, type Running } from './exec/terms.ts';
import { answers } from './grant.ts';
import { readsMasked } from './masked-reads.ts';
import { type Grants, mergeMasks } from './masks.ts';
import type { Policy, PolicySet, ResourceRule, Rule } from './policy.ts';
import { asking, denial, hintFor, type Refused } from './refusal.ts';
import type { Entry } from './rule-index.ts';
import { defaultTerms, mergeTerms } from './terms.ts';

/** What an evaluation goes by, beside the request. */
export interface Grounds {
  readonly set: PolicySet;
  /** Sequence of the authority the set is from. */
  readonly authority: number;
  /** Milliseconds since the epoch. */
  readonly nowMs: number;
  readonly conditions: Evaluate;
}

/** A decision may be used for this long. */
const validMs = 10_000;
/** A rule that matches, and its effect here: an allow may ask about what is opaque or interactive. */
interface Match extends Entry {
  readonly effect: Effect;
}

/** What the rules say of one set of attributes, and of one command where the call runs several. */
interface Judgement extends Refused {
  readonly effect: Effect;
  /** Rules that let the call through, or that would after an approval. */
  readonly granting: readonly Match[];
}

/**
 * Decides. A call is judged as itself and as everything it amounts to besides (a server-side apply may create); the
 * strictest judgement holds. `masked`: what follows the request, the masked body as JSON (of a JSON patch, its operations)
 * and the masked pod; `null`: neither.
 * `approved`: what reviewers have granted, where that is certain. It is judged by the same policies as everything else:
 * it can make an ask an allow, and nothing else.
 */
export async function evaluate(
  grounds: Grounds,
  request: DecisionRequest,
  masked: Buffer | null,
  approved: Grant | null = null,
): Promise<Decision> {
  const { set, authority, nowMs } = grounds;
  const { agent, attributes, connection, digest } = request;
  const applicable = set.index.policiesFor(agent).filter((policy) => policy.connections.matches(connection));
  const { body, pod } = behind(request, masked);
  // Operations say what to do and not what comes of it: no condition looks at them.
  const object = request.body === 'json-patch' ? null : body;
  const commands = runningBy(request, object);
  const grade = request.stream === undefined ? {} : { grade: commands[0]?.reading.grade ?? 'opaque' };
  const base = { digest, policyVersion: set.version, authority, notAfter: nowMs + validMs, ...grade };
  const judgements: Judgement[] = [];
  for (const one of judgedAs(request))
    for (const running of commands.length === 0 ? [null] : commands)
      judgements.push(await judge(grounds, { request, attributes: one, running, object, pod, applicable }));
  const decisive = strictest(judgements);
  const { by } = decisive;
  const names = { policy: by?.policy.name ?? '', rule: by?.rule.name ?? '' };

  if (decisive.effect === 'deny') {
    const [reasonCode, reason] = denial(decisive, request);
    const hint = by === undefined ? hintFor(applicable, decisive.attributes) : '';
    return { ...base, ...names, effect: 'deny', reasonCode, reason, hint };
  }
  const grants = judgements.map(({ granting }) => ({
    rules: granting,
    otherwise: granting.length > 0 ? [] : askingOtherwise(applicable),
  }));
  const merged = mergeObligations(grants, attributes, nowMs);
  if (merged.kind === 'conflict') {
    const reason = `the policies "${merged.one}" and "${merged.other}" demand different identities for this call`;
    return { ...base, ...names, effect: 'deny', reasonCode: 'ObligationConflict', reason, hint: '' };
  }
  // After all else: who may not make the call at all is told that, and learns nothing of what is masked.
  const read = readsMasked(request, body, merged.obligations.mask ?? []);
  if (read !== null) return { ...base, ...names, effect: 'deny', ...read };
  if (decisive.effect === 'allow')
    return { ...base, ...names, effect: 'allow', reasonCode: 'AllowedByRule', obligations: merged.obligations };
  const policy = names.policy || (askingOtherwise(applicable)[0]?.name ?? '');
  const terms = mergeTerms(judgements.flatMap(termsOf));
  if (answers(approved, request, terms)) {
    const reasonCode = 'AllowedByApproval';
    return { ...base, ...names, policy, effect: 'allow', reasonCode, obligations: merged.obligations };
  }
  return {
    ...base,
    ...names,
    policy,
    effect: 'ask',
    reasonCode: 'ApprovalRequired',
    reason: asking(decisive, request),
    hint: hintFor(applicable, attributes),
    obligations: merged.obligations,
    terms,
  };
}

/** What follows a request; `null`: there is none, or nobody can read it. */
function behind(
  { body: kind, pod, bodyBytes = 0 }: DecisionRequest,
  masked: Buffer | null,
): { readonly body: Buffer | null; readonly pod: Buffer | null } {
  if (masked === null) return { body: null, pod: null };
  const isRead = pod === 'read';
  const hasBody = kind !== 'none' && kind !== 'opaque';
  return {
    body: hasBody ? (isRead ? masked.subarray(0, bodyBytes) : masked) : null,
    pod: isRead ? masked.subarray(bodyBytes) : null,
  };
}

/** The rules that are examined for a call: those of its attributes and of all it is judged as. */
export function examined(set: PolicySet, request: DecisionRequest): readonly Entry[] {
  return judgedAs(request).flatMap((attributes) => set.index.rulesFor(request.agent, attributes));
}

function judgedAs({ attributes, body }: DecisionRequest): readonly RequestAttributes[] {
  if (attributes.kind === 'nonResource') return [attributes];
  return [attributes, ...derivedAttributes(attributes, body === 'apply' ? 'apply' : 'other')];
}

/** What is judged, one by one. */
interface Case {
  readonly request: DecisionRequest;
  readonly attributes: RequestAttributes;
  /** The command that the call runs; `null` where it runs none. */
  readonly running: Running | null;
  /** The masked body, and the masked pod that it runs in; `null`: there is none, or it cannot be read. */
  readonly object: Buffer | null;
  readonly pod: Buffer | null;
  readonly applicable: readonly Policy[];
}

async function judge(grounds: Grounds, one: Case): Promise<Judgement> {
  const { request, attributes, running, object, applicable } = one;
  const candidates = grounds.set.index
    .rulesFor(request.agent, attributes)
    .filter(({ policy, rule }) => policy.connections.matches(request.connection) && fits(rule, attributes, request))
    .flatMap((entry): Match[] => {
      const effect = effectOn(entry.rule, one);
      return effect === null ? [] : [{ ...entry, effect }];
    });
  // With a body or a pod that cannot be read, nobody knows whether these match. What a body adds is of the pod, too.
  const addsUnknown = addsContainers(request.attributes) && object === null;
  const missing = ({ rule }: Match): 'body' | 'pod' | null => {
    if (request.body === 'opaque' && rule.when?.readsBody) return 'body';
    if (addsUnknown && rule.when?.readsPod) return 'body';
    return request.pod === 'unreadable' && rule.when?.readsPod ? 'pod' : null;
  };
  const readable = candidates.filter((entry) => missing(entry) === null);
  const verdicts = await verdictsOn(grounds, readable, conditionInput(one, readable, grounds.nowMs));
  const matches = readable.filter((entry) => {
    const verdict = verdicts.get(entry) ?? 'yes';
    return verdict === 'yes' || (verdict === 'error' && entry.effect === 'deny');
  });
  const granting = matches.filter(({ effect }) => effect !== 'deny');
  const found = { attributes, granting, running, unreadable: null };
  const denying = matches.find(({ effect }) => effect === 'deny');
  if (denying !== undefined) return { ...found, effect: 'deny', by: denying };
  const blind = candidates.find(
    (entry) => missing(entry) !== null && (entry.effect !== 'allow' || granting.length === 0),
  );
  if (blind !== undefined) return { ...found, effect: 'deny', by: blind, unreadable: missing(blind) };
  const asks = granting.find(({ effect }) => effect === 'ask');
  if (asks !== undefined) return { ...found, effect: 'ask', by: asks };
  if (granting.length > 0) return { ...found, effect: 'allow', by: granting[0] };
  return { ...found, effect: askingOtherwise(applicable).length > 0 ? 'ask' : 'deny', by: undefined };
}

/** What a rule does about this command or port, before its condition is looked at; `null`: nothing. */
function effectOn(rule: Rule, { request, attributes, running }: Case): Effect | null {
  if (rule.kind === 'nonResource' || (rule.exec === null && rule.ports === null)) return rule.effect;
  if (running === null) return attributes.kind === 'resource' && isBlindly(rule, attributes) ? rule.effect : null;
  if (rule.exec !== null) return execEffect(rule.effect, rule.exec, running);
  return portsEffect(rule.effect, rule.ports ?? [], running.stream, request.port);
}

/** A stream that nothing is known of is none that an allow speaks of, and may be any that others speak of. */
function isBlindly({ effect, exec }: ResourceRule, attributes: ResourceAttributes): boolean {
  const isForward = attributes.subresource === 'portforward';
  return effect !== 'allow' && isSession(attributes) && isForward === (exec === null);
}

/** What the conditions of these rules say; a rule without one is not in it. */
async function verdictsOn(
  { conditions }: Grounds,
  entries: readonly Match[],
  input: ConditionInput,
): Promise<ReadonlyMap<Match, Verdict>> {
  const conditional = entries.filter(({ rule }) => rule.when !== null);
  const texts = conditional.map(({ rule }) => rule.when?.text ?? '');
  const verdicts = await conditions(texts, input);
  return new Map(conditional.map((entry, i) => [entry, verdicts[i] ?? 'error']));
}

/** The index has looked at subjects, verb and resource; the rest is looked at here. */
function fits(rule: Rule, attributes: RequestAttributes, { generateName, body }: DecisionRequest): boolean {
  if (attributes.kind === 'nonResource' || rule.kind === 'nonResource') return true;
  const { apiGroup, resource, name } = attributes;
  // Namespaces are cluster-scoped objects, although Kubernetes puts their name where the namespace stands.
  const namespace = resource === 'namespaces' && apiGroup === '' ? '' : attributes.namespace;
  if (!rule.namespaces.everything && (namespace === '' || !rule.namespaces.matches(namespace))) return false;
  if (rule.names.everything) return true;
  if (name !== '') return rule.names.matches(name);
  // The server appends what nobody knows yet: only a glob that ends with a star covers it.
  if (generateName !== '') return rule.names.matches(`${generateName}\u0000`);
  // A create whose name cannot be read could be of any name.
  return body === 'opaque' && attributes.verb === 'create' && rule.effect !== 'allow';
}

function strictest(judgements: readonly Judgement[]): Judgement {
  const denied = judgements.find(({ effect }) => effect === 'deny');
  return denied ?? judgements.find(({ effect }) => effect === 'ask') ?? (judgements[0] as Judgement);
}

/** The policies that ask a reviewer about what matches no rule. */
function askingOtherwise(applicable: readonly Policy[]): Policy[] {
  return applicable.filter(({ otherwise }) => otherwise === 'ask');
}

/** The terms of what asks in a judgement: its rules, or `otherwise`. */
function termsOf({ effect, granting }: Judgement): readonly ApprovalTerms[] {
  if (effect !== 'ask') return [];
  const terms = granting.flatMap((match) => (match.effect === 'ask' ? (match.rule.terms ?? []) : []));
  return terms.length > 0 ? terms : [defaultTerms];
}

type Merged =
  | { readonly kind: 'obligations'; readonly obligations: Obligations }
  | { readonly kind: 'conflict'; readonly one: string; readonly other: string };

/** The fullest record and the earliest deadline win, masks unite; two identities cannot be reconciled. */
function mergeObligations(grants: readonly Grants[], attributes: RequestAttributes, nowMs: number): Merged {
  const policies = grants.flatMap(({ rules, otherwise }) => [...rules.map(({ policy }) => policy), ...otherwise]);
  const [first] = policies;
  const impersonate = first?.obligations?.impersonate;
  // The compiler holds that a policy that lets a call through has obligations.
  if (first === undefined || impersonate === undefined) throw new TypeError('a grant without obligations');
  const identity = JSON.stringify(impersonate);
  const other = policies.find(({ obligations }) => JSON.stringify(obligations?.impersonate) !== identity);
  if (other !== undefined) return { kind: 'conflict', one: first.name, other: other.name };
  const deadlines = policies.flatMap(({ obligations }) => obligations?.deadlineMs ?? []);
  const record = policies.some(({ obligations }) => obligations?.isRecordFull) ? { record: 'full' as const } : {};
  const deadline = deadlines.length === 0 ? {} : { deadline: nowMs + Math.min(...deadlines) };
  return {
    kind: 'obligations',
    obligations: { impersonate, ...record, ...deadline, ...mergeMasks(grants, attributes) },
  };
}

function conditionInput(
  { request, attributes, running, object: body, pod }: Case,
  entries: readonly Match[],
  nowMs: number,
): ConditionInput {
  const { agent, connection, generateName }: { agent: Agent; connection: string; generateName: string } = request;
  const empty = { apiGroup: '', version: '', resource: '', subresource: '', namespace: '', name: '', path: '' };
  const { kind: _, ...known } = attributes;
  const readsPod = pod !== null && entries.some(({ rule }) => rule.when?.readsPod);
  return {
    request: { ...empty, ...known, generateName, connection },
    agent,
    body,
    ...(running === null ? {} : { exec: execInput(running, request.port) }),
    ...(readsPod ? { pod } : {}),
    nowMs,
  };
}

function execInput({ stream, reading }: Running, port = 0): ExecInput {
  const { kind, command, container, stdin, tty } = stream;
  return { kind, command, container, stdin, tty, grade: reading.grade, port };
}
