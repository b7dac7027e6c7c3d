import { globMatcher } from './globs.ts';

/**
 * One step of a path. `key`: into the fields whose name matches. `each`: into every element of an array. `deep`: the
 * next step holds at any depth from here.
 */
export type MaskStep =
  | { readonly kind: 'key'; readonly text: string; readonly matches: (key: string) => boolean }
  | { readonly kind: 'each' }
  | { readonly kind: 'deep' };

/** Code `BadMaskPath`. `at`: where in the text it goes wrong. */
export class MaskPathError extends Error {
  readonly code = 'BadMaskPath';
  readonly at: number;
  constructor(message: string, at: number) {
    super(message);
    this.at = at;
  }
}

/** Longer paths are refused: nobody means them. */
const maxSteps = 64;

/**
 * Reads a path as JSONPath writes it (RFC 9535), the part that names places: `.spec.users[*].token`, `.data['tls.key']`,
 * `.data.*-password`, `..token`. `*` in a name is a glob, `[*]` every element, `..` any depth. A `$` may stand first.
 * There are no filters, slices and single elements. Throws `MaskPathError`.
 */
export function parseMaskPath(text: string): readonly MaskStep[] {
  const steps: MaskStep[] = [];
  let at = text.startsWith('$') ? 1 : 0;
  const key = (name: string): void => void steps.push({ kind: 'key', text: name, matches: globMatcher([name]) });
  while (at < text.length) {
    const rest = text.slice(at);
    const [, dots = '', name = ''] = /^(\.{1,2})([A-Za-z0-9_*/-]*)/.exec(rest) ?? [];
    const [bracket = '', quoted] = /^\[(?:\*|'((?:[^'\\]|\\['\\])+)')\]/.exec(rest) ?? [];
    if (dots !== '') {
      if (dots === '..') steps.push({ kind: 'deep' });
      if (name === '' && !rest.startsWith('..['))
        throw new MaskPathError("a name is missing here; write .name, .* or ['name']", at + dots.length);
      if (name !== '') key(name);
      at += dots.length + name.length;
    } else if (bracket !== '') {
      if (quoted === undefined) steps.push({ kind: 'each' });
      else key(quoted.replaceAll(/\\(.)/g, '$1'));
      at += bracket.length;
    } else {
      throw new MaskPathError("a path is made of .name, ['name'], [*] and ..name", at);
    }
    if (steps.length > maxSteps) throw new MaskPathError(`a path has at most ${maxSteps} steps`, at);
  }
  if (steps.length === 0) throw new MaskPathError('a path names at least one field', 0);
  return steps;
}
