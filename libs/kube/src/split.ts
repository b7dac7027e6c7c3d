import { backslash, closeBrace, closeBracket, colon, comma, isSpace, openBrace, openBracket, quote } from './json.ts';

/** A piece of a response, in order: a whole JSON value to be masked, or the bytes between values. */
export interface Piece {
  readonly kind: 'value' | 'between';
  readonly bytes: Buffer;
}

/**
 * `document`: one JSON document; the elements of its `items` (a list) or `rows` (a Table) are values of their
 * own, and a document without them is one value. `watch`: one value after the other.
 */
export type Framing = 'document' | 'watch';

/** Code `BadFraming`: the bytes are not what their framing says, or one value exceeds the limit. */
export class SplitError extends Error {
  readonly code = 'BadFraming';
}

/** What may stand beside `items` or `rows`: nothing here carries values of objects. */
const envelopeKeys: ReadonlySet<string> = new Set([
  'kind',
  'apiVersion',
  'metadata',
  'items',
  'rows',
  'columnDefinitions',
]);

/**
 * Cuts a response into values as its bytes arrive, holding no more than one value. It finds boundaries only;
 * whoever masks a value checks that it is JSON.
 */
export class Splitter {
  readonly #maxValueBytes: number;
  /** Depth at which values stand: 0 in a watch, 2 inside `items`; -1 while in the envelope. */
  #valueDepth: number;
  #buffer: Buffer = Buffer.alloc(0);
  /** Everything before this in the buffer has been looked at. */
  #at = 0;
  /** Start of the value or of the bytes between that are not handed out yet. */
  #start = 0;
  #inValue = false;
  #depth = 0;
  #inString = false;
  #escaped = false;
  #stringStart = 0;
  #key = '';
  #envelopeOnly = true;
  #listed = false;

  constructor(framing: Framing, maxValueBytes: number) {
    this.#valueDepth = framing === 'watch' ? 0 : -1;
    this.#listed = framing === 'watch';
    this.#maxValueBytes = maxValueBytes;
  }

  /** Takes the next bytes; returns what is complete. Throws `SplitError`. */
  push(chunk: Buffer): Piece[] {
    this.#buffer = this.#buffer.length === 0 ? chunk : Buffer.concat([this.#buffer, chunk]);
    const pieces: Piece[] = [];
    this.#scan(pieces);
    // Some clients take an event when its line is whole: the line feed behind it must not wait for the next event.
    if (this.#valueDepth === 0 && !this.#inValue) this.#hand(pieces, 'between', this.#at);
    if (this.#start > 0) {
      this.#buffer = this.#buffer.subarray(this.#start);
      this.#at -= this.#start;
      this.#stringStart -= this.#start;
      this.#start = 0;
    }
    this.#refuseOversize(this.#buffer.length);
    return pieces;
  }

  /** The end of the response. Throws `SplitError` when it stopped half way. */
  end(): Piece[] {
    if (this.#depth !== 0 || this.#inString || this.#inValue) throw new SplitError('it stopped half way');
    if (this.#buffer.length === 0) return [];
    return [{ kind: this.#listed ? 'between' : 'value', bytes: this.#buffer }];
  }

  #scan(pieces: Piece[]): void {
    const buffer = this.#buffer;
    for (; this.#at < buffer.length; this.#at++) {
      const byte = buffer[this.#at] as number;
      if (this.#inString) {
        this.#scanString(byte);
        continue;
      }
      if (
        !this.#inValue &&
        this.#depth === this.#valueDepth &&
        !isSpace(byte) &&
        byte !== comma &&
        byte !== closeBracket
      ) {
        if (byte !== openBrace) throw new SplitError('an element is not an object');
        this.#hand(pieces, 'between', this.#at);
        this.#inValue = true;
      }
      switch (byte) {
        case quote:
          this.#inString = true;
          this.#stringStart = this.#at + 1;
          break;
        case colon:
          if (this.#depth === 1 && !this.#inValue) this.#sawKey();
          break;
        case openBrace:
        case openBracket:
          if (byte === openBracket && this.#depth === 1 && this.#opensValues()) {
            this.#valueDepth = 2;
            this.#listed = true;
          }
          this.#depth++;
          break;
        case closeBrace:
        case closeBracket:
          this.#close(pieces);
          break;
      }
    }
  }

  #scanString(byte: number): void {
    if (this.#escaped) this.#escaped = false;
    else if (byte === backslash) this.#escaped = true;
    else if (byte === quote) {
      this.#inString = false;
      // Only keys of the envelope are ever read.
      if (this.#depth === 1 && !this.#inValue) this.#key = this.#buffer.toString('utf8', this.#stringStart, this.#at);
    }
  }

  #sawKey(): void {
    if (envelopeKeys.has(this.#key)) return;
    this.#envelopeOnly = false;
    // Values have gone out already as elements of a list that now turns out to be something else.
    if (this.#listed) throw new SplitError('a list has a field that lists do not have');
  }

  #opensValues(): boolean {
    return this.#valueDepth === -1 && this.#envelopeOnly && (this.#key === 'items' || this.#key === 'rows');
  }

  #close(pieces: Piece[]): void {
    this.#depth--;
    if (this.#depth < 0) throw new SplitError('it closes what it did not open');
    if (this.#inValue && this.#depth === this.#valueDepth) {
      this.#hand(pieces, 'value', this.#at + 1);
      this.#inValue = false;
    } else if (this.#valueDepth === 2 && this.#depth === 1) {
      this.#valueDepth = -1;
    }
  }

  #refuseOversize(bytes: number): void {
    if (bytes > this.#maxValueBytes) throw new SplitError(`one object exceeds ${this.#maxValueBytes} bytes`);
  }

  #hand(pieces: Piece[], kind: Piece['kind'], end: number): void {
    if (kind === 'value') this.#refuseOversize(end - this.#start);
    if (end > this.#start) pieces.push({ kind, bytes: this.#buffer.subarray(this.#start, end) });
    this.#start = end;
  }
}
