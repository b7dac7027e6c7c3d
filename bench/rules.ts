// What unrelated rules cost: one call decided by a small set of policies and by a large one, in turns.
import type { DecisionRequest } from '@sluice/model';
import { compile } from '../services/policy/src/compile.ts';
import { evaluate } from '../services/policy/src/evaluate.ts';
import type { PolicySet } from '../services/policy/src/policy.ts';
import { save } from './processes.ts';

const rounds = 20;
const decisionsPerRound = 5_000;
const [few, many] = [10, 2_000] as const;

const request: DecisionRequest = {
  call: '',
  digest: '',
  agent: { name: 'bench', issuer: 'sluice', groups: ['agents/bench', 'agents/all'] },
  connection: 'demo',
  attributes: {
    kind: 'resource',
    verb: 'get',
    apiGroup: '',
    version: 'v1',
    resource: 'pods',
    subresource: '',
    namespace: 'shop',
    name: 'web',
  },
  generateName: '',
  body: 'none',
};

/** Prints `rules  12.3 µs a decision with 10 unrelated rules, 12.4 with 2000: × 1.01`. */
export async function measureRules(): Promise<void> {
  const sets = [setWith(few), setWith(many)] as const;
  const micros = [0, 0];
  for (let round = 0; round <= rounds; round++) {
    for (const [i, set] of sets.entries()) {
      const began = performance.now();
      for (let n = 0; n < decisionsPerRound; n++) await decide(set);
      // The first round warms up.
      if (round > 0) micros[i] = (micros[i] ?? 0) + ((performance.now() - began) * 1000) / decisionsPerRound / rounds;
    }
  }
  const [small = 0, large = 0] = micros;
  console.log(
    `rules  ${small.toFixed(1)} µs a decision with ${few} unrelated rules, ${large.toFixed(1)} with ${many}: × ${(large / small).toFixed(2)}\n`,
  );
  save('rules', { few, many, microsWithFew: small, microsWithMany: large });
}

async function decide(set: PolicySet): Promise<void> {
  const grounds = { set, authority: 1, nowMs: Date.now(), conditions: async () => [] };
  const { effect } = await evaluate(grounds, request, null);
  if (effect !== 'allow') throw new Error(`the bench's call is not allowed: ${effect}`);
}

/** Unrelated in every way: another resource, verb, namespace or subject. */
function setWith(unrelated: number): PolicySet {
  const others = Array.from({ length: unrelated }, (_, i) => {
    const rule = [
      `verbs: [get], resources: [things-${i}.example.com]`,
      'verbs: [delete], resources: [pods]',
      `verbs: [get], resources: [pods], namespaces: [other-${i}]`,
    ][i % 3];
    return `    - { effect: allow, ${rule} }`;
  });
  const text = (
    name: string,
    subject: string,
    rules: readonly string[],
  ): string => `apiVersion: sluice.internal/v1alpha1
kind: AccessPolicy
metadata: { name: ${name} }
spec:
  subjects: [${subject}]
  obligations: { impersonate: { user: "sluice:tier:bench" } }
  rules:
${rules.join('\n')}
`;
  const files = [
    {
      name: 'own',
      text: text('own', '{ agent: bench }', ['    - { effect: allow, verbs: [get], resources: [pods] }', ...others]),
    },
    { name: 'others', text: text('others', '{ agent: somebody }', others) },
  ];
  const compiled = compile(files, ['sluice']);
  if (compiled.kind === 'errors') throw new Error(compiled.errors[0]?.message);
  return compiled.set;
}
