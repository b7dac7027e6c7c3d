import { execFile } from 'node:child_process';
import { userInfo } from 'node:os';
import type { Reviewer } from '@sluice/model';

/**
 * The person at this machine: the account Sluice runs under, and its groups. No groups where they cannot be told for
 * sure.
 */
export async function localReviewer(): Promise<Reviewer> {
  const [ids, names] = await Promise.all([wordsOf('-G'), wordsOf('-Gn')]);
  // A name with a blank in it would be read as two groups, and one of them may be another group's name.
  return { name: `local:${accountName()}`, groups: ids.length === names.length ? names : [] };
}

/** An account that the machine has no name for has its number. */
function accountName(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.geteuid?.());
  }
}

/** What `id` prints. For a group without a name it fails, and prints its number in the place of the name. */
function wordsOf(option: '-G' | '-Gn'): Promise<string[]> {
  return new Promise((resolve) => {
    execFile('id', [option], { encoding: 'utf8' }, (_, stdout) => {
      resolve(stdout.split(/\s+/).filter((word) => word !== ''));
    });
  });
}
