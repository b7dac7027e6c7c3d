// The masks put into one JSON value, and the ways to put them. Pure.
import { type JsonCursor, maxDepth, openBrace, openBracket, quote, type StringSpan } from '@sluice/kube';
import { suspects } from './detect.ts';
import type { NewMask } from './mask-values.ts';
import { type Splice, unescaped } from './splice.ts';
import type { Surroundings } from './surroundings.ts';

/** How a value is written: `base64` is what `data` of Secrets and `binaryData` hold. */
export type Encoding = 'base64' | 'plain';

/** A value to go back to. */
export interface Spot {
  readonly at: number;
  readonly mask: () => void;
}

/** An object is walked so often, at most; those of Kubernetes are walked twice. */
const maxAgain = 16;

/** Goes over values where the cursor stands, and remembers what takes their place. Throws `JsonError`. */
export class Replacements {
  readonly #cursor: JsonCursor;
  readonly #newMask: NewMask;
  readonly #surroundings: Surroundings;
  /** Where a detector would look; found in one pass over all. */
  readonly #suspects: readonly number[];
  /** In the order they were put. */
  readonly all: Splice[] = [];
  /** Texts that were masked: cells of a Table may print them. */
  readonly texts = new Set<string>();
  #depth = 0;
  /** Bytes that were walked more than once. */
  #walkedAgain = 0;

  constructor(cursor: JsonCursor, newMask: NewMask, surroundings: Surroundings) {
    this.#cursor = cursor;
    this.#newMask = newMask;
    this.#surroundings = surroundings;
    this.#suspects = suspects(cursor.bytes);
  }

  /** Walks what is inside an object or an array; too deep is an error. */
  nested(walk: () => void): void {
    if (++this.#depth > maxDepth) throw this.#cursor.error();
    walk();
    this.#depth--;
  }

  /**
   * Goes back to values that have been walked, in their order, and masks them: what was found inside gives way. `before`:
   * how many replacements there were when their object began.
   */
  again(before: number, spots: readonly Spot[]): void {
    if (spots.length === 0) return;
    const cursor = this.#cursor;
    const inner = this.all.splice(before).sort((a, b) => a.start - b.start);
    let next = 0;
    for (const { at, mask } of spots.toSorted((a, b) => a.at - b.at)) {
      cursor.at = at;
      this.skip();
      const end = cursor.at;
      this.#walkedAgain += end - at;
      // Objects within objects could make this go on and on.
      if (this.#walkedAgain > maxAgain * cursor.bytes.length) throw cursor.error();
      for (; next < inner.length && (inner[next] as Splice).end <= at; next++) this.all.push(inner[next] as Splice);
      while (next < inner.length && (inner[next] as Splice).start < end) next++;
      cursor.at = at;
      cursor.peek();
      mask();
    }
    for (; next < inner.length; next++) this.all.push(inner[next] as Splice);
  }

  /** Goes over a value. */
  skip(): void {
    const cursor = this.#cursor;
    switch (cursor.peek()) {
      case openBrace:
        return this.nested(() => cursor.object(() => this.skip()));
      case openBracket:
        return this.nested(() => cursor.array(() => this.skip()));
      case quote:
        cursor.string();
        return;
      default:
        cursor.scalar();
    }
  }

  /** The string that begins at the cursor, which stays. */
  peekString(): StringSpan {
    const { at } = this.#cursor;
    const span = this.#cursor.string();
    this.#cursor.at = at;
    return span;
  }

  /** Masks every scalar but `null`, which only says that a key goes away. */
  maskAll(encoding: Encoding, why: string): void {
    const cursor = this.#cursor;
    switch (cursor.peek()) {
      case openBrace:
        return this.nested(() => cursor.object(() => this.maskAll(encoding, why)));
      case openBracket:
        return this.nested(() => cursor.array(() => this.maskAll(encoding, why)));
      case quote:
        return this.maskString(cursor.string(), encoding, why);
      default: {
        const span = cursor.scalar();
        const text = cursor.bytes.toString('latin1', span.start, span.end);
        if (text === 'null') return;
        this.all.push({ ...span, text: JSON.stringify(this.#newMask(Buffer.from(text))), why });
      }
    }
  }

  /** Masks a string, unless it is a mask, or empty. */
  maskString(span: StringSpan, encoding: Encoding, why: string): void {
    if (span.end === span.start) return;
    const text = this.#cursor.text(span);
    const secret = encoding === 'base64' ? Buffer.from(text, 'base64') : Buffer.from(text);
    // What is masked already stays: a mask of a mask would stand for nothing.
    if (maskForm.test(secret.toString('latin1', 0, maxMask)) || maskForm.test(text)) return;
    this.texts.add(text);
    const mask = this.#newMask(secret);
    const shown = encoding === 'base64' ? Buffer.from(mask).toString('base64') : mask;
    this.all.push({ start: span.start, end: span.end, text: shown, why });
  }

  /** Masks what detectors and patterns find in a string. */
  detect(span: StringSpan): void {
    const surroundings = this.#surroundings;
    if (!span.escaped && !surroundings.looksEverywhere && !this.#isSuspect(span)) return;
    const { bytes } = this.#cursor;
    const { text, places } = span.escaped ? unescaped(bytes, span) : { text: bytes.subarray(span.start, span.end) };
    const place = (at: number): number => places?.[at] ?? span.start + at;
    for (const { start, end, by } of surroundings.find(text)) {
      const secret = text.subarray(start, end);
      this.texts.add(secret.toString());
      this.all.push({
        start: place(start),
        end: place(end),
        text: this.#newMask(secret),
        why: by === 'pattern' ? whys.pattern : `detector ${by}`,
      });
    }
  }

  #isSuspect({ start, end }: StringSpan): boolean {
    const all = this.#suspects;
    let low = 0;
    let high = all.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((all[middle] as number) < start) low = middle + 1;
      else high = middle;
    }
    return (all[low] ?? end) < end;
  }
}

/** Why a value is masked, for people. */
export const whys = {
  secret: 'value of a Secret',
  rule: 'rule of a policy',
  pattern: 'pattern of a policy',
  binary: 'a detector, in what is base64 here',
  cell: 'prints a masked value',
  entry: 'value of a variable whose name is elsewhere',
  manifest: 'a manifest that cannot be read',
} as const;

/** Why what has such a name is masked, for people. */
export function named(name: string): string {
  return `name ${name}`;
}

/** A whole mask, and nothing else. */
const maskForm = /^sluice-mask:v1:[0-9a-f]{8}:[A-Za-z0-9_-]{16}$/;
const maxMask = 64;
