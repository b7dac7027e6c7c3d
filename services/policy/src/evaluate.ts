// The decision on one call: deny before ask before allow before nothing matched.
import { derivedAttributes } from '@sluice/kube';
import {
  type Agent,
  type ApprovalTerms,
  type Decision,
  type DecisionRequest,
  type Grant,
  type Obligations,
  type RequestAttributes,
  resourceName,
} from '@sluice/model';
import type { ConditionInput, Evaluate, Verdict } from './conditions.ts';
import { answers } from './grant.ts';
import { readsMasked } from './masked-reads.ts';
import { type Grants, mergeMasks } from './masks.ts';
import type { Policy, PolicySet, Rule } from './policy.ts';
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
/** At most so many rules are named in a hint: it is one sentence. */
const hintRules = 4;

/** What the rules say of one set of attributes. */
interface Judgement {
  readonly attributes: RequestAttributes;
  readonly effect: Decision['effect'];
  /** The rule that decided; undefined where none matched. */
  readonly by: Entry | undefined;
  /** Rules that let the call through, or that would after an approval. */
  readonly granting: readonly Entry[];
  /** The rule needs the body, and it cannot be read. */
  readonly isOpaque: boolean;
}

/**
 * Decides. A call is judged as itself and as everything it amounts to besides (a server-side apply may create); the
 * strictest judgement holds. `body`: the masked body as JSON (of a JSON patch, its operations), or `null`.
 * `approved`: what reviewers have granted, where that is certain. It is judged by the same policies as everything else:
 * it can make an ask an allow, and nothing else.
 */
export async function evaluate(
  grounds: Grounds,
  request: DecisionRequest,
  body: Buffer | null,
  approved: Grant | null = null,
): Promise<Decision> {
  const { set, authority, nowMs } = grounds;
  const { agent, attributes, connection, digest } = request;
  const base = { digest, policyVersion: set.version, authority, notAfter: nowMs + validMs };
  const applicable = set.index.policiesFor(agent).filter((policy) => policy.connections.matches(connection));
  // Operations say what to do and not what comes of it: no condition looks at them.
  const object = request.body === 'json-patch' ? null : body;
  const judgements: Judgement[] = [];
  for (const one of judgedAs(request)) judgements.push(await judge(grounds, request, object, one, applicable));
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
    otherwise: granting.length > 0 ? [] : asking(applicable),
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
  const policy = names.policy || (asking(applicable)[0]?.name ?? '');
  const terms = mergeTerms(judgements.flatMap(termsOf));
  if (answers(approved, request, terms)) {
    const reasonCode = 'AllowedByApproval';
    return { ...base, ...names, policy, effect: 'allow', reasonCode, obligations: merged.obligations };
  }
  const reason =
    by?.rule.reason || `${whatFor(request, decisive.attributes, 'needs the approval of a reviewer to')}: ${source(by)}`;
  const hint = hintFor(applicable, attributes);
  return {
    ...base,
    ...names,
    policy,
    effect: 'ask',
    reasonCode: 'ApprovalRequired',
    reason,
    hint,
    obligations: merged.obligations,
    terms,
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

async function judge(
  grounds: Grounds,
  request: DecisionRequest,
  body: Buffer | null,
  attributes: RequestAttributes,
  applicable: readonly Policy[],
): Promise<Judgement> {
  const candidates = grounds.set.index
    .rulesFor(request.agent, attributes)
    .filter(({ policy, rule }) => policy.connections.matches(request.connection) && fits(rule, attributes, request));
  // With a body that cannot be read, nobody knows whether these match.
  const isBlind = ({ rule }: Entry): boolean => request.body === 'opaque' && rule.when?.readsBody === true;
  const readable = candidates.filter((entry) => !isBlind(entry));
  const verdicts = await verdictsOn(grounds, readable, conditionInput(request, attributes, body, grounds.nowMs));
  const matches = readable.filter((entry) => {
    const verdict = verdicts.get(entry) ?? 'yes';
    return verdict === 'yes' || (verdict === 'error' && entry.rule.effect === 'deny');
  });
  const granting = matches.filter(({ rule }) => rule.effect !== 'deny');
  const found = { attributes, granting, isOpaque: false };
  const denying = matches.find(({ rule }) => rule.effect === 'deny');
  if (denying !== undefined) return { ...found, effect: 'deny', by: denying };
  const blind = candidates.find((entry) => isBlind(entry) && (entry.rule.effect !== 'allow' || granting.length === 0));
  if (blind !== undefined) return { ...found, effect: 'deny', by: blind, isOpaque: true };
  const asks = granting.find(({ rule }) => rule.effect === 'ask');
  if (asks !== undefined) return { ...found, effect: 'ask', by: asks };
  if (granting.length > 0) return { ...found, effect: 'allow', by: granting[0] };
  return { ...found, effect: asking(applicable).length > 0 ? 'ask' : 'deny', by: undefined };
}

/** What the conditions of these rules say; a rule without one is not in it. */
async function verdictsOn(
  { conditions }: Grounds,
  entries: readonly Entry[],
  input: ConditionInput,
): Promise<ReadonlyMap<Entry, Verdict>> {
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
function asking(applicable: readonly Policy[]): Policy[] {
  return applicable.filter(({ otherwise }) => otherwise === 'ask');
}

/** The terms of what asks in a judgement: its rules, or `otherwise`. */
function termsOf({ effect, granting }: Judgement): readonly ApprovalTerms[] {
  if (effect !== 'ask') return [];
  const terms = granting.flatMap(({ rule }) => rule.terms ?? []);
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

function denial({ by, attributes, isOpaque }: Judgement, request: DecisionRequest) {
  const sentence = whatFor(request, attributes, 'may not');
  if (isOpaque) {
    const reason = `${sentence}: ${source(by)} depends on the request body, which Sluice cannot read in this encoding`;
    return ['BodyOpaque', reason] as const;
  }
  if (by === undefined) return ['NoRuleMatched', `${sentence}: no rule allows it`] as const;
  return ['DeniedByRule', by.rule.reason || `${sentence}: ${source(by)} denies it`] as const;
}

function source(by: Entry | undefined): string {
  return by === undefined ? 'no rule allows it' : `the rule "${by.rule.name}" of the policy "${by.policy.name}"`;
}

/** `agent "demo" may not delete pods "web" in namespace "shop"`; and what the call is, where that is not the same. */
function whatFor({ agent, attributes: asked }: DecisionRequest, attributes: RequestAttributes, may: string): string {
  const derived = attributes === asked ? '' : `, which ${what(asked)} amounts to as well`;
  return `agent "${agent.name}" ${may} ${what(attributes)}${derived}`;
}

/** `delete namespaces "shop"`, `list pods in namespace "shop"`, `get /metrics`. */
function what(attributes: RequestAttributes): string {
  if (attributes.kind === 'nonResource') return `${attributes.verb} ${attributes.path}`;
  const { verb, namespace, name, resource } = attributes;
  const object = name === '' ? '' : ` "${name}"`;
  const place = namespace === '' || resource === 'namespaces' ? '' : ` in namespace "${namespace}"`;
  return `${verb} ${resourceName(attributes)}${object}${place}`;
}

/** What the same policies allow near this call: the rules that speak of the resource, or of anything. */
function hintFor(applicable: readonly Policy[], attributes: RequestAttributes): string {
  const allows = applicable.flatMap(({ rules }) => rules.filter(({ effect }) => effect === 'allow'));
  const near = allows.filter(
    (rule) =>
      rule.kind === attributes.kind &&
      (attributes.kind === 'nonResource' ||
        (rule.kind === 'resource' &&
          rule.matchesResource.matches(attributes.apiGroup, attributes.resource, attributes.subresource))),
  );
  if (near.length === 0) return '';
  return `Allowed here: ${near
    .slice(0, hintRules)
    .map(({ summary }) => summary)
    .join('; ')}.`;
}

function conditionInput(
  request: DecisionRequest,
  attributes: RequestAttributes,
  body: Buffer | null,
  nowMs: number,
): ConditionInput {
  const { agent, connection, generateName }: { agent: Agent; connection: string; generateName: string } = request;
  const empty = { apiGroup: '', version: '', resource: '', subresource: '', namespace: '', name: '', path: '' };
  const { kind: _, ...known } = attributes;
  return { request: { ...empty, ...known, generateName, connection }, agent, body, nowMs };
}
