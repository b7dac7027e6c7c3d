import { type NamedQuery, namedQueries } from './named-queries.ts';
import type { Records } from './records.ts';
import { printable, shortened, table } from './text.ts';

/** `sluice sql`, with its options parsed. */
export interface SqlOptions {
  /** Name of a query that comes with Sluice. */
  readonly query?: string;
  readonly param: Readonly<Record<string, string>>;
  readonly format: 'table' | 'json' | 'csv';
  readonly full?: true;
}

/** Columns by name, rows with values as JSON has them. */
interface Result {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly unknown[])[];
}

/** Longer values are shortened in a table, unless asked for in full. Characters. */
const shownChars = 60;

/** Asks the record in SQL: by the text given, or by a query with a name. */
export async function askSql(
  records: Records,
  text: string | undefined,
  options: SqlOptions,
  out: NodeJS.WritableStream,
): Promise<void> {
  const { sql, params } = question(text, options);
  const result = await records.ask({ kind: 'sql', sql, params });
  switch (options.format) {
    case 'table':
      out.write(resultTable(result, options.full === true ? Infinity : shownChars));
      break;
    case 'json':
      out.write(resultJson(result));
      break;
    case 'csv':
      out.write(resultCsv(result));
      break;
  }
}

function question(
  text: string | undefined,
  { query, param }: SqlOptions,
): { readonly sql: string; readonly params: Readonly<Record<string, string>> } {
  if ((text === undefined) === (query === undefined)) {
    throw new Error('give either a query or --query <name>; `sluice sql --list` shows the names');
  }
  if (text !== undefined) return { sql: text, params: param };
  const named = namedQueries().find(({ name }) => name === query);
  if (named === undefined) throw new Error(`no query is named ${query}; \`sluice sql --list\` shows the names`);
  const missing = named.params.find(({ name, value }) => value === null && !Object.hasOwn(param, name));
  if (missing !== undefined) {
    throw new Error(`${named.name} needs --param ${missing.name}=…: ${missing.about}`);
  }
  const values = named.params.map(({ name, value }) => [name, value ?? '']);
  return { sql: named.sql, params: { ...(Object.fromEntries(values) as Record<string, string>), ...param } };
}

/** The queries that come with Sluice, with their parameters. */
export function listQueries(out: NodeJS.WritableStream): void {
  out.write(namedQueries().map(queryHelp).join('\n'));
}

function queryHelp({ name, about, params }: NamedQuery): string {
  const lines = params.map((param) => [
    `  --param ${param.name}=…`,
    param.value === null ? param.about : `${param.about} (default: ${param.value})`,
  ]);
  const width = Math.max(...lines.map(([flag = '']) => flag.length));
  return [name, `  ${about}`, ...lines.map(([flag = '', text = '']) => `${flag.padEnd(width)}  ${text}`), ''].join(
    '\n',
  );
}

/** For people: NULL is `-`. Exported for its test. */
export function resultTable({ columns, rows }: Result, maxChars: number): string {
  if (rows.length === 0) return 'No rows.\n';
  const cell = (value: unknown): string => (value === null ? '-' : shortened(asText(value), maxChars));
  return table(
    columns.map((column) => shortened(column, maxChars)),
    rows.map((row) => row.map(cell)),
  );
}

/** An array of row objects. What a terminal would obey is escaped, which JSON reads as the same. Exported for its test. */
export function resultJson({ columns, rows }: Result): string {
  const twice = columns.find((column, index) => columns.indexOf(column) !== index);
  if (twice !== undefined) throw new Error(`two columns are named ${printable(twice)}; name them with AS`);
  const objects = rows.map((row) => Object.fromEntries(columns.map((column, index) => [column, row[index]])));
  return `${printable(JSON.stringify(objects))}\n`;
}

/** RFC 4180, with a line of heads; NULL is an empty field. Exported for its test. */
export function resultCsv({ columns, rows }: Result): string {
  const field = (value: unknown): string => {
    const text = value === null ? '' : printable(asText(value));
    return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [columns, ...rows].map((row) => `${row.map(field).join(',')}\r\n`).join('');
}

function asText(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
