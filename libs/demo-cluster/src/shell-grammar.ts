/** A part of a word. `quoted`: it is not split at blanks. */
export type Part = { readonly quoted: boolean } & (
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'variable'; readonly name: string }
  | { readonly kind: 'output'; readonly script: Script }
  | { readonly kind: 'sum'; readonly expression: string }
);

export type Word = readonly Part[];

export interface Redirect {
  readonly descriptor: number;
  readonly how: 'read' | 'write' | 'append' | 'duplicate';
  readonly target: Word;
}

export type Command = { readonly redirects: readonly Redirect[] } & (
  | {
      readonly kind: 'simple';
      readonly assignments: readonly (readonly [string, Word])[];
      readonly words: readonly Word[];
    }
  | { readonly kind: 'subshell' | 'group'; readonly body: Script }
  | { readonly kind: 'while'; readonly condition: Script; readonly body: Script }
  | { readonly kind: 'for'; readonly name: string; readonly words: readonly Word[]; readonly body: Script }
  | { readonly kind: 'if'; readonly branches: readonly (readonly [Script, Script])[]; readonly otherwise: Script }
);

/** A pipeline. `join`: whether it runs, by how the one before it went. */
export interface Step {
  readonly join: ';' | '&&' | '||';
  readonly negated: boolean;
  readonly commands: readonly Command[];
}

export type Script = readonly Step[];

export class ShellSyntaxError extends Error {}

/** The script may go on in a line that is not there yet. */
export class Incomplete extends ShellSyntaxError {}

/** Words that end a list, where a command could begin. */
const closers = ['do', 'done', 'then', 'elif', 'else', 'fi', '}', ')'];

/** Reads the part of the POSIX shell language that the demo has. Throws `ShellSyntaxError`, also for what it has not. */
export function parseScript(text: string): Script {
  const reader = new Reader(text);
  const script = reader.script();
  reader.expectEnd();
  return script;
}

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  script(): Script {
    const steps: Step[] = [];
    let join: Step['join'] = ';';
    for (;;) {
      this.#blanks('lines-too');
      if (this.#isAtEnd() || closers.some((word) => this.#isWord(word))) {
        if (join !== ';') throw this.#isAtEnd() ? new Incomplete('unexpected end') : this.#unexpected();
        return steps;
      }
      const negated = this.#skipWord('!');
      const commands = [this.#command()];
      while (this.#match(/[ \t]*\|(?!\|)/y) !== undefined) {
        this.#blanks('lines-too');
        commands.push(this.#command());
      }
      steps.push({ join, negated, commands });
      join = this.#skipOperator('&&') ? '&&' : this.#skip('||') ? '||' : ';';
      if (join === ';' && !this.#skip(';') && !/^[\n)]|^$/.test(this.#text.slice(this.#at))) throw this.#unexpected();
    }
  }

  expectEnd(): void {
    if (!this.#isAtEnd()) throw this.#unexpected();
  }

  #command(): Command {
    this.#blanks('this-line');
    if (this.#isAtEnd()) throw new Incomplete('unexpected end');
    if (this.#skipOperator('(')) return this.#redirected({ kind: 'subshell', body: this.#until(')') });
    if (this.#skipWord('{')) return this.#redirected({ kind: 'group', body: this.#until('}') });
    if (this.#skipWord('while')) {
      return this.#redirected({ kind: 'while', condition: this.#until('do'), body: this.#until('done') });
    }
    if (this.#skipWord('for')) return this.#redirected(this.#for());
    if (this.#skipWord('if')) return this.#redirected(this.#if());
    return this.#simple();
  }

  #for(): Omit<Extract<Command, { kind: 'for' }>, 'redirects'> {
    const [part] = this.#word() ?? [];
    if (part?.kind !== 'text' || !this.#skipWord('in')) throw this.#unexpected();
    const words: Word[] = [];
    for (let word = this.#word(); word !== undefined; word = this.#word()) words.push(word);
    this.#skipOperator(';');
    this.#blanks('lines-too');
    if (!this.#skipWord('do')) throw this.#unexpected();
    return { kind: 'for', name: part.text, words, body: this.#until('done') };
  }

  #if(): Omit<Extract<Command, { kind: 'if' }>, 'redirects'> {
    const branches: [Script, Script][] = [];
    do {
      const condition = this.#until('then');
      branches.push([condition, this.script()]);
    } while (this.#skipWord('elif'));
    const otherwise = this.#skipWord('else') ? this.script() : [];
    if (!this.#skipWord('fi')) throw this.#unexpected();
    return { kind: 'if', branches, otherwise };
  }

  #until(closer: string): Script {
    const script = this.script();
    if (!(closer === ')' ? this.#skipOperator(closer) : this.#skipWord(closer))) throw this.#unexpected();
    return script;
  }

  #redirected<C extends object>(command: C): C & { redirects: Redirect[] } {
    const redirects: Redirect[] = [];
    for (let found = this.#redirect(); found !== undefined; found = this.#redirect()) redirects.push(found);
    return { ...command, redirects };
  }

  #simple(): Command {
    const assignments: [string, Word][] = [];
    const words: Word[] = [];
    const redirects: Redirect[] = [];
    for (;;) {
      const redirect = this.#redirect();
      if (redirect !== undefined) {
        redirects.push(redirect);
        continue;
      }
      const assigned = words.length === 0 ? this.#match(/[A-Za-z_]\w*=/y) : undefined;
      const word = this.#word();
      if (assigned !== undefined) assignments.push([assigned.slice(0, -1), word ?? []]);
      else if (word === undefined) break;
      else words.push(word);
    }
    if (words.length + assignments.length + redirects.length === 0) throw this.#unexpected();
    return { kind: 'simple', assignments, words, redirects };
  }

  #redirect(): Redirect | undefined {
    this.#blanks('this-line');
    const found = this.#match(/\d?(?:>>|>&|<&|>|<(?!<))/y);
    if (found === undefined) return undefined;
    const operator = found.replace(/^\d/, '');
    const how = { '>': 'write', '>>': 'append', '<': 'read', '>&': 'duplicate', '<&': 'duplicate' } as const;
    const target = this.#word();
    if (target === undefined) throw this.#unexpected();
    const descriptor = found === operator ? (operator.startsWith('<') ? 0 : 1) : Number(found[0]);
    return { descriptor, how: how[operator as keyof typeof how], target };
  }

  /** The next word of this line, or `undefined`. */
  #word(): Word | undefined {
    this.#blanks('this-line');
    const parts: Part[] = [];
    for (;;) {
      const plain = this.#match(/[^\s'"\\$;&|<>()`]+/y);
      if (plain !== undefined) parts.push({ kind: 'text', quoted: false, text: plain });
      else if (this.#skip("'")) parts.push({ kind: 'text', quoted: true, text: this.#upTo("'") });
      else if (this.#skip('"')) parts.push(...this.#doubleQuoted());
      else if (this.#match(/\\\n/y) !== undefined) continue;
      else if (this.#skip('\\')) parts.push({ kind: 'text', quoted: true, text: this.#any() });
      else if (this.#text[this.#at] === '$') parts.push(this.#dollar(false));
      else break;
    }
    return parts.length === 0 ? undefined : parts;
  }

  #doubleQuoted(): Part[] {
    const parts: Part[] = [{ kind: 'text', quoted: true, text: '' }];
    while (!this.#skip('"')) {
      const plain = this.#match(/[^"\\$]+/y);
      if (plain !== undefined) parts.push({ kind: 'text', quoted: true, text: plain });
      else if (this.#text[this.#at] === '$') parts.push(this.#dollar(true));
      else {
        const escaped = this.#match(/\\["\\$`]/y)?.slice(1);
        parts.push({ kind: 'text', quoted: true, text: escaped ?? this.#any() });
      }
    }
    return parts;
  }

  #dollar(quoted: boolean): Part {
    const sum = this.#match(/\$\(\([^()]*\)\)/y);
    if (sum !== undefined) return { kind: 'sum', quoted, expression: sum.slice(3, -2) };
    if (this.#skip('$(')) return { kind: 'output', quoted, script: this.#until(')') };
    const name = this.#match(/\$(?:\{\w+\}|[A-Za-z_]\w*|[?$#@*0-9])/y);
    if (name !== undefined) return { kind: 'variable', quoted, name: name.replace(/[${}]/g, '') || '$' };
    this.#at++;
    return { kind: 'text', quoted, text: '$' };
  }

  #upTo(closer: string): string {
    const end = this.#text.indexOf(closer, this.#at);
    if (end < 0) throw new Incomplete(`no closing ${closer}`);
    const text = this.#text.slice(this.#at, end);
    this.#at = end + 1;
    return text;
  }

  #any(): string {
    if (this.#isAtEnd()) throw new Incomplete('unexpected end');
    return this.#text[this.#at++] ?? '';
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const [found] = pattern.exec(this.#text) ?? [];
    this.#at += found?.length ?? 0;
    return found;
  }

  #blanks(which: 'this-line' | 'lines-too'): void {
    this.#match(which === 'lines-too' ? /(?:\s|\\\n|#.*)*/y : /(?:[ \t]|\\\n|(?<=\s)#.*)*/y);
  }

  #skip(token: string): boolean {
    if (!this.#text.startsWith(token, this.#at)) return false;
    this.#at += token.length;
    return true;
  }

  #skipOperator(operator: string): boolean {
    this.#blanks('this-line');
    return this.#skip(operator);
  }

  #isWord(word: string): boolean {
    if (!this.#text.startsWith(word, this.#at)) return false;
    return word === ')' || !/[^\s;&|<>()]/.test(this.#text[this.#at + word.length] ?? ' ');
  }

  #skipWord(word: string): boolean {
    this.#blanks('this-line');
    const isNext = this.#isWord(word);
    if (isNext) this.#at += word.length;
    return isNext;
  }

  #isAtEnd(): boolean {
    return this.#at >= this.#text.length;
  }

  #unexpected(): ShellSyntaxError {
    if (this.#isAtEnd()) return new Incomplete('unexpected end of file');
    return new ShellSyntaxError(`unexpected "${this.#text.slice(this.#at).split(/\s/, 1)[0]}"`);
  }
}
