/**
 * Controls (C0, C1, DEL), what has no width or turns the direction of text, separators of lines that are no line feed, and
 * fillers that look like nothing.
 */
const unseen = String.raw`\p{Cc}\p{Cf}\p{Zl}\p{Zp}\u115f\u1160\u3164\uffa0\u2065`;
const unseenInText = new RegExp(`(?![\\n\\t])[${unseen}]`, 'gu');

const anyUnseen = new RegExp(`[${unseen}]`, 'u');

/** Whether a text holds something that is written as an escape on one line. */
export function holdsUnseen(text: string): boolean {
  return anyUnseen.test(text);
}

/**
 * Makes control characters and others that nobody sees visible: what an agent sent must not reach a person's terminal as
 * commands, nor look like something else. Line feeds and tabs stay.
 */
export function printable(text: string): string {
  return text.replaceAll(unseenInText, (characters) =>
    Array.from({ length: characters.length }, (_, at) => escaped(characters.charCodeAt(at))).join(''),
  );
}

function escaped(unit: number): string {
  return `\\u${unit.toString(16).padStart(4, '0')}`;
}

/** The same on one line: what it says cannot look like a line of Sluice's own. */
export function onOneLine(text: string): string {
  return printable(text).replaceAll('\n', '\\n').replaceAll('\t', '\\t');
}

/** Rows under their heads, columns aligned, two spaces between. A cell is one line: none can look like a row. */
export function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [heads, ...rows].map((row) => row.map(onOneLine));
  const widths = heads.map((_, column) => Math.max(...all.map((row) => (row[column] ?? '').length)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd();
  return `${all.map(line).join('\n')}\n`;
}

/** Which object a call is about: ` namespace/name`, ` name`, ` in namespace`, or nothing. */
export function placeOf(namespace: string, name: string): string {
  if (name === '') return namespace === '' ? '' : ` in ${namespace}`;
  return namespace === '' ? ` ${name}` : ` ${namespace}/${name}`;
}

/**
 * A line broken at blanks after `width` characters at most; a longer word is a line of its own. Lines behind the first
 * begin with `indent` besides, so that none of them can look like a line of Sluice's own.
 */
export function wrap(text: string, width: number, indent: string): string {
  const [first = '', ...words] = text.split(' ');
  const lines = [first];
  for (const word of words) {
    const longer = `${lines.at(-1)} ${word}`;
    if (longer.length <= width) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines.join(`\n${indent}`);
}

/** The text, or its beginning and `…`: at most `maxChars` characters. */
export function shortened(text: string, maxChars: number): string {
  if (text.length <= maxChars) return text;
  // Half of a character is none.
  return `${text.slice(0, maxChars - 1).replace(/[\ud800-\udbff]$/, '')}…`;
}
