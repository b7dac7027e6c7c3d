// Patterns of commands: a list of globs, one for each argument. Pure.
import { anyOf } from '../match.ts';
import type { Argument, Words } from './command.ts';

export interface CommandPattern {
  /** As written, `cat /var/log/*`. */
  readonly text: string;
  /** Whether the command is certainly one of these. */
  fits(words: Words): boolean;
  /** Whether it may be one: an argument that nobody knows may be any, and a path to a program is the program. */
  couldFit(words: Words): boolean;
}

/** A last glob that is `*` alone stands for any number of arguments, none too. */
export function commandPattern(globs: readonly string[]): CommandPattern {
  const isOpen = globs.at(-1) === '*';
  const fixed = (isOpen ? globs.slice(0, -1) : globs).map((glob) => anyOf([glob]));
  const matches = (at: number, word: string): boolean => fixed[at]?.matches(word) ?? false;

  const couldBe = (words: Words): boolean => {
    // How many globs have been used up so far, in every way there is.
    let states = new Set([0]);
    for (const word of words) {
      const next = new Set<number>();
      for (const used of states) {
        if (word === null) for (let more = used; more <= fixed.length; more++) next.add(more);
        else if (used === fixed.length ? isOpen : matches(used, word)) next.add(Math.min(used + 1, fixed.length));
      }
      states = next;
    }
    return states.has(fixed.length);
  };

  return {
    text: globs.join(' '),
    fits: (words) =>
      (isOpen ? words.length >= fixed.length : words.length === fixed.length) &&
      fixed.every((_, at) => {
        const word = words[at] ?? null;
        return word !== null && matches(at, word);
      }),
    couldFit: (words) => couldBe(words) || couldBe([programOf(words[0] ?? null), ...words.slice(1)]),
  };
}

function programOf(name: Argument): Argument {
  return name === null ? null : name.slice(name.lastIndexOf('/') + 1);
}
