import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import type { PolicyAnswer, PolicyFault, PolicyFiles, PolicyQuestion } from '@sluice/model';
import { ConfigError } from '@sluice/runtime';

/** Reads policy files; of a directory, every `*.yaml` and `*.yml` in it. Throws `ConfigError`. */
export function readPolicyFiles(paths: readonly string[]): PolicyFiles {
  return { files: paths.flatMap(filesAt).map((name) => ({ name, text: readFileSync(name, 'utf8') })) };
}

function filesAt(path: string): string[] {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined)
    throw new ConfigError(`there are no policies at ${path}; name a file or directory that exists`);
  if (!stats.isDirectory()) return [path];
  const names = readdirSync(path).filter((name) => /\.ya?ml$/.test(name));
  if (names.length === 0) throw new ConfigError(`no policy (*.yaml) in ${path}; name another directory`);
  return names.sort().map((name) => join(path, name));
}

/** Asks the policy service's compiler, in a process of its own. */
export async function askCompiler(question: PolicyQuestion): Promise<PolicyAnswer> {
  const program = resolve(import.meta.dirname, '../../services/policy/src/offline.ts');
  const child = spawn(process.execPath, [program], { env: {}, stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.end(JSON.stringify(question));
  const answer = await text(child.stdout);
  if (answer === '') throw new ConfigError('the policies could not be compiled');
  return JSON.parse(answer) as PolicyAnswer;
}

/** `file:line:column: message`, one line each. */
export function faultLines(faults: readonly PolicyFault[]): string[] {
  return faults.map(({ file, line, column, message }) => `${file}:${line}:${column}: ${message}`);
}
