// The compiler and the evaluation without a broker: one question as JSON on stdin, one answer as JSON on stdout.
import { text } from 'node:stream/consumers';
import type { PolicyAnswer, PolicyQuestion } from '@sluice/model';
import { compile } from './compile.ts';
import { Conditions } from './conditions.ts';
import { evaluate } from './evaluate.ts';

async function answer(question: PolicyQuestion): Promise<PolicyAnswer> {
  const compiled = compile(question.files, question.issuers);
  if (compiled.kind === 'errors') return { kind: 'faults', faults: compiled.errors };
  const { set } = compiled;
  if (question.kind === 'check') {
    const identities = set.policies.flatMap(({ obligations }) => obligations?.impersonate ?? []);
    return {
      kind: 'compiled',
      version: set.version,
      policies: set.policies.length,
      rules: set.policies.reduce((sum, { rules }) => sum + rules.length, 0),
      identities: [...new Map(identities.map((identity) => [JSON.stringify(identity), identity])).values()],
    };
  }
  const conditions = new Conditions();
  const grounds = { set, authority: 0, nowMs: Date.now(), conditions: conditions.evaluate };
  const decision = await evaluate(grounds, question.request, Buffer.from(question.masked));
  await conditions.stop();
  return { kind: 'decision', decision };
}

const question = JSON.parse(await text(process.stdin)) as PolicyQuestion;
process.stdout.write(JSON.stringify(await answer(question)));
