// A story as those who sat at the keyboards saw it: each command with what it printed, by whose hand.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Ended } from '@sluice/testing';

/** Who types: in the shell of the agent, or in that of whoever runs Sluice and decides. */
export type Hand = 'agent' | 'you';

/** Programs without their paths, and what they are given. */
export type Command = readonly [program: string, ...args: readonly string[]];

/** A path of this machine, and what is written in its place. */
type Named = readonly [path: string, name: string];

export class Transcript {
  readonly #named: readonly Named[];
  #text = '';

  constructor(...named: readonly Named[]) {
    this.#named = named;
  }

  /** A command that has ended. `input`: what was piped into it, by its name. */
  ran(hand: Hand, command: Command, { stdout, stderr }: Pick<Ended, 'stdout' | 'stderr'>, input?: string): void {
    const typed = input === undefined ? lineOf(command) : `${lineOf(command)} < ${input}`;
    this.#write(`${hand}$ ${typed}`, stdout + stderr);
  }

  /** A command that does not come back yet. */
  waits(hand: Hand, command: Command): void {
    this.#write(`${hand}$ ${lineOf(command)}`, '(it waits)');
  }

  /** A command that shows things as they happen. */
  goesOn(hand: Hand, command: Command): void {
    this.#write(`${hand}$ ${lineOf(command)}`, '(it goes on)');
  }

  /** The end of one that waited. */
  cameBack(hand: Hand, command: Command, { stdout, stderr }: Ended): void {
    this.#write(`${hand}$ ${lineOf(command)}`, `(it comes back)\n${stdout}${stderr}`);
  }

  /** One that went on until it was stopped. */
  stopped(hand: Hand, command: Command, seen: string): void {
    this.#write(`${hand}$ ${lineOf(command)}`, `${seen.replace(/\n?$/, '\n')}^C`);
  }

  /** Writes it to `SLUICE_E2E_TRANSCRIPT`, where that names a directory. */
  save(name: string): void {
    const folder = process.env['SLUICE_E2E_TRANSCRIPT'] ?? '';
    if (folder === '') return;
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, `${name}.txt`), this.#text);
  }

  #write(line: string, shown: string): void {
    let text = `${line}\n${shown}`.trimEnd();
    for (const [path, name] of this.#named) text = text.replaceAll(path, name);
    this.#text += `${text}\n\n`;
  }
}

function lineOf(command: Command): string {
  return command.map(quoted).join(' ');
}

/** As a shell takes it. */
function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
