import { setTimeout as wait } from 'node:timers/promises';
import { isApplet } from './applets.ts';
import type { Container } from './container.ts';
import { at, listAt } from './objects.ts';
import { emptyPipe, Pipe, type Sink } from './pipe.ts';
import { Terminal } from './terminal.ts';

/** A line of a log, without its line feed. */
export interface LogLine {
  readonly atMs: number;
  readonly text: string;
}

/** Lines that a log keeps. */
const maxLines = 1_000;

/** Of a line that a log keeps: the kubelet's. */
const maxLineCharacters = 16_384;

/** Between two runs on a terminal. */
const restartMs = 100;

/** A server says so every so often, while somebody looks. */
const tickMs = 500;

/**
 * The process that a container is there for. Which one goes by the spec: a command that the demo has is run. Without one
 * a terminal has a shell, and stdin one that answers each line with `got: LINE`. All else is a server that ticks while
 * somebody looks.
 */
export class MainProcess {
  readonly log: LogLine[] = [];
  /** Where attached clients type; absent for a process without stdin. */
  readonly stdin: Pipe | undefined;
  readonly terminal: Terminal | undefined;
  readonly #container: Container;
  readonly #attached = new Set<Sink>();
  readonly #followers = new Set<(line: LogLine) => void>();
  #line = '';
  #ticks = 0;
  #timer: NodeJS.Timeout | undefined;
  readonly #runs: 'server' | 'other';

  constructor(container: Container) {
    this.#container = container;
    const { spec, pod } = container;
    const output: Sink = { write: (bytes) => this.#write(bytes) };
    if (at(spec, 'stdin') === true) {
      this.terminal = at(spec, 'tty') === true ? new Terminal(output) : undefined;
      this.stdin = this.terminal?.input ?? new Pipe();
    }
    const [name = '', ...words] = argvOf(container);
    this.#runs = 'other';
    // It ends with its container, or is broken like one.
    if (name === 'echo') this.#record(`${words.join(' ')}\n`);
    else if (isApplet(name)) this.#run([name, ...words], output).catch(() => undefined);
    else if (this.terminal !== undefined) this.#run(['sh'], output).catch(() => undefined);
    else if (this.stdin !== undefined) this.#answer(this.stdin).catch(() => undefined);
    else {
      this.#runs = 'server';
      this.#record(`starting\nlistening on 8080\nserving as ${pod.metadata.name}\n`);
    }
  }

  /** Hands what is written from now on to a sink. Returns how to stop. */
  attach(sink: Sink): () => void {
    this.#attached.add(sink);
    return this.#looking(() => this.#attached.delete(sink));
  }

  /** Calls `each` for every line from now on. Returns how to stop. */
  follow(each: (line: LogLine) => void): () => void {
    this.#followers.add(each);
    return this.#looking(() => this.#followers.delete(each));
  }

  #looking(stop: () => void): () => void {
    if (this.#runs === 'server') {
      this.#timer ??= setInterval(() => void this.#write(Buffer.from(`tick ${++this.#ticks}\n`)), tickMs);
    }
    return () => {
      stop();
      if (this.#attached.size + this.#followers.size > 0) return;
      clearInterval(this.#timer);
      this.#timer = undefined;
    };
  }

  async #answer(stdin: Pipe): Promise<void> {
    for (;;) {
      const line = await stdin.readLine(this.#container.ended);
      await this.#write(Buffer.from(`got: ${line.replace(/\r?\n$/, '')}\n`));
    }
  }

  /** On a terminal it is run again when it ends, as its container would be started again. */
  async #run(argv: readonly string[], output: Sink): Promise<void> {
    const { terminal, stdin = emptyPipe() } = this;
    const stdout = terminal?.output ?? output;
    const stdio = { stdin, stdout, stderr: stdout, ...(terminal === undefined ? {} : { terminal }) };
    const { ended } = this.#container;
    for (;;) {
      await this.#container.run(argv, stdio, ended);
      if (terminal === undefined) return;
      await wait(restartMs, undefined, { signal: ended, ref: false });
    }
  }

  async #write(bytes: Buffer): Promise<void> {
    this.#record(bytes.toString());
    await Promise.all(
      [...this.#attached].map((sink) => sink.write(bytes).catch(() => void this.#attached.delete(sink))),
    );
  }

  #record(text: string): void {
    const parts = (this.#line + text).split('\n');
    this.#line = parts.pop() ?? '';
    for (const part of parts) {
      const line = { atMs: Date.now(), text: part.replace(/\r$/, '').slice(0, maxLineCharacters) };
      this.log.push(line);
      if (this.log.length > maxLines) this.log.shift();
      for (const follow of this.#followers) follow(line);
    }
  }
}

/** Command and arguments, with what they name of the environment. */
function argvOf({ spec, env }: Container): string[] {
  const words = [...listAt(spec, 'command'), ...listAt(spec, 'args')].map(String);
  return words.map((word) => word.replace(/\$\((\w+)\)/g, (whole, name: string) => env.get(name) ?? whole));
}
