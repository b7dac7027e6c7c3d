/** Makes control characters visible: what an agent sent must not reach a person's terminal as commands. */
export function printable(text: string): string {
  // C0 and C1 controls, DEL, bidirectional marks and zero-width characters; line feeds and tabs stay.
  return text.replaceAll(
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** Rows under their heads, columns aligned, two spaces between. A cell is one line: none can look like a row. */
export function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const oneLine = (cell: string): string => printable(cell).replaceAll('\n', '\\n').replaceAll('\t', '\\t');
  const all = [heads, ...rows].map((row) => row.map(oneLine));
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
