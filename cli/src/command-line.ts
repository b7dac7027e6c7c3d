import type { RequestAttributes, StreamRequest } from '@sluice/model';
import { holdsUnseen } from './text.ts';

/**
 * Words as a shell would take them, on one line: what needs it is quoted, and what nobody would see is written as an
 * escape in `$'…'`. What is shown is what runs.
 */
export function shellLine(words: readonly string[]): string {
  return words.map(shellWord).join(' ');
}

/** What a stream asks for, as somebody would type it. */
export function kubectlLine(namespace: string, pod: string, stream: StreamRequest): string {
  const { kind, command, container, stdin, tty, ports } = stream;
  if (kind === 'portforward') return shellLine(['kubectl', 'port-forward', pod, '-n', namespace, ...ports.map(String)]);
  const options = ['-n', namespace, ...(container === '' ? [] : ['-c', container])];
  const flags = [...(stdin ? ['-i'] : []), ...(tty ? ['-t'] : [])];
  const run = kind === 'exec' ? ['--', ...command] : [];
  return shellLine(['kubectl', kind, pod, ...options, ...flags, ...run]);
}

/** What a request asks for by its query, where it is for a stream; `null` where it is not. `target`: path and query. */
export function streamIn(attributes: RequestAttributes, target: string): StreamRequest | null {
  const subresource = attributes.kind === 'resource' && attributes.resource === 'pods' ? attributes.subresource : '';
  if (subresource !== 'exec' && subresource !== 'attach' && subresource !== 'portforward') return null;
  const query = new URLSearchParams(target.slice(target.indexOf('?') + 1));
  // As the API server reads a parameter that is yes or no.
  const is = (name: string): boolean => !['0', 'false', null].includes(query.get(name)?.toLowerCase() ?? null);
  return {
    kind: subresource,
    command: query.getAll('command'),
    container: query.get('container') ?? '',
    stdin: is('stdin'),
    stdout: is('stdout'),
    stderr: is('stderr'),
    tty: is('tty'),
    ports: query
      .getAll('ports')
      .flatMap((ports) => ports.split(','))
      .map(Number),
  };
}

function shellWord(word: string): string {
  if (/^[\w@%+=:,./-]+$/.test(word)) return word;
  if (isPlain(word)) return `'${word.replaceAll("'", String.raw`'\''`)}'`;
  return `$'${Array.from(word, escaped).join('')}'`;
}

/** Of blanks, only the one of ASCII: others look like it and part no words. */
function isPlain(text: string): boolean {
  return !holdsUnseen(text) && !/[^\P{Zs} ]/u.test(text);
}

/** A character within `$'…'`. */
function escaped(character: string): string {
  const known = { '\n': String.raw`\n`, '\t': String.raw`\t`, '\r': String.raw`\r`, "'": String.raw`\'`, '\\': '\\\\' };
  const short = known[character as keyof typeof known];
  if (short !== undefined) return short;
  if (isPlain(character)) return character;
  const code = character.codePointAt(0) ?? 0;
  const hex = code.toString(16);
  return code > 0xffff ? `\\U${hex.padStart(8, '0')}` : `\\u${hex.padStart(4, '0')}`;
}
