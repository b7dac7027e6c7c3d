// A secret that must be found nowhere, and a marker beside it that must be found, so that the search is seen to look.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** A value as it may stand in bytes: plain, in hex, and in base64 at each of the three alignments. */
export function formsOf(value: string): string[] {
  const shifted = [0, 1, 2].map((shift) => {
    const base64 = Buffer.from(' '.repeat(shift) + value).toString('base64');
    // The ends mix with what stands beside the value.
    return base64.slice(shift === 0 ? 0 : 4, -4);
  });
  return [value, ...shifted, Buffer.from(value).toString('hex')];
}

/**
 * Every file in all folders, with what it holds. What goes away meanwhile is left out: a database renames its files and folders
 * while they are read.
 */
export function* filesUnder(folder: string): Generator<{ readonly file: string; readonly bytes: Buffer }> {
  for (const entry of ifThere(() => readdirSync(folder, { withFileTypes: true })) ?? []) {
    const file = join(folder, entry.name);
    if (entry.isDirectory()) yield* filesUnder(file);
    const bytes = entry.isFile() ? ifThere(() => readFileSync(file)) : undefined;
    if (bytes !== undefined) yield { file, bytes };
  }
}

function ifThere<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return undefined;
  }
}
