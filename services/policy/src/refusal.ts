// What an agent is told of a call that does not go through: why, and what it may do instead. Pure.
import { type DecisionRequest, type ReasonCode, type RequestAttributes, resourceName } from '@sluice/model';
import { namedCommand, type Running } from './exec/terms.ts';
import type { Policy } from './policy.ts';
import type { Entry } from './rule-index.ts';

/** At most so many rules are named in a hint: it is one sentence. */
const hintRules = 4;

/** What a refusal speaks of. */
export interface Refused {
  readonly attributes: RequestAttributes;
  /** The rule that decided; undefined where none matched. */
  readonly by: Entry | undefined;
  /** What the rule needs and nobody can read. */
  readonly unreadable: 'body' | 'pod' | null;
  readonly running: Running | null;
}

export function denial(refused: Refused, request: DecisionRequest): readonly [code: ReasonCode, reason: string] {
  const { by, attributes, unreadable, running } = refused;
  const sentence = whatFor(request, attributes, 'may not');
  if (unreadable === 'body') {
    const reason = `${sentence}: ${source(by)} depends on the request body, which Sluice cannot read in this encoding`;
    return ['BodyOpaque', reason];
  }
  if (unreadable === 'pod')
    return ['PodNotReadable', `${sentence}: ${source(by)} depends on the pod, which Sluice cannot read`];
  if (by === undefined) return ['NoRuleMatched', `${sentence}: no rule allows it${graded(running)}`];
  const named = running === null || by.rule.kind !== 'resource' ? '' : namedCommand(by.rule.exec, running);
  const what = named === '' ? `it${graded(running)}` : named;
  return ['DeniedByRule', by.rule.reason || `${sentence}: ${source(by)} denies ${what}`];
}

/** Why a reviewer is asked. */
export function asking({ by, attributes, running }: Refused, request: DecisionRequest): string {
  const sentence = whatFor(request, attributes, 'needs the approval of a reviewer to');
  return (
    by?.rule.reason || `${sentence}: ${source(by)}${by?.rule.effect === 'allow' ? ` allows it${graded(running)}` : ''}`
  );
}

function graded(running: Running | null): string {
  const grade = running?.reading.grade ?? 'plain';
  if (grade === 'plain') return '';
  return grade === 'opaque'
    ? ', as nobody can tell beforehand what it runs'
    : ', as it is interactive: what is typed decides what it does';
}

function source(by: Entry | undefined): string {
  return by === undefined ? 'no rule allows it' : `the rule "${by.rule.name}" of the policy "${by.policy.name}"`;
}

/** `agent "demo" may not delete pods "web" in namespace "shop"`; and what the call is, where that is not the same. */
function whatFor(
  { agent, attributes: asked, port }: DecisionRequest,
  attributes: RequestAttributes,
  may: string,
): string {
  const derived = attributes === asked ? '' : `, which ${what(asked)} amounts to as well`;
  return `agent "${agent.name}" ${may} ${what(attributes)}${port === undefined ? '' : ` at port ${port}`}${derived}`;
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
export function hintFor(applicable: readonly Policy[], attributes: RequestAttributes): string {
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
