import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { repository } from './sluice.ts';

/**
 * A copy of the programs and their tests, to be changed. It shares packages and fetched tools of this tree; `sluice` is
 * its own.
 */
export function copyTree(copy: string): void {
  for (const folder of ['cli', 'deploy', 'e2e', 'libs', 'services', 'tools', 'package.json']) {
    cpSync(join(repository, folder), join(copy, folder), { recursive: true });
  }
  const tools = join(repository, '.sluice', 'tools');
  mkdirSync(tools, { recursive: true });
  mkdirSync(join(copy, '.sluice'));
  symlinkSync(tools, join(copy, '.sluice', 'tools'));
  const packages = join(copy, 'node_modules');
  for (const folder of ['@sluice', '.bin']) mkdirSync(join(packages, folder), { recursive: true });
  const linked = (folder: string, but: readonly string[]): void => {
    for (const entry of readdirSync(join(repository, 'node_modules', folder))) {
      if (!but.includes(entry))
        symlinkSync(join(repository, 'node_modules', folder, entry), join(packages, folder, entry));
    }
  };
  linked('.', ['@sluice', '.bin']);
  linked('.bin', ['sluice']);
  symlinkSync(join(copy, 'cli', 'bin', 'sluice'), join(packages, '.bin', 'sluice'));
  for (const group of ['libs', 'services']) {
    for (const entry of readdirSync(join(copy, group))) {
      symlinkSync(join(copy, group, entry), join(packages, '@sluice', entry));
    }
  }
  symlinkSync(join(copy, 'cli'), join(packages, '@sluice', 'cli'));
}

/** Takes a guard out of a source file of a copy. Throws an `Error` when it does not stand there. */
export function takeOut(copy: string, file: string, guard: string, without: string): void {
  const source = readFileSync(join(copy, file), 'utf8');
  if (!source.includes(guard)) throw new Error(`the guard does not stand in ${file}: ${guard}`);
  writeFileSync(join(copy, file), source.replace(guard, without));
}
