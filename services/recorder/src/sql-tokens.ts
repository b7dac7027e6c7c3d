/** Why a query gets no answer, and the way out: one line for the one who asked. */
export class SqlError extends Error {}

/** A refusal of what stands at a place, counted from 0; people count from 1. */
export function refused(at: number, what: string): SqlError {
  return new SqlError(`position ${at + 1}: ${what}`);
}

/** A piece of a query. `at`: its place in the text, from 0. */
export interface Token {
  readonly kind: 'word' | 'number' | 'string' | 'symbol' | 'end';
  readonly text: string;
  readonly at: number;
}

/** Longest first: `<=` is not `<` and `=`. */
const symbols = '<= >= <> != == || ( ) [ ] { } , . : + - * / % = < >'.split(' ');

/** What the engine would read as more than it looks: each with its way out. */
const refusals: readonly (readonly [RegExp, string])[] = [
  [/;/y, 'only one statement is answered, without `;`'],
  [/\/\*|#/y, 'this comment is refused; begin comments with `--`'],
  [/["`]/y, "names are written without quotes, and text in single quotes: 'text'"],
  [/\$/y, '`$` is refused; text stands in single quotes, parameters are written {name:String}'],
  [/->/y, "functions of one's own (`->`) are refused; arrayJoin() makes rows of an array"],
  [/::/y, '`::` is refused; use a function such as toString() or toInt64()'],
  [/\?/y, '`?` is refused; use if() for a choice, {name:String} for a parameter'],
  [/[^\t\n\r -~]/y, 'only ASCII may stand outside of text in single quotes'],
];

const blank = /[ \t\r\n]+/y;
const comment = /--[^\n]*/y;
const word = /[A-Za-z_][A-Za-z0-9_]*/y;
const number = /\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?![A-Za-z0-9_.])/y;
/** `\` and `''` as ClickHouse reads them. Of the control characters a text may hold tabs and line ends. */
const string = /'(?:[^'\\\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]|\\[ -~]|'')*'(?!')/y;

/**
 * Cuts a query into pieces, the last of which is its end. `text` is the query with its comments made blanks, so that
 * the engine cannot take one for something else; every place in it is the same. Throws `SqlError`.
 */
export function tokenize(sql: string): { readonly tokens: readonly Token[]; readonly text: string } {
  const tokens: Token[] = [];
  let text = '';
  for (let at = 0; at < sql.length; ) {
    const found = (pattern: RegExp): string => {
      pattern.lastIndex = at;
      return pattern.exec(sql)?.[0] ?? '';
    };
    const skipped = found(blank) || found(comment);
    const token = skipped === '' ? next(sql, at, found) : null;
    if (token !== null) tokens.push(token);
    text += token?.text ?? skipped.replaceAll(/[^\r\n]/g, ' ');
    at = text.length;
  }
  return { tokens: [...tokens, { kind: 'end', text: '', at: sql.length }], text };
}

function next(sql: string, at: number, found: (pattern: RegExp) => string): Token {
  const refusal = refusals.find(([pattern]) => found(pattern) !== '');
  if (refusal !== undefined) throw refused(at, refusal[1]);
  const patterns = { word, number, string } as const;
  for (const kind of ['word', 'number', 'string'] as const) {
    const text = found(patterns[kind]);
    if (text !== '') return { kind, text, at };
  }
  const symbol = symbols.find((text) => sql.startsWith(text, at));
  if (symbol !== undefined) return { kind: 'symbol', text: symbol, at };
  if (sql[at] === "'") throw refused(at, 'this text has no end, or holds a control character');
  if (/\d/.test(sql[at] ?? '')) throw refused(at, 'not a number; numbers are written 12, 1.5 or 2e6');
  throw refused(at, `\`${sql[at]}\` is refused`);
}
