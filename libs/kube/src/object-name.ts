import { JsonCursor, openBrace, quote } from './json.ts';

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
    if (key !== 'metadata') return cursor.skip();
    members(cursor, (field) => {
      if ((field === 'name' || field === 'generateName') && cursor.peek() === quote)
        found[field] = cursor.text(cursor.string());
      else cursor.skip();
    });
  });
  return found;
}

/** The members of an object; anything else is passed over. */
function members(cursor: JsonCursor, member: (key: string) => void): void {
  if (cursor.peek() === openBrace) cursor.object(member);
  else cursor.skip();
}
