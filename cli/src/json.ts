/**
 * JSON laid out with two spaces a level, every number and string as it was written: a parser would round integers
 * beyond 2^53. `null` for a text that is not JSON.
 */
export function layOutJson(text: string): string | null {
  if (!isJson(text)) return null;
  let out = '';
  let indent = '\n';
  // Behind an opening bracket, until it is known that the next token does not close it.
  let opened = '';
  for (let at = 0; at < text.length; at++) {
    const character = text[at] ?? '';
    if (/\s/.test(character)) continue;
    if (character === '}' || character === ']') {
      indent = indent.slice(0, -2);
      out += opened === '' ? indent + character : character;
      opened = '';
      continue;
    }
    out += opened;
    opened = '';
    if (character === '{' || character === '[') {
      indent += '  ';
      opened = indent;
    }
    const end = character === '"' ? endOfString(text, at) : at + 1;
    out += text.slice(at, end);
    at = end - 1;
    if (character === ',') out += indent;
    if (character === ':') out += ' ';
  }
  return out;
}

export function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** Behind the closing quote of the string that begins here. */
function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
  return at + 1;
}
