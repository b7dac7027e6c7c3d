// The policy worker: answers what ingress asks, from policies compiled once. It holds no state of a call.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type DecisionRequest, queueGroups, subjects } from '@sluice/model';
import { ConfigError, type Env, loadKey, openBroker, required, runService, signDecision } from '@sluice/runtime';
import { compile, type PolicyFile, type PolicySet } from './compile.ts';
import { evaluate } from './evaluate.ts';

/** Compiles the policies in `SLUICE_POLICIES`. Throws `ConfigError` with one fault per line. */
function loadPolicies(env: Env): PolicySet {
  const compiled = compile(readPolicies(required(env, 'SLUICE_POLICIES')), required(env, 'SLUICE_ISSUERS').split(','));
  if (compiled.kind === 'set') return compiled.set;
  const faults = compiled.errors.map(({ file, line, column, message }) => `${file}:${line}:${column}: ${message}`);
  throw new ConfigError(faults.join('\n'));
}

function readPolicies(dir: string): PolicyFile[] {
  let names: string[];
  try {
    names = readdirSync(dir).filter((name) => /\.ya?ml$/.test(name));
  } catch {
    throw new ConfigError(`cannot read the directory of policies ${dir}; name another with --policies`);
  }
  if (names.length === 0) throw new ConfigError(`no policy (*.yaml) in ${dir}; name another directory with --policies`);
  return names.sort().map((name) => ({ name: join(dir, name), text: readFileSync(join(dir, name), 'utf8') }));
}

/** Says what is wrong with the policies, or prints the identities they give as JSON, and ends. */
function checkOnly(env: Env): void {
  try {
    const { policies } = loadPolicies(env);
    const tiers = policies.flatMap(({ impersonate }) => (impersonate === null ? [] : [impersonate]));
    process.stdout.write(JSON.stringify([...new Map(tiers.map((tier) => [JSON.stringify(tier), tier])).values()]));
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  }
}

if (process.env['SLUICE_CHECK_ONLY'] === '1') checkOnly(process.env);
else {
  runService('policy', process.env, async ({ env, log }) => {
    const set = loadPolicies(env);
    const key = loadKey(env, 'decisions');
    const broker = await openBroker(env, 'policy', log);
    broker.respond(subjects.decide, queueGroups.policy, (payload) => {
      const request = JSON.parse(Buffer.from(payload).toString()) as DecisionRequest;
      return signDecision(key, evaluate(set, request, Date.now()));
    });
    return { facts: { policies: set.policies.length, version: set.version }, drain: () => broker.drain() };
  });
}
