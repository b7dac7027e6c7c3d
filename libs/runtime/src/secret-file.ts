import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { ConfigError } from './env.ts';

/** The bits of a file's mode that let group or others in. */
const notOwner = 0o077;

/** Reads a file that holds a key. Throws `ConfigError` when it is not there, or group or others may read it. */
export function readSecret(path: string): Buffer {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (error) {
    throw new ConfigError(`cannot read ${path} (${(error as NodeJS.ErrnoException).code}); \`sluice up\` makes it`);
  }
  try {
    if ((fstatSync(file).mode & notOwner) !== 0) {
      throw new ConfigError(`others than its owner may read ${path}; run: chmod 600 ${path}`);
    }
    return readFileSync(file);
  } finally {
    closeSync(file);
  }
}
