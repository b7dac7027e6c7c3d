import { runApplet } from './applets.ts';
import type { Device, RegularFile } from './files.ts';
import { FileError } from './files.ts';
import { absolute, complain, type Job, Killed, maxTextBytes, type Stdio, yieldNow } from './job.ts';
import { BrokenPipe, emptyPipe, Pipe, type Sink } from './pipe.ts';
import {
  type Command,
  Incomplete,
  parseScript,
  type Redirect,
  type Script,
  ShellSyntaxError,
  type Word,
} from './shell-grammar.ts';

/** `sh`, `sh -c SCRIPT [NAME ARGS]`, `sh FILE`; without a script it reads one from stdin, line by line. */
export async function sh(job: Job): Promise<number> {
  const end = job.args.findIndex((arg) => !/^-[a-z]+$/.test(arg));
  const options = job.args.slice(0, end < 0 ? undefined : end).join('');
  const [first, ...rest] = end < 0 ? [] : job.args.slice(end);
  if (options.includes('c')) return new Shell(job, [rest[0] ?? 'sh', ...rest.slice(1)]).runText(first ?? '');
  if (first === undefined) return new Shell(job, ['sh']).runLines(job);
  const text = Array.from(job.container.files.read(absolute(job, first)));
  return new Shell(job, [first, ...rest]).runText(Buffer.concat(text).toString());
}

/** `exit`. */
class Exit extends Error {
  readonly code: number;
  constructor(code: number) {
    super('exit');
    this.code = code;
  }
}

type Builtin = (shell: Shell, args: readonly string[], stdio: Stdio) => Promise<number> | number;

const builtins: Readonly<Record<string, Builtin>> = {
  ':': () => 0,
  cd: (shell, [path = '/root']) => shell.enter(path),
  exit: (shell, [code]) => {
    throw new Exit(code === undefined ? shell.status : Number(code) & 255);
  },
  export: (shell, args) => {
    for (const arg of args) shell.assign(...(arg.split(/=(.*)/s, 2) as [string, string?]));
    return 0;
  },
  read: (shell, args, { stdin }) =>
    shell.readVariables(
      args.filter((arg) => arg !== '-r'),
      stdin,
    ),
  unset: (shell, args) => {
    for (const arg of args) shell.env.delete(arg);
    return 0;
  },
};

class Shell {
  readonly env: Map<string, string>;
  status = 0;
  readonly #job: Job;
  /** Its name first. */
  readonly #args: readonly string[];
  #directory: string;
  #signal: AbortSignal;

  constructor(job: Job, args: readonly string[]) {
    this.#job = job;
    this.#args = args;
    this.env = new Map(job.env);
    this.#directory = job.directory;
    this.#signal = job.signal;
  }

  async runText(text: string): Promise<number> {
    try {
      return await this.run(parseScript(text), this.#job);
    } catch (error) {
      if (error instanceof Exit) return error.code;
      if (error instanceof ShellSyntaxError) return complain(this.#job, `syntax error: ${error.message}`, 2);
      throw error;
    }
  }

  /** Runs what stdin has, line by line, with a prompt and interrupts if it is a terminal. */
  async runLines({ stdin, stderr, terminal, signal }: Job): Promise<number> {
    let text = '';
    for (;;) {
      const interrupt = new AbortController();
      if (terminal !== undefined) terminal.onInterrupt = () => interrupt.abort(new Killed(130));
      this.#signal = AbortSignal.any([signal, interrupt.signal]);
      try {
        if (terminal !== undefined) await terminal.output.write(Buffer.from(text === '' ? '/ # ' : '> '));
        const line = await stdin.readLine(this.#signal);
        if (line === '') return text === '' ? this.status : await this.runText(text);
        text += line;
        const script = parseScript(text);
        text = '';
        this.status = await this.run(script, this.#job);
      } catch (error) {
        if (error instanceof Incomplete) continue;
        text = '';
        if (error instanceof Exit) return error.code;
        if (error instanceof ShellSyntaxError) {
          await stderr.write(Buffer.from(`sh: syntax error: ${error.message}\n`));
          this.status = 2;
        } else if (error instanceof Killed && !signal.aborted) this.status = error.exitCode;
        else throw error;
      }
    }
  }

  async run(script: Script, stdio: Stdio): Promise<number> {
    for (const { join, negated, commands } of script) {
      if (join === '&&' ? this.status !== 0 : join === '||' && this.status === 0) continue;
      const status = await this.#pipeline(commands, stdio);
      this.status = negated ? Number(status === 0) : status;
    }
    return this.status;
  }

  enter(path: string): number {
    const directory = absolute({ directory: this.#directory }, path);
    if (this.#job.container.files.get(directory).kind !== 'directory') throw new FileError('Not a directory');
    this.#directory = directory;
    return 0;
  }

  assign(name: string, value?: string): void {
    if (value !== undefined) this.env.set(name, value);
  }

  async readVariables(names: readonly string[], stdin: Pipe): Promise<number> {
    const line = await stdin.readLine(this.#signal);
    const words = line.trim().split(/[ \t]+/);
    for (const [index, name] of names.entries())
      this.env.set(name, index === names.length - 1 ? words.slice(index).join(' ') : (words[index] ?? ''));
    return line === '' ? 1 : 0;
  }

  async #pipeline(commands: readonly Command[], stdio: Stdio): Promise<number> {
    const [only] = commands;
    if (commands.length === 1 && only !== undefined) return this.#command(only, stdio);
    let stdin = stdio.stdin;
    const running = commands.map(async (command, index) => {
      const reads = stdin;
      const writes = index < commands.length - 1 ? new Pipe() : undefined;
      stdin = writes ?? stdin;
      try {
        return await this.#inSubshell((shell) =>
          shell.#command(command, { ...stdio, stdin: reads, stdout: writes ?? stdio.stdout }),
        );
      } finally {
        if (index > 0) reads.break();
        writes?.end();
      }
    });
    const ends = await Promise.allSettled(running);
    const failed = ends.find(({ status }) => status === 'rejected');
    if (failed?.status === 'rejected') throw failed.reason;
    const last = ends.at(-1);
    return last?.status === 'fulfilled' ? last.value : 1;
  }

  async #inSubshell(run: (shell: Shell) => Promise<number>): Promise<number> {
    const shell = new Shell(
      { ...this.#job, env: this.env, directory: this.#directory, signal: this.#signal },
      this.#args,
    );
    shell.status = this.status;
    try {
      return await run(shell);
    } catch (error) {
      if (error instanceof Exit) return error.code;
      throw error;
    }
  }

  async #command(command: Command, outer: Stdio): Promise<number> {
    this.#signal.throwIfAborted();
    let stdio: Stdio;
    try {
      stdio = await this.#redirected(command.redirects, outer);
    } catch (error) {
      return this.#failed('sh', error, outer);
    }
    switch (command.kind) {
      case 'simple':
        return this.#simple(command, stdio);
      case 'group':
        return this.run(command.body, stdio);
      case 'subshell':
        return this.#inSubshell((shell) => shell.run(command.body, stdio));
      case 'while': {
        let status = 0;
        while ((await this.run(command.condition, stdio)) === 0) {
          await yieldNow();
          this.#signal.throwIfAborted();
          status = await this.run(command.body, stdio);
        }
        return status;
      }
      case 'for': {
        let status = 0;
        for (const value of await this.#fields(command.words, stdio)) {
          this.env.set(command.name, value);
          status = await this.run(command.body, stdio);
        }
        return status;
      }
      case 'if': {
        for (const [condition, body] of command.branches)
          if ((await this.run(condition, stdio)) === 0) return this.run(body, stdio);
        this.status = 0;
        return this.run(command.otherwise, stdio);
      }
    }
  }

  async #simple({ assignments, words }: Extract<Command, { kind: 'simple' }>, stdio: Stdio): Promise<number> {
    const [name, ...args] = await this.#fields(words, stdio);
    const env = name === undefined ? this.env : new Map(this.env);
    for (const [variable, value] of assignments) {
      const text = (await this.#expanded(value, stdio)).join('');
      if (text.length > maxTextBytes) return this.#failed('sh', new FileError('Argument list too long'), stdio);
      env.set(variable, text);
    }
    if (name === undefined) return 0;
    try {
      const builtin = Object.hasOwn(builtins, name) ? builtins[name] : undefined;
      if (builtin !== undefined) return await builtin(this, args, stdio);
      const { container, depth } = this.#job;
      return await runApplet({
        ...stdio,
        container,
        name,
        args,
        env,
        directory: this.#directory,
        depth: depth + 1,
        signal: this.#signal,
      });
    } catch (error) {
      return this.#failed(name, error, stdio);
    }
  }

  async #failed(name: string, error: unknown, { stderr }: Stdio): Promise<number> {
    if (error instanceof BrokenPipe) return 141;
    if (!(error instanceof FileError)) throw error;
    await stderr.write(Buffer.from(`${name}: ${error.message}\n`));
    return 1;
  }

  async #redirected(redirects: readonly Redirect[], outer: Stdio): Promise<Stdio> {
    const stdio = { ...outer };
    for (const { descriptor, how, target } of redirects) {
      const name = (await this.#expanded(target, outer)).join('');
      const path = absolute({ directory: this.#directory }, name);
      if (how === 'read') stdio.stdin = this.#reading(path);
      else if (how === 'duplicate') {
        if (descriptor === 1) stdio.stdout = name === '2' ? stdio.stderr : stdio.stdout;
        else stdio.stderr = name === '1' ? stdio.stdout : stdio.stderr;
      } else {
        const standard = {
          '/dev/stdout': stdio.stdout,
          '/dev/stderr': stdio.stderr,
          '/dev/tty': stdio.terminal?.output,
        }[path];
        stdio[descriptor === 2 ? 'stderr' : 'stdout'] = standard ?? this.#writing(path, how);
      }
    }
    return stdio;
  }

  #reading(path: string): Pipe {
    const { files } = this.#job.container;
    if (files.get(path).kind === 'directory') throw new FileError(`${path}: Is a directory`);
    const pipe = new Pipe();
    const fill = async (): Promise<void> => {
      for (const chunk of files.read(path)) await pipe.write(chunk);
      pipe.end();
    };
    // Who stops reading breaks the pipe, or is gone with its container.
    fill().catch(() => undefined);
    return pipe;
  }

  #writing(path: string, how: 'write' | 'append'): Sink {
    const { files } = this.#job.container;
    const current = how === 'append' ? files.find(path) : undefined;
    const file: RegularFile | Device =
      current === undefined || current.kind === 'directory' ? files.create(path) : current;
    return { write: async (bytes) => files.append(file, bytes) };
  }

  async #fields(words: readonly Word[], stdio: Stdio): Promise<string[]> {
    const fields: string[] = [];
    for (const word of words) fields.push(...(await this.#expanded(word, stdio)));
    return fields;
  }

  /** What a word becomes: what is not quoted is split at blanks, and may become nothing. */
  async #expanded(word: Word, stdio: Stdio): Promise<string[]> {
    const fields: string[] = [];
    let isOpen = false;
    const add = (text: string): void => {
      fields.push(isOpen ? (fields.pop() ?? '') + text : text);
      isOpen = true;
    };
    for (const part of word) {
      if (part.kind === 'text') {
        add(part.text);
        continue;
      }
      const value = await this.#valueOf(part, stdio);
      if (part.quoted) {
        add(value);
        continue;
      }
      if (value === '') continue;
      if (/^\s/.test(value)) isOpen = false;
      for (const field of value.split(/\s+/).filter((text) => text !== '')) {
        add(field);
        isOpen = false;
      }
      isOpen = !/\s$/.test(value);
    }
    return fields;
  }

  async #valueOf(part: Exclude<Word[number], { kind: 'text' }>, stdio: Stdio): Promise<string> {
    switch (part.kind) {
      case 'variable':
        return this.#variable(part.name);
      case 'sum':
        return String(this.#sum(part.expression));
      case 'output': {
        const chunks: Buffer[] = [];
        let bytes = 0;
        const stdout: Sink = {
          async write(chunk) {
            if ((bytes += chunk.length) > maxTextBytes) throw new BrokenPipe('more than a variable holds');
            chunks.push(chunk);
          },
        };
        this.status = await this.#inSubshell((shell) =>
          shell.run(part.script, { ...stdio, stdin: emptyPipe(), stdout }),
        );
        return Buffer.concat(chunks).toString().replace(/\n+$/, '');
      }
    }
  }

  #variable(name: string): string {
    if (name === '?') return String(this.status);
    if (name === '$') return '7';
    if (name === '#') return String(this.#args.length - 1);
    if (name === '@' || name === '*') return this.#args.slice(1).join(' ');
    if (/^\d+$/.test(name)) return this.#args[Number(name)] ?? '';
    return this.env.get(name) ?? '';
  }

  /** Sums and products of whole numbers, from left to right; the demo needs no more. */
  #sum(expression: string): number {
    const tokens = expression.match(/\d+|[A-Za-z_]\w*|[-+*/%]/g) ?? [];
    let total = 0;
    let operator = '+';
    for (const token of tokens) {
      if (/^[-+*/%]$/.test(token)) {
        operator = token;
        continue;
      }
      const value = /^\d/.test(token) ? Number(token) : Number(this.env.get(token) ?? 0);
      if (operator === '+') total += value;
      else if (operator === '-') total -= value;
      else if (operator === '*') total *= value;
      else total = operator === '/' ? Math.trunc(total / value) : total % value;
    }
    return total;
  }
}
