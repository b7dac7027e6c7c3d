// What a stream runs, as far as it can be said before it runs. Pure.
import { type Grade, maskPrefix, type StreamRequest } from '@sluice/model';
import type { Argument, Words } from './command.ts';
import { type Insides, insides } from './programs.ts';
import { readScript } from './script.ts';

export interface Reading {
  /** Every simple command that is known to run, or may run: those in scripts, and those that others run. */
  readonly commands: readonly Words[];
  /**
   * Those that an allow has to speak of: not a shell that only runs a script, nor a word of a script that does nothing
   * outside of it, `exit` for one.
   */
  readonly needed: readonly Words[];
  /** It may run more than these. */
  readonly isOpaque: boolean;
  /** What is typed decides. */
  readonly isInteractive: boolean;
  /** Of both, `interactive`. */
  readonly grade: Grade;
}

/** So many commands and scripts inside each other, or all in all, are looked at; what has more is opaque. */
const maxDepth = 12;
const maxCommands = 500;
/** So much of scripts is read for one stream; what has more is opaque. UTF-16 units. */
const maxRead = 131_072;
/** Longer commands are not looked into. Words. */
const maxWords = 1_000;

/**
 * Reads what a stream runs. An attach runs nothing of its own: it is interactive when something can be typed. A
 * port-forward is plain. An exec without a command is opaque, as the server or the image decides.
 */
export function readStream(stream: StreamRequest): Reading {
  const reader = new CommandReader(stream.stdin);
  if (stream.kind === 'exec') reader.command(stream.command.map(known), { isFed: false, isScript: false, depth: 0 });
  const isTyped = stream.kind !== 'portforward' && (stream.tty || (stream.kind === 'attach' && stream.stdin));
  const isInteractive = isTyped || reader.isInteractive;
  const { commands, needed, isOpaque } = reader;
  return {
    commands,
    needed,
    isOpaque,
    isInteractive,
    grade: isInteractive ? 'interactive' : isOpaque ? 'opaque' : 'plain',
  };
}

/** Where something was masked, nobody knows what stands there: of a script, not even where its commands end. */
function known(argument: string): Argument {
  return argument.includes(maskPrefix) ? null : argument;
}

const tooLong: Insides = { commands: [], scripts: [], isOpaque: true, readsStdin: false };

/** Where a command stands. */
interface Place {
  /** Its stdin is something of a script. */
  readonly isFed: boolean;
  /** It is of a script, and may be a word of the shell. */
  readonly isScript: boolean;
  readonly depth: number;
}

const harmlessWords: ReadonlySet<string> = new Set([
  ':',
  'true',
  'false',
  'exit',
  'return',
  'break',
  'continue',
  'shift',
  'set',
]);

class CommandReader {
  readonly commands: Words[] = [];
  readonly needed: Words[] = [];
  isOpaque = false;
  isInteractive = false;
  readonly #hasStdin: boolean;
  #read = 0;

  constructor(hasStdin: boolean) {
    this.#hasStdin = hasStdin;
  }

  command(words: Words, { isFed, isScript, depth }: Place): void {
    const [name, ...args] = words;
    if (name === undefined || name === null || name === '' || name.endsWith('/') || this.#isTooMuch(depth)) {
      this.isOpaque = true;
      return;
    }
    const inside = words.length > maxWords ? tooLong : insides([name, ...args]);
    const { parameters, readsStdin } = inside;
    this.commands.push(words);
    if (parameters === undefined && !(isScript && harmlessWords.has(name))) this.needed.push(words);
    if (inside.isOpaque || (readsStdin && isFed)) this.isOpaque = true;
    if (readsStdin && !isFed && this.#hasStdin) this.isInteractive = true;
    for (const command of inside.commands) this.command(command, { isFed, isScript, depth: depth + 1 });
    for (const script of inside.scripts) {
      this.#read += script.source.length;
      if (this.#isTooMuch(depth)) break;
      const { commands, isOpaque } = readScript(script);
      if (isOpaque) this.isOpaque = true;
      for (const found of commands)
        this.command(found.words, { isFed: isFed || found.isFed, isScript: true, depth: depth + 1 });
    }
    // A script can run its parameters, and is opaque then: no name is known there.
    if (this.isOpaque && parameters !== undefined && parameters.length > 0)
      this.command(parameters, { isFed, isScript: false, depth: depth + 1 });
  }

  #isTooMuch(depth: number): boolean {
    if (depth < maxDepth && this.commands.length < maxCommands && this.#read <= maxRead) return false;
    this.isOpaque = true;
    return true;
  }
}
