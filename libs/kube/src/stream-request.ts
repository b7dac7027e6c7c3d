import { type RequestAttributes, resourceName, type StreamRequest } from '@sluice/model';
import { queryValue, type Target, TargetError } from './target.ts';

const kinds: Readonly<Record<string, StreamRequest['kind']>> = {
  'pods/exec': 'exec',
  'pods/attach': 'attach',
  'pods/portforward': 'portforward',
};

/**
 * What a stream asks for, read from its query as the server reads it; null where the request is none. Throws `TargetError`
 * where a value could be read in two ways. The options of exec and attach are false where they are not named.
 */
export function parseStreamRequest(attributes: RequestAttributes, target: Target): StreamRequest | null {
  const kind = attributes.kind === 'resource' ? kinds[resourceName(attributes)] : undefined;
  if (kind === undefined) return null;
  const all = (name: string): string[] => target.query.filter(([known]) => known === name).map(([, value]) => value);
  const none = { command: [], container: '', stdin: false, stdout: false, stderr: false, tty: false, ports: [] };
  if (kind === 'portforward') return { ...none, kind, ports: all('ports').flatMap(ports) };
  const tty = flag(target, 'tty');
  return {
    ...none,
    kind,
    command: kind === 'exec' ? all('command') : [],
    container: queryValue(target, 'container') ?? '',
    stdin: flag(target, 'stdin'),
    stdout: flag(target, 'stdout'),
    // A terminal has one output; kubelets drop the other.
    stderr: flag(target, 'stderr') && !tty,
    tty,
  };
}

/**
 * Go programs read a flag in two ways: `runtime.Convert_Slice_string_To_bool` takes everything but `0` and `false` as true,
 * also nothing at all, and `strconv.ParseBool` knows some words. Where both say the same, so do we.
 */
function flag(target: Target, name: string): boolean {
  const value = queryValue(target, name);
  if (value === undefined || /^(0|false|False|FALSE)$/.test(value)) return false;
  if (/^(1|true|True|TRUE)$/.test(value)) return true;
  throw new TargetError(`the parameter ${name} is neither true nor false`);
}

/** The parameter may be repeated, and each may be a list. */
function ports(value: string): number[] {
  return value.split(',').map((text) => {
    const port = Number(text);
    if (!/^[1-9][0-9]{0,4}$/.test(text) || port > 0xffff) throw new TargetError('a port is not a number below 65536');
    return port;
  });
}
