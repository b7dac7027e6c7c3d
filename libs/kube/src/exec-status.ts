// How an exec ends: a `metav1.Status` on its error channel, or a text in the protocols before v4.
import { type Refused, refusalStatus } from './status.ts';

interface Status {
  readonly status?: unknown;
  readonly reason?: unknown;
  readonly message?: unknown;
  readonly details?: { readonly causes?: readonly { readonly reason?: unknown; readonly message?: unknown }[] };
}

/** A command that was found and could not be run (POSIX.1-2017, Shell Command Language, 2.8.2). */
const notExecutable = '126';

/** The exit code that a `Status` tells; `null` where it tells none. */
export function exitCodeOf(status: Buffer): number | null {
  const read = parsed(status);
  if (read === null) return null;
  if (read.status === 'Success') return 0;
  if (read.reason !== 'NonZeroExitCode') return null;
  const code = read.details?.causes?.find(({ reason }) => reason === 'ExitCode')?.message;
  return typeof code === 'string' && /^\d{1,3}$/.test(code) ? Number(code) : null;
}

/** How a stream ended, as the other side's protocol says it: from a `Status` to a text, or the other way round. */
export function endFor(
  end: Buffer,
  from: { readonly hasStatus: boolean },
  to: { readonly hasStatus: boolean },
): Buffer {
  if (from.hasStatus === to.hasStatus) return end;
  if (to.hasStatus) {
    const message = end.toString();
    const failure = { status: 'Failure', reason: 'InternalError', message };
    return Buffer.from(JSON.stringify({ metadata: {}, ...(message === '' ? { status: 'Success' } : failure) }));
  }
  const read = parsed(end);
  if (read?.status === 'Success') return Buffer.alloc(0);
  return Buffer.from(typeof read?.message === 'string' ? read.message : 'the command failed');
}

/** A refusal of an exec in its own terms: clients exit with 126. */
export function execRefusal(refused: Refused): Buffer {
  const { details, message } = JSON.parse(refusalStatus(refused).body) as {
    readonly message: string;
    readonly details: { readonly causes: readonly object[] };
  };
  const causes = [{ reason: 'ExitCode', message: notExecutable }, ...details.causes];
  return Buffer.from(
    JSON.stringify({ metadata: {}, status: 'Failure', message, reason: 'NonZeroExitCode', details: { causes } }),
  );
}

function parsed(status: Buffer): Status | null {
  try {
    const value: unknown = JSON.parse(status.toString());
    return typeof value === 'object' && value !== null ? value : null;
  } catch {
    return null;
  }
}
