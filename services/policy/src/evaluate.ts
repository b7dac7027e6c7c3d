// The decision on one call: deny before allow before nothing matched. Pure.
import { type Agent, type Decision, type DecisionRequest, type RequestAttributes, resourceName } from '@sluice/model';
import type { Policy, PolicySet, Rule, Subject } from './compile.ts';

/** A decision may be used for this long. */
const validMs = 10_000;
/** At most so many rules are named in a hint: it is one sentence. */
const hintRules = 4;

interface Match {
  readonly policy: Policy;
  readonly rule: Rule;
}

/** Decides. `nowMs`: milliseconds since the epoch. */
export function evaluate(set: PolicySet, request: DecisionRequest, nowMs: number): Decision {
  const { agent, attributes, connection } = request;
  const base = { digest: request.digest, policyVersion: set.version, notAfter: nowMs + validMs };
  const applicable = set.policies.filter(
    (policy) => policy.connections.matches(connection) && policy.subjects.some((subject) => isSubject(subject, agent)),
  );
  const matches: Match[] = applicable.flatMap((policy) =>
    policy.rules.filter((rule) => ruleMatches(rule, attributes)).map((rule) => ({ policy, rule })),
  );

  const denied = matches.find(({ rule }) => rule.effect === 'deny');
  if (denied !== undefined) {
    const { policy, rule } = denied;
    const reason =
      rule.reason === ''
        ? `agent "${agent.name}" may not ${what(attributes)}: the rule "${rule.name}" of the policy "${policy.name}" denies it`
        : rule.reason;
    const names = { policy: policy.name, rule: rule.name };
    return { ...base, ...names, effect: 'deny', reasonCode: 'DeniedByRule', reason, hint: '' };
  }

  const first = matches[0];
  const impersonate = first?.policy.impersonate ?? null;
  if (first === undefined || impersonate === null) {
    const reason = `agent "${agent.name}" may not ${what(attributes)}: no rule allows it`;
    const nothing = { policy: '', rule: '' };
    return {
      ...base,
      ...nothing,
      effect: 'deny',
      reasonCode: 'NoRuleMatched',
      reason,
      hint: hintFor(applicable, attributes),
    };
  }
  const names = { policy: first.policy.name, rule: first.rule.name };
  const wanted = JSON.stringify(impersonate);
  const other = matches.find(({ policy }) => policy !== first.policy && JSON.stringify(policy.impersonate) !== wanted);
  if (other !== undefined) {
    const reason = `the policies "${first.policy.name}" and "${other.policy.name}" demand different identities for this call`;
    return { ...base, ...names, effect: 'deny', reasonCode: 'ObligationConflict', reason, hint: '' };
  }
  return { ...base, ...names, effect: 'allow', reasonCode: 'AllowedByRule', obligations: { impersonate } };
}

function isSubject(subject: Subject, agent: Agent): boolean {
  if (subject.issuer !== '' && subject.issuer !== agent.issuer) return false;
  if (subject.name === '*') return true;
  return subject.kind === 'agent' ? subject.name === agent.name : agent.groups.includes(subject.name);
}

function ruleMatches(rule: Rule, attributes: RequestAttributes): boolean {
  if (!rule.verbs.matches(attributes.verb)) return false;
  if (attributes.kind === 'nonResource') return rule.kind === 'nonResource' && rule.urls.matches(attributes.path);
  if (rule.kind !== 'resource') return false;
  const { apiGroup, resource, subresource, name } = attributes;
  if (!rule.resources.matches(apiGroup, resource, subresource)) return false;
  // Namespaces are cluster-scoped objects, although Kubernetes puts their name where the namespace stands.
  const namespace = resource === 'namespaces' && apiGroup === '' ? '' : attributes.namespace;
  if (!rule.namespaces.everything && (namespace === '' || !rule.namespaces.matches(namespace))) return false;
  return rule.names.everything || (name !== '' && rule.names.matches(name));
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
          rule.resources.matches(attributes.apiGroup, attributes.resource, attributes.subresource))),
  );
  if (near.length === 0) return '';
  return `Allowed here: ${near
    .slice(0, hintRules)
    .map(({ summary }) => summary)
    .join('; ')}.`;
}
