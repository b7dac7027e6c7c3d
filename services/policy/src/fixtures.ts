// What the tests of policies share: a short way to write a set of policies, and a call.
import assert from 'node:assert/strict';
import type { Decision, DecisionRequest, RequestAttributes } from '@sluice/model';
import { compile } from './compile.ts';
import type { PolicySet } from './policy.ts';

export const issuer = 'https://id.example';
export const demoUser = '{ user: "sluice:tier:demo", groups: ["sluice:demo"] }';

/** The fields of a policy, each in YAML; what is left out is as in a policy of the agent `demo` for everything. */
export interface PolicyText {
  readonly name?: string;
  readonly subjects?: string;
  readonly connections?: string;
  readonly otherwise?: string;
  readonly impersonate?: string;
  /** Of the obligations, beside the identity: `record: full, deadline: 10m`. */
  readonly obligations?: string;
  /** Flow mappings, one for each rule. */
  readonly rules: readonly string[];
}

export function setOf(...policies: readonly PolicyText[]): PolicySet {
  const files = policies.map((policy, index) => ({
    name: `${index}.yaml`,
    text: `apiVersion: sluice.internal/v1alpha1
kind: AccessPolicy
metadata: { name: ${policy.name ?? `policy-${index}`} }
spec:
  subjects: ${policy.subjects ?? '[{ agent: demo }]'}
  connections: ${policy.connections ?? '["*"]'}
  otherwise: ${policy.otherwise ?? 'deny'}
  obligations: { impersonate: ${policy.impersonate ?? demoUser}, ${policy.obligations ?? ''} }
  rules: [${policy.rules.join(', ')}]
`,
  }));
  const result = compile(files, [issuer]);
  if (result.kind === 'errors') assert.fail(JSON.stringify(result.errors));
  return result.set;
}

/** `get pods`, `patch deployments.apps/scale shop/web`, `list pods shop/`, `get nodes /n1`, `get /version`. */
export function attributesOf(call: string): RequestAttributes {
  const [verb = '', what = '', where = '/'] = call.split(' ');
  if (what.startsWith('/')) return { kind: 'nonResource', verb, path: what };
  const [full = '', subresource = ''] = what.split('/');
  const [resource = '', ...group] = full.split('.');
  const [namespace = '', name = ''] = where.split('/');
  return { kind: 'resource', verb, apiGroup: group.join('.'), version: 'v1', resource, subresource, namespace, name };
}

/** A call of the agent `demo`, without a body unless `more` says otherwise. */
export function request(call: string, more: Partial<DecisionRequest> = {}): DecisionRequest {
  return {
    call: '0190a000-0000-7000-8000-000000000000',
    digest: 'd1',
    agent: agent(),
    connection: 'demo',
    attributes: attributesOf(call),
    generateName: '',
    body: 'none',
    ...more,
  };
}

export function agent(more: Partial<DecisionRequest['agent']> = {}): DecisionRequest['agent'] {
  return { name: 'demo', issuer, groups: [], ...more };
}

export function denial(decision: Decision): Extract<Decision, { effect: 'deny' }> {
  if (decision.effect !== 'deny') assert.fail(`not denied: ${decision.rule}`);
  return decision;
}
