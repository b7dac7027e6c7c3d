import { JsonCursor, openBrace, openBracket, quote } from './json.ts';

/** What the body of a create says of its name; empty where it says nothing. */
export interface ObjectName {
  readonly name: string;
  readonly generateName: string;
}

/** Reads `metadata.name` and `metadata.generateName` of an object in JSON. Throws `JsonError`. */
export function objectName(json: Buffer): ObjectName {
  const cursor = new JsonCursor(json);
  const found = { name: '', generateName: '' };
  members(cursor, (key) => {
    if (key !== 'metadata') return skip(cursor);
    members(cursor, (field) => {
      if ((field === 'name' || field === 'generateName') && cursor.peek() === quote)
        found[field] = cursor.text(cursor.string());
      else skip(cursor);
    });
  });
  return found;
}

/** The members of an object; anything else is passed over. */
function members(cursor: JsonCursor, member: (key: string) => void): void {
  if (cursor.peek() === openBrace) cursor.object(member);
  else skip(cursor);
}

function skip(cursor: JsonCursor): void {
  const first = cursor.peek();
  if (first === openBrace) cursor.object(() => skip(cursor));
  else if (first === openBracket) cursor.array(() => skip(cursor));
  else if (first === quote) cursor.string();
  else cursor.scalar();
}
