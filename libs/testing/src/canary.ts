// A secret that must be found nowhere, and a marker beside it that must be found, so that the search is seen to look.
import { readdirSync, statSync } from 'node:fs';
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

/** Every file, in all folders. One that goes away meanwhile is left out. */
export function filesUnder(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((file) => join(folder, file))
    .filter((file) => statSync(file, { throwIfNoEntry: false })?.isFile() === true);
}
