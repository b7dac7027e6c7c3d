// `kubectl cp` runs tar in the pod: what goes through is an archive, and the record says what is in it.
import { TarReader } from '@sluice/kube';

/** What an archive says it holds. */
export interface ArchivedFile {
  readonly name: string;
  readonly bytes: number;
}

/** So many are named in the record. */
const maxFiles = 1_000;

/** The channel on which a command writes or reads an archive, as `kubectl cp` has it do; `null` where it does not. */
export function archiveOf(command: readonly string[]): 'stdin' | 'stdout' | null {
  const [program = '', first = '', second = ''] = command;
  // With --retries it is `sh -c "tar cf - PATH | tail -c+N"`.
  if (program === 'sh' && first === '-c') return /^tar c[a-z]*f - /.test(second) ? 'stdout' : null;
  if (!isTar(program)) return null;
  if (/^-?[a-z]*c[a-z]*$/.test(first)) return 'stdout';
  return /^-?[a-z]*x[a-z]*$/.test(first) ? 'stdin' : null;
}

function isTar(program: string): boolean {
  return program === 'tar' || program.endsWith('/tar');
}

/** The files of an archive as it passes by; none where it turns out to be no archive. */
export class ArchivedFiles {
  readonly files: ArchivedFile[] = [];
  readonly #reader = new TarReader({
    entry: ({ name, size, type }) => {
      if (type !== 'directory' && this.files.length < maxFiles) this.files.push({ name, bytes: size });
    },
    notTar: () => undefined,
  });

  /** Whether all of the archive has passed by. */
  get isWhole(): boolean {
    return this.#reader.hasEnded;
  }

  push(bytes: Buffer): void {
    this.#reader.push(bytes);
  }
}
