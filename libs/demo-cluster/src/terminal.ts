import { Pipe, type Sink } from './pipe.ts';

const interrupt = 0x03;
const endOfFile = 0x04;
const backspaces = [0x08, 0x7f];
const carriageReturn = 0x0d;
const lineFeed = 0x0a;
const killLine = 0x15;

/** A terminal in its usual mode: it echoes, hands over whole lines, and makes of ^C an interrupt, of ^D an end. */
export class Terminal {
  /** What a process reads. */
  readonly input = new Pipe();
  /** Where a process writes. */
  readonly output: Sink;
  rows = 24;
  columns = 80;
  /** Called on ^C. */
  onInterrupt: () => void = () => undefined;
  readonly #screen: Sink;
  #line: number[] = [];
  /** One character a byte. */
  #shown = '';

  constructor(screen: Sink) {
    this.#screen = screen;
    this.output = { write: (bytes) => screen.write(withCarriageReturns(bytes)) };
  }

  /** Takes what was typed. */
  async type(bytes: Buffer): Promise<void> {
    for (const byte of bytes) await this.#take(byte === carriageReturn ? lineFeed : byte);
    await this.#echo();
  }

  async #take(byte: number): Promise<void> {
    if (byte === lineFeed) {
      this.#shown += '\r\n';
      await this.#handOver(...this.#line, lineFeed);
    } else if (byte === endOfFile) {
      await this.#handOver(...this.#line);
    } else if (byte === interrupt) {
      this.#line = [];
      this.#shown += '^C\r\n';
      await this.#echo();
      this.onInterrupt();
    } else if (backspaces.includes(byte)) {
      if (this.#line.pop() !== undefined) this.#shown += '\b \b';
    } else if (byte === killLine) {
      this.#shown += '\b \b'.repeat(this.#line.length);
      this.#line = [];
    } else {
      this.#line.push(byte);
      this.#shown += String.fromCharCode(byte);
    }
  }

  async #handOver(...line: number[]): Promise<void> {
    this.#line = [];
    await this.#echo();
    if (line.length === 0) this.input.endOnce();
    else await this.input.write(Buffer.from(line));
  }

  /** Shows what was typed since the last time. */
  async #echo(): Promise<void> {
    const shown = this.#shown;
    this.#shown = '';
    if (shown !== '') await this.#screen.write(Buffer.from(shown, 'latin1'));
  }
}

function withCarriageReturns(bytes: Buffer): Buffer {
  return bytes.includes(lineFeed) ? Buffer.from(bytes.toString('latin1').replaceAll('\n', '\r\n'), 'latin1') : bytes;
}
