import { isUtf8 } from 'node:buffer';
import { BodyError } from './body-error.ts';
import { JsonCursor, JsonError, maxDepth, openBrace, openBracket, quote, type StringSpan } from './json.ts';

/**
 * Holds a body to be one JSON value (RFC 8259) that every reader understands alike: valid UTF-8, no key twice in
 * an object, no lone surrogate, not nested deeper than `maxDepth`, nothing behind it. Readers differ on all of these:
 * of a key that comes twice, Go merges objects where JavaScript takes the last. Keys that differ by case are different
 * to the API server in every kind of body (tried), but for the two at the top by which it chooses the type: there only
 * the right spelling passes. A body that passes may go on byte for
 * byte. Throws `BodyError`, which never quotes a value.
 */
export function checkJson(body: Buffer): void {
  if (!isUtf8(body)) throw new BodyError('it is not UTF-8');
  // V8 13.6 can take a key that is written so for another one (nodejs/node 63785), and no encoder writes so.
  if (body.includes('\\u00') && escapedWord.test(body.toString('latin1')))
    throw new BodyError('it escapes letters or digits, which need no escape');
  try {
    const cursor = new JsonCursor(body);
    new Check(cursor).value(0);
    cursor.end();
  } catch (error) {
    if (error instanceof JsonError) throw new BodyError(error.message);
    throw error;
  }
}

/** A letter or digit of ASCII as an escape, not behind a backslash that is itself escaped. */
const escapedWord = /(?<!\\)(?:\\\\)*\\u00(?:3\d|4[1-9a-f]|5[\da]|6[1-9a-f]|7[\da])/i;

/** As Go folds case: the Kelvin sign is a k, too. */
function isMisspelt(key: string): boolean {
  if (key === 'kind' || key === 'apiVersion') return false;
  const folded = key.toUpperCase().toLowerCase();
  return folded === 'kind' || folded === 'apiversion';
}

class Check {
  readonly #cursor: JsonCursor;

  constructor(cursor: JsonCursor) {
    this.#cursor = cursor;
  }

  value(depth: number): void {
    const cursor = this.#cursor;
    if (depth > maxDepth) throw new BodyError(`it is nested deeper than ${maxDepth} levels`);
    switch (cursor.peek()) {
      case openBrace:
        return this.#object(depth);
      case openBracket:
        return cursor.array(() => this.value(depth + 1));
      case quote:
        return this.#string(cursor.string());
      default:
        cursor.scalar();
    }
  }

  #object(depth: number): void {
    const seen = new Set<string>();
    this.#cursor.object((key) => {
      if (seen.has(key)) throw new BodyError(`the key ${JSON.stringify(key.slice(0, 64))} occurs twice in one object`);
      if (depth === 0 && isMisspelt(key))
        throw new BodyError(`the API server reads the key ${JSON.stringify(key)} as another one; mind its case`);
      if (!key.isWellFormed()) throw new BodyError('a key has half of a surrogate pair');
      seen.add(key);
      this.value(depth + 1);
    });
  }

  /** Only an escape can be wrong in a string of valid UTF-8. */
  #string(span: StringSpan): void {
    if (span.escaped && !this.#cursor.text(span).isWellFormed())
      throw new BodyError('a string has half of a surrogate pair');
  }
}
