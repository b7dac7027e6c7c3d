/** Code `BadJson`: not JSON (RFC 8259), or nested deeper than `maxDepth`. */
export class JsonError extends Error {
  readonly code = 'BadJson';
}

/** Deeper nesting is refused: no Kubernetes object comes near, and recursion must end. */
export const maxDepth = 256;

/** Where a string stands: between its quotes. */
export interface StringSpan {
  readonly start: number;
  readonly end: number;
  readonly escaped: boolean;
}

/**
 * Reads JSON in place, byte by byte, so that a caller can replace single values and leave every other byte as
 * it was. Parsing and printing again would change numbers beyond 2^53, `1.0`, key order and escapes.
 */
export class JsonCursor {
  readonly bytes: Buffer;
  at = 0;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  /** Skips white space and returns the byte that follows, without taking it. 0 at the end. */
  peek(): number {
    const { bytes } = this;
    let { at } = this;
    while (at < bytes.length && isSpace(bytes[at] as number)) at++;
    this.at = at;
    return bytes[at] ?? 0;
  }

  /** Takes one byte of punctuation. */
  take(byte: number): void {
    if (this.peek() !== byte) throw this.error();
    this.at++;
  }

  /** Takes a string. */
  string(): StringSpan {
    this.take(quote);
    const { bytes } = this;
    const start = this.at;
    let escaped = false;
    for (let at = start; at < bytes.length; at++) {
      const byte = bytes[at] as number;
      if (byte === quote) {
        this.at = at + 1;
        return { start, end: at, escaped };
      }
      if (byte === backslash) {
        escaped = true;
        at++;
      } else if (byte < 0x20) break;
    }
    throw this.error();
  }

  /** The text of a string. */
  text(span: StringSpan): string {
    if (!span.escaped) return this.bytes.toString('utf8', span.start, span.end);
    try {
      return JSON.parse(this.bytes.toString('utf8', span.start - 1, span.end + 1)) as string;
    } catch {
      throw this.error();
    }
  }

  /** Takes a number, `true`, `false` or `null`, and returns where it stands. */
  scalar(): { readonly start: number; readonly end: number } {
    this.peek();
    const start = this.at;
    let at = start;
    while (at < this.bytes.length && !isDelimiter(this.bytes[at] as number)) at++;
    if (!/^(-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?|true|false|null)$/.test(this.bytes.toString('latin1', start, at))) {
      throw this.error();
    }
    this.at = at;
    return { start, end: at };
  }

  /** Takes an object; `member` must take each value. `span`: where its key stands. */
  object(member: (key: string, span: StringSpan) => void): void {
    this.take(openBrace);
    if (this.peek() === closeBrace) {
      this.at++;
      return;
    }
    for (;;) {
      const span = this.string();
      const key = this.text(span);
      this.take(colon);
      member(key, span);
      if (this.peek() === comma) this.at++;
      else return this.take(closeBrace);
    }
  }

  /** Takes an array; `element` must take each value. */
  array(element: () => void): void {
    this.take(openBracket);
    if (this.peek() === closeBracket) {
      this.at++;
      return;
    }
    for (;;) {
      element();
      if (this.peek() === comma) this.at++;
      else return this.take(closeBracket);
    }
  }

  /** Takes any value. */
  skip(): void {
    const first = this.peek();
    if (first === openBrace) this.object(() => this.skip());
    else if (first === openBracket) this.array(() => this.skip());
    else if (first === quote) this.string();
    else this.scalar();
  }

  /** Throws unless only white space is left. */
  end(): void {
    if (this.peek() !== 0 || this.at !== this.bytes.length) throw this.error();
  }

  error(): JsonError {
    return new JsonError(`not JSON at byte ${this.at}`);
  }
}

export const quote = 0x22;
export const backslash = 0x5c;
export const openBrace = 0x7b;
export const closeBrace = 0x7d;
export const openBracket = 0x5b;
export const closeBracket = 0x5d;
export const comma = 0x2c;
export const colon = 0x3a;

export function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

function isDelimiter(byte: number): boolean {
  return byte === comma || byte === closeBrace || byte === closeBracket || isSpace(byte);
}
