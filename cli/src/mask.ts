import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import type { MaskExplanation, MaskPlace, MaskQuestion } from '@sluice/model';
import { ConfigError } from '@sluice/runtime';
import { printable } from './text.ts';

export interface MaskTestOptions {
  readonly text?: true;
  readonly show?: true;
  readonly json?: true;
}

/** `sluice mask test`: what would be masked, and why; never the value. Throws `ConfigError`. */
export async function testMasks(file: string, options: MaskTestOptions, out: NodeJS.WritableStream): Promise<void> {
  const form = options.text || /\.(log|txt)$/.test(file) ? 'text' : 'objects';
  const answer = await askMasker({ form, text: read(file) });
  if (answer.kind === 'fault')
    throw new ConfigError(`${file} is neither JSON nor YAML: ${answer.message}; --text looks at it as a text`);
  const { masks, shown } = answer;
  if (options.json) out.write(`${JSON.stringify(masks)}\n`);
  else if (options.show) out.write(shown);
  else
    out.write(
      `${[...masks.map(line), `${masks.length} ${masks.length === 1 ? 'value' : 'values'} masked`].join('\n')}\n`,
    );
}

function line({ document, kind, namespace, name, path, why, bytes }: MaskPlace): string {
  const place =
    kind === '' ? path : `document ${document}, ${kind} ${namespace === '' ? name : `${namespace}/${name}`} ${path}`;
  return printable(`${place}: ${why} (${bytes} bytes)`);
}

function read(file: string): string {
  try {
    return readFileSync(file === '-' ? 0 : file, 'utf8');
  } catch (error) {
    throw new ConfigError(
      `${file} cannot be read (${(error as NodeJS.ErrnoException).code}); name a file, or - for stdin`,
    );
  }
}

/** Asks the masking service's core, in a process of its own. */
async function askMasker(question: MaskQuestion): Promise<MaskExplanation> {
  const program = resolve(import.meta.dirname, '../../services/masking/src/offline.ts');
  const child = spawn(process.execPath, [program], { env: {}, stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.end(JSON.stringify(question));
  const answer = await text(child.stdout);
  if (answer === '') throw new ConfigError('the masks could not be worked out');
  return JSON.parse(answer) as MaskExplanation;
}
