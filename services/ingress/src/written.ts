// What an agent writes beside a body: the query of the target, arguments of a command above all, and its name for itself.
import { type Target, withQuery } from '@sluice/kube';

/** Parameters of which everybody knows what they may hold: numbers, words of a closed set, names of Kubernetes. */
const harmless: ReadonlySet<string> = new Set([
  'allowWatchBookmarks',
  'container',
  'dryRun',
  'fieldManager',
  'fieldSelector',
  'fieldValidation',
  'follow',
  'force',
  'gracePeriodSeconds',
  'includeObject',
  'insecureSkipTLSVerifyBackend',
  'labelSelector',
  'limit',
  'limitBytes',
  'ports',
  'pretty',
  'previous',
  'propagationPolicy',
  'resourceVersion',
  'resourceVersionMatch',
  'sendInitialEvents',
  'sinceSeconds',
  'sinceTime',
  'stderr',
  'stdin',
  'stdout',
  'tailLines',
  'timeout',
  'timeoutSeconds',
  'timestamps',
  'tty',
  'watch',
]);
/** A value of such a parameter that could be anything is looked at all the same, */
const harmlessValue = /^[A-Za-z0-9_.:/=,!() -]{0,200}$/;
/** and so is a word as long as no name of Kubernetes and as most tokens are. */
const longWord = /[A-Za-z0-9_]{20}/;
/** The user agents of Kubernetes' own clients, and of most others: words, versions and platforms. */
const harmlessAgent = /^[\w.-]{1,63}\/[\w.+-]{1,63}( \([\w.;,/+ -]{0,80}\))?( [\w.-]{1,63}\/[\w.+-]{0,63})*$/;
const secretWord = /pass|token|secret|key|auth|eyJ/i;

/** Texts to be masked, and how the masked ones are put back in their places. */
export interface Written {
  readonly text: string;
  read(masked: string): { readonly canonical: string; readonly userAgent: string };
}

/** `null` when nothing in them can be a secret: most calls. */
export function writtenTexts(target: Target, userAgent: string): Written | null {
  const suspects = target.query.filter(
    ([name, value]) =>
      !harmless.has(name) || !harmlessValue.test(value) || longWord.test(value) || secretWord.test(value),
  );
  const isAgentPlain = userAgent === '' || (harmlessAgent.test(userAgent) && !secretWord.test(userAgent));
  if (suspects.length === 0 && isAgentPlain) return null;
  // One a line: what an argument means may stand in the one before.
  const lines = suspects.map(([name, value]) =>
    (name === 'command' ? value : `${name}=${value}`).replaceAll('\n', ' '),
  );
  return {
    text: [...lines, userAgent.replaceAll('\n', ' ')].join('\n'),
    read(masked) {
      const parts = masked.split('\n');
      // Nothing that is masked spans lines; where it did all the same, nobody could say which was which.
      if (parts.length !== lines.length + 1) return { canonical: pathOf(target), userAgent: '' };
      // What has nothing to be masked stays as it is, its lines too.
      const values = new Map(
        suspects.map((pair, index) => [
          pair,
          parts[index] === lines[index] ? pair[1] : partOf(pair, parts[index] ?? ''),
        ]),
      );
      const query = target.query.map((pair) => [pair[0], values.get(pair) ?? pair[1]] as const);
      return { canonical: withQuery(pathOf(target), query), userAgent: parts.at(-1) ?? '' };
    },
  };
}

function partOf([name]: readonly [string, string], line: string): string {
  return name === 'command' ? line : line.slice(name.length + 1);
}

function pathOf(target: Target): string {
  return target.canonical.split('?', 1)[0] ?? '';
}
