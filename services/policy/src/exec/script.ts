// A shell script, read into the simple commands it is made of. Pure.
import {
  type ArithmeticExpansionPart,
  type Assignment,
  type Command,
  type CommandExpansionPart,
  forEachChild,
  type ParameterExpansionPart,
  parse,
  type Redirection,
  type SyntaxNode,
  type Word,
  type WordPart,
} from 'unbash';
import type { Argument, Script, Words } from './command.ts';

/** A command of a script. */
export interface Found {
  readonly words: Words;
  /** Its stdin is something of the script: a pipe, a file, a text. */
  readonly isFed: boolean;
}

export interface ScriptReading {
  /** Every command that could be found, those of an opaque script too. */
  readonly commands: readonly Found[];
  /** There may be more to it than these commands, or other ones. */
  readonly isOpaque: boolean;
}

/** Longer scripts are opaque, and are not read at all. UTF-16 units. */
const maxLength = 32_768;
/** As are those with more brackets and backquotes: what stands in them is read once for each. */
const maxNested = 200;

/** Reads a script. What is not known for certain to be harmless makes it opaque. */
export function readScript({ source, dialect }: Script): ScriptReading {
  if (source.length > maxLength || (source.match(/[({`]/g)?.length ?? 0) > maxNested)
    return { commands: [], isOpaque: true };
  const reader = new ScriptReader(dialect === 'bash');
  if (!isUnequivocal(source)) reader.isOpaque = true;
  try {
    reader.read(parse(source), false);
  } catch {
    // A script that is nested too deep, for one.
    reader.isOpaque = true;
  }
  return reader;
}

/**
 * Whether a text looks to people as it is read by a shell: no control characters but tab and newline, nothing
 * invisible, no direction marks, no blanks but the space, nothing that is a look-alike of another character.
 */
export function isUnequivocal(text: string): boolean {
  return !/[^\P{C}\t\n]|[^\P{Z} ]|[\u115f\u1160\u3164\uffa0]/u.test(text) && text.normalize('NFKC') === text;
}

/**
 * Whether a variable may be set without changing what runs: small letters, and no proxy. PATH, IFS, LD_PRELOAD and many
 * more have capitals.
 */
export function isHarmlessVariable(name: string): boolean {
  return (/^[a-z_][a-z0-9_]*$/.test(name) && !name.endsWith('_proxy')) || harmlessCapitals.test(name);
}

const harmlessCapitals = /^(COLUMNS|LANG|LC_[A-Z]+|LINES|NO_COLOR|TERM|TZ)$/;

/** Where output may go and be no file. */
const noFiles = /^\/dev\/(null|stdout|stderr|fd\/[12])$/;
/** Bash opens connections by these names. */
const connections = /^\/dev\/(tcp|udp)\//;
const digitsAndOperators = /^\$\(\([\d\s+*/%()<>&|-]+\)\)$/;
/** In these, bash takes a text for a formula, in which a subscript may hold a command. */
const arithmeticTests: ReadonlySet<string> = new Set(['-eq', '-ne', '-lt', '-le', '-gt', '-ge', '-v', '-R']);

/** What does what is inside of it. Functions, arithmetic, coprocesses and select are not here. */
const transparent: ReadonlySet<SyntaxNode['type']> = new Set([
  'Statement',
  'CompoundList',
  'AndOr',
  'Subshell',
  'BraceGroup',
  'If',
  'Elif',
  'While',
  'Case',
  'CaseItem',
]);
const tests: ReadonlySet<SyntaxNode['type']> = new Set([
  'TestCommand',
  'TestLogical',
  'TestNot',
  'TestGroup',
  'TestUnary',
  'TestBinary',
]);

class ScriptReader implements ScriptReading {
  readonly commands: Found[] = [];
  isOpaque = false;
  readonly #isBash: boolean;

  constructor(isBash: boolean) {
    this.#isBash = isBash;
  }

  /** `isFed`: what is read here has its stdin from the script. */
  read(node: SyntaxNode, isFed: boolean): void {
    if (node.type === 'Command') this.#command(node, isFed);
    else if (node.type === 'Word') this.#argument(node, isFed);
    else if (node.type === 'Redirected') this.read(node.command, this.#redirects(node.redirects, isFed));
    else if (node.type === 'Pipeline') {
      if (node.operators.includes('|&') || node.prefixes.some(({ type }) => type === 'Time')) this.#onlyBash();
      for (const [index, command] of node.commands.entries()) this.read(command, isFed || index > 0);
    } else {
      this.#judge(node);
      this.#children(node, isFed);
    }
  }

  /** What is not known to do no more than what is inside of it. */
  #judge(node: SyntaxNode): void {
    if (node.type === 'Script') {
      // Backquotes inside backquotes are read differently by different shells.
      if (node.source !== undefined || ('errors' in node && node.errors !== undefined)) this.isOpaque = true;
    } else if (node.type === 'For') this.#assigned(node.name.text);
    else if (tests.has(node.type)) {
      this.#onlyBash();
      if ('operator' in node && arithmeticTests.has(node.operator)) this.isOpaque = true;
    } else if (!transparent.has(node.type)) this.isOpaque = true;
  }

  #children(node: SyntaxNode, isFed: boolean): void {
    forEachChild(node, (child) => this.read(child, isFed));
  }

  /** What other shells read in another way, or not at all. */
  #onlyBash(): void {
    if (!this.#isBash) this.isOpaque = true;
  }

  #assigned(name: string): void {
    if (!isHarmlessVariable(name)) this.isOpaque = true;
  }

  #command(command: Command, outside: boolean): void {
    const isFed = this.#redirects(command.redirects, outside);
    for (const part of command.prefix) if (part.type === 'Assignment') this.#assignment(part, isFed);
    if (command.name === undefined) return;
    const words = [command.name, ...command.args].map((word) =>
      word.type === 'Word' ? this.#argument(word, isFed) : this.#assignment(word, isFed),
    );
    this.commands.push({ words, isFed });
  }

  /** As an argument, which it is behind `export` and the like. */
  #assignment({ name, value, index }: Assignment, isFed: boolean): Argument {
    this.#assigned(name);
    if (index !== undefined) this.isOpaque = true;
    if (value.type === 'Word') {
      const text = this.#argument(value, isFed);
      return text === null ? null : `${name}=${text}`;
    }
    this.#onlyBash();
    for (const element of value.elements) this.#argument(element, isFed);
    return null;
  }

  /** Whether the command is fed after these. */
  #redirects(redirections: readonly Redirection[], outside: boolean): boolean {
    let isFed = outside;
    for (const one of redirections) {
      if (one.descriptor?.type === 'FileDescriptorVariable') this.isOpaque = true;
      switch (one.type) {
        case 'HereString':
          this.#onlyBash();
          if (one.target !== undefined) this.#argument(one.target, isFed);
          isFed = true;
          break;
        case 'HereDoc':
          if (one.closing === undefined || !/^\w+$/.test(one.delimiter?.value ?? '')) this.isOpaque = true;
          for (const part of one.body.parts ?? []) this.#part(part, isFed);
          isFed = true;
          break;
        case 'Redirect': {
          const target = one.target === undefined ? null : this.#argument(one.target, isFed);
          isFed = this.#redirect(one.operator, target) || isFed;
        }
      }
    }
    return isFed;
  }

  /** Whether it feeds the command. */
  #redirect(operator: string, target: Argument): boolean {
    switch (operator) {
      case '<':
        if (target === '/dev/null') return false;
        // Who may read a file by name may read it so, and nobody else.
        if (target !== null) this.commands.push({ words: ['cat', target], isFed: false });
        if (target === null || connections.test(target)) this.isOpaque = true;
        return true;
      case '>&':
      case '<&':
        if (target === null || !/^(\d+-?|-)$/.test(target)) this.isOpaque = true;
        return operator === '<&';
      case '>':
      case '>>':
      case '>|':
        // A write to a file, which is no command.
        if (target === null || !noFiles.test(target)) this.isOpaque = true;
        return false;
      default:
        // `&>` is two things in other shells; `<>` writes too.
        this.isOpaque = true;
        return operator === '<>';
    }
  }

  #argument(word: Word, isFed: boolean): Argument {
    // A tilde may be somebody's home.
    if (word.parts === undefined) return word.text.includes('~') ? null : word.value;
    let text: Argument = '';
    for (const part of word.parts) {
      const piece = this.#part(part, isFed);
      text = text === null || piece === null ? null : text + piece;
    }
    return text;
  }

  /** The text of a part of a word. */
  #part(part: WordPart, isFed: boolean): Argument {
    switch (part.type) {
      case 'Literal':
        return part.text.includes('~') ? null : part.value;
      case 'SingleQuoted':
        return part.value;
      case 'AnsiCQuoted':
        this.#onlyBash();
        return part.value;
      case 'DoubleQuoted': {
        const pieces = part.parts.map((child) => (child.type === 'Literal' ? child.value : this.#part(child, isFed)));
        return pieces.includes(null) ? null : pieces.join('');
      }
      case 'SimpleExpansion':
        return null;
      case 'Glob':
        for (const inner of part.parts ?? []) this.#part(inner, isFed);
        return null;
      case 'BraceExpansion':
        this.#onlyBash();
        for (const inner of part.parts ?? []) this.#part(inner, isFed);
        return null;
      case 'CommandExpansion':
        this.#substitution(part, isFed);
        return null;
      case 'ParameterExpansion':
        this.#parameter(part, isFed);
        return null;
      case 'ArithmeticExpansion':
        this.#arithmetic(part, isFed);
        return null;
      case 'ProcessSubstitution':
      case 'LocaleString':
      case 'ExtendedGlob':
        this.isOpaque = true;
        this.#children(part, true);
        return null;
    }
  }

  #substitution({ text, script }: CommandExpansionPart, isFed: boolean): void {
    // `${ …; }` is new in bash.
    if (script === undefined || text.startsWith('${')) this.isOpaque = true;
    if (script !== undefined) this.read(script, isFed);
  }

  #parameter(part: ParameterExpansionPart, isFed: boolean): void {
    const { prefix, index, operation, parameter } = part;
    // By another variable's value, which may hold a subscript and in it a command.
    if (prefix === '!' || index !== undefined) this.isOpaque = true;
    switch (operation?.type) {
      case undefined:
      case 'Remove':
        break;
      case 'Default':
        if (operation.operator.endsWith('=')) this.#assigned(parameter);
        break;
      case 'Replace':
      case 'CaseModification':
        this.#onlyBash();
        break;
      case 'Slice':
      case 'Transform':
      case 'Names':
      case 'Unknown':
        this.isOpaque = true;
    }
    forEachChild(part, (child) => {
      if (child.type === 'Word') this.#argument(child, isFed);
      else forEachChild(child, (word) => this.read(word, isFed));
    });
  }

  /** With a variable in it, its value is a formula of its own, and may hold a command. */
  #arithmetic(part: ArithmeticExpansionPart, isFed: boolean): void {
    if (digitsAndOperators.test(part.text)) return;
    this.isOpaque = true;
    this.#children(part, isFed);
  }
}
