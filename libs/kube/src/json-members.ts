import { JsonCursor, openBrace, quote } from './json.ts';

/** Members to be set: texts, and objects of such. */
export interface Members {
  readonly [name: string]: string | Members;
}

/** How an object is read in which members are set. */
export interface Rules {
  /** Whether a value that is there, a text or `null`, gives way to the one to be set. */
  readonly givesWay: (name: string, present: string | null, value: string | Members) => boolean;
  /** Whether nothing can be set for certain beside this key. */
  readonly isUnsafe: (key: string) => boolean;
}

/** What stands instead of some bytes. */
export interface Edit {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/**
 * Sets members where they are missing or give way, and leaves every other byte as it was. `null` where neither an object nor a text
 * stands in their place. Throws `JsonError`.
 */
export function withMembers(body: Buffer, members: Members, rules: Rules): Buffer | null {
  const cursor = new JsonCursor(body);
  const edits: Edit[] = [];
  const isSet = setMembers(cursor, members, rules, edits);
  cursor.end();
  return isSet ? edited(body, edits) : null;
}

function setMembers(cursor: JsonCursor, members: Members, rules: Rules, edits: Edit[]): boolean {
  if (cursor.peek() !== openBrace) {
    cursor.skip();
    return false;
  }
  const start = cursor.at + 1;
  const missing = new Map(Object.entries(members));
  let isSet = true;
  let isEmpty = true;
  cursor.object((key) => {
    isEmpty = false;
    if (rules.isUnsafe(key)) isSet = false;
    const value = missing.get(key);
    if (value === undefined) return cursor.skip();
    missing.delete(key);
    if (!setMember(cursor, key, value, rules, edits)) isSet = false;
  });
  const added = [...missing].map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(',');
  if (added !== '') edits.push({ start, end: start, text: isEmpty ? added : `${added},` });
  return isSet;
}

function setMember(cursor: JsonCursor, key: string, value: string | Members, rules: Rules, edits: Edit[]): boolean {
  const first = cursor.peek();
  const start = cursor.at;
  if (first === openBrace && typeof value !== 'string') return setMembers(cursor, value, rules, edits);
  if (first === quote) {
    const present = cursor.text(cursor.string());
    if (typeof value !== 'string') return false;
    if (!rules.givesWay(key, present, value)) return true;
  } else {
    cursor.skip();
    if (first !== nullStart || !rules.givesWay(key, null, value)) return false;
  }
  edits.push({ start, end: cursor.at, text: JSON.stringify(value) });
  return true;
}

/** The letter n. */
const nullStart = 0x6e;

/** A copy in which each edit is made; they do not overlap. */
export function edited(body: Buffer, edits: readonly Edit[]): Buffer {
  const parts: Buffer[] = [];
  let at = 0;
  for (const { start, end, text } of edits.toSorted((a, b) => a.start - b.start)) {
    parts.push(body.subarray(at, start), Buffer.from(text));
    at = end;
  }
  return Buffer.concat([...parts, body.subarray(at)]);
}
