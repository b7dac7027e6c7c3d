import { refused, type Token, tokenize } from './sql-tokens.ts';
import {
  allowedFunctions,
  comparisons,
  constants,
  intervals,
  joinWords,
  keywords,
  operators,
  paramTypes,
  sqlViews,
  waysOut,
} from './sql-words.ts';

/** A query that may go to the engine. */
export interface GuardedQuery {
  /** As it was, its comments made blanks. */
  readonly text: string;
  /** Names of its `{name:Type}`. */
  readonly params: ReadonlySet<string>;
}

/**
 * Lets a query pass that is one SELECT over the views, in the part of ClickHouse's SQL that is written down here: what
 * is not understood is refused, before the engine sees it. Throws `SqlError`.
 */
export function guardSql(sql: string): GuardedQuery {
  if (sql.length > maxChars) throw refused(maxChars, `a query has at most ${maxChars} characters`);
  const { tokens, text } = tokenize(sql);
  const params = new Parser(tokens).statement();
  return { text, params };
}

const maxChars = 32_768;
const maxDepth = 64;
/** The time in which the engine plans a query has no limit of its own, and grows fast with these. */
const maxTables = 20;

/** Names of the queries in WITH that can be seen here. */
type Scope = ReadonlySet<string>;

/** Reads a query from left to right; each method reads what it is named for, or throws. */
class Parser {
  readonly #tokens: readonly Token[];
  readonly #params = new Set<string>();
  #next = 0;
  #depth = 0;
  #tables = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  /** The whole text; the names of its parameters come back. */
  statement(): ReadonlySet<string> {
    const { kind, text, at } = this.#token();
    if (!this.#startsQuery()) throw refused(at, `only SELECT is answered${kind === 'end' ? '' : `, not \`${text}\``}`);
    this.#query(new Set());
    if (this.#token().kind !== 'end') this.#refuse();
    return this.#params;
  }

  #query(outer: Scope): void {
    this.#deeper(() => {
      const scope = this.#takes('WITH') ? this.#with(outer) : outer;
      do this.#select(scope);
      while (this.#union());
    });
  }

  #union(): boolean {
    if (!this.#takes('UNION')) return false;
    if (!this.#takes('ALL')) this.#expect('DISTINCT');
    return true;
  }

  /** `name AS (SELECT …)`, or `expression AS name`. A query's name can be seen behind it, not in itself. */
  #with(outer: Scope): Scope {
    const scope = new Set(outer);
    do {
      const name = this.#token();
      if (name.kind === 'word' && this.#isAt(1, 'AS') && this.#isAt(2, '(') && this.#startsQuery(3)) {
        if (sqlViews.has(name.text.toLowerCase())) {
          throw refused(name.at, `\`${name.text}\` is a view; give the query in WITH another name`);
        }
        this.#name();
        this.#expect('AS');
        this.#subquery(scope);
        scope.add(name.text);
      } else {
        this.#expression(scope);
        this.#expect('AS');
        this.#name();
      }
    } while (this.#takes(','));
    return scope;
  }

  #select(scope: Scope): void {
    this.#expect('SELECT');
    this.#takes('DISTINCT');
    this.#list(() => this.#column(scope));
    if (this.#takes('FROM')) this.#from(scope);
    if (this.#takes('WHERE')) this.#expression(scope);
    if (this.#takes('GROUP')) {
      this.#expect('BY');
      this.#expressions(scope);
    }
    if (this.#takes('HAVING')) this.#expression(scope);
    if (this.#takes('ORDER')) {
      this.#expect('BY');
      this.#list(() => this.#order(scope));
    }
    while (this.#takes('LIMIT')) {
      this.#expression(scope);
      if (this.#takes('OFFSET') || this.#takes(',')) this.#expression(scope);
      if (this.#takes('BY')) this.#expressions(scope);
    }
  }

  /** `*`, `table.*`, or an expression with its name. */
  #column(scope: Scope): void {
    if (this.#takes('*')) return;
    if (this.#token().kind === 'word' && this.#isAt(1, '.') && this.#isAt(2, '*')) {
      this.#name();
      this.#expect('.');
      this.#expect('*');
      return;
    }
    this.#expression(scope);
    if (this.#takes('AS')) this.#name();
  }

  #order(scope: Scope): void {
    this.#expression(scope);
    if (!this.#takes('ASC')) this.#takes('DESC');
    if (this.#takes('NULLS') && !this.#takes('FIRST')) this.#expect('LAST');
  }

  #from(scope: Scope): void {
    this.#table(scope);
    for (;;) {
      if (this.#takes(',')) this.#table(scope);
      else if (this.#takesJoin()) this.#joined(scope);
      else return;
    }
  }

  #takesJoin(): boolean {
    let ahead = 0;
    while (joinWords.has(this.#upper(ahead))) ahead++;
    if (!this.#isAt(ahead, 'JOIN')) return false;
    this.#next += ahead + 1;
    return true;
  }

  #joined(scope: Scope): void {
    this.#table(scope);
    if (this.#takes('ON')) this.#expression(scope);
    else if (this.#takes('USING')) {
      this.#expect('(');
      this.#list(() => this.#name());
      this.#expect(')');
    }
  }

  /** A view, a query of WITH, or a subquery. Names are as they are written: `Calls` is not `calls`. */
  #table(scope: Scope): void {
    if (++this.#tables > maxTables) throw refused(this.#token().at, `a query reads from at most ${maxTables} tables`);
    if (this.#is('(')) this.#subquery(scope);
    else {
      const { text, at } = this.#name();
      if (this.#is('.')) throw refused(at, `\`${text}.\` is refused: views have no other name; ${whatIsThere}`);
      if (this.#is('(')) throw refused(at, `the table function ${text}() is refused; ${whatIsThere}`);
      const isThere = sqlViews.has(text) || scope.has(text);
      if (!isThere) throw refused(at, `there is no \`${text}\` to read from; ${whatIsThere}`);
    }
    if (this.#takes('AS')) this.#name();
  }

  #subquery(scope: Scope): void {
    this.#expect('(');
    if (!this.#startsQuery()) this.#refuse('a SELECT is wanted here');
    this.#query(scope);
    this.#expect(')');
  }

  #expressions(scope: Scope): void {
    this.#list(() => this.#expression(scope));
  }

  /** What binds stronger does not matter here: only what there is. */
  #expression(scope: Scope): void {
    this.#deeper(() => {
      do this.#operand(scope);
      while (this.#operator(scope));
    });
  }

  /** Reads what may follow an operand; whether another operand must follow. */
  #operator(scope: Scope): boolean {
    for (;;) {
      const word = this.#upper();
      if (operators.has(word)) {
        this.#next++;
        return true;
      }
      if (this.#takes('IS')) {
        this.#takes('NOT');
        this.#expect('NULL');
        continue;
      }
      const isNegated = word === 'NOT';
      if (comparisons.has(this.#upper(isNegated ? 1 : 0))) {
        this.#next += isNegated ? 2 : 1;
        return true;
      }
      if (!this.#isAt(isNegated ? 1 : 0, 'IN')) return false;
      this.#next += isNegated ? 2 : 1;
      this.#set(scope);
    }
  }

  /** What stands behind IN. A name there would be that of a table, in parentheses, too. */
  #set(scope: Scope): void {
    if (!this.#is('(')) this.#refuse('behind IN stands (SELECT …) or a list of values in parentheses');
    if (this.#startsQuery(1)) this.#subquery(scope);
    else this.#constant();
  }

  #constant(): void {
    this.#deeper(() => {
      if (this.#takes('(')) {
        this.#list(() => this.#constant());
        this.#expect(')');
      } else if (this.#is('{')) this.#parameter();
      else if (constants.has(this.#upper())) this.#next++;
      else {
        if (this.#takes('-') && this.#token().kind !== 'number') this.#refuse();
        if (!this.#isLiteral()) this.#refuse('behind IN stand values only, or (SELECT …)');
        this.#next++;
      }
    });
  }

  #operand(scope: Scope): void {
    while (this.#takes('NOT') || this.#takes('-'));
    if (this.#isLiteral()) this.#next++;
    else if (this.#is('{')) this.#parameter();
    else if (this.#is('[')) this.#bracketed(scope, '[', ']');
    else if (this.#is('(')) {
      if (this.#startsQuery(1)) this.#subquery(scope);
      else this.#bracketed(scope, '(', ')');
    } else if (this.#takes('CASE')) this.#case(scope);
    else if (this.#takes('INTERVAL')) this.#interval(scope);
    else if (this.#token().kind === 'word' && this.#isAt(1, '(')) this.#call(scope);
    else this.#reference();
    this.#elements(scope);
  }

  /** `[index]` and `.1`, behind an array and a tuple. */
  #elements(scope: Scope): void {
    for (;;) {
      if (this.#is('[')) this.#bracketed(scope, '[', ']');
      else if (this.#takes('.')) {
        if (!/^\d+$/.test(this.#token().text)) this.#refuse();
        this.#next++;
      } else return;
    }
  }

  /** A column, with or without its table. */
  #reference(): void {
    this.#name();
    if (this.#is('.') && this.#token(1).kind === 'word') {
      this.#next++;
      this.#name();
    }
  }

  /** A function, with the parameters that some have before their arguments. */
  #call(scope: Scope): void {
    const { text, at } = this.#token();
    if (!allowedFunctions.has(text.toLowerCase())) {
      if (keywords.has(text.toUpperCase())) this.#refuse();
      throw refused(at, `the function ${text}() is refused; docs/sql.md lists those that may be called`);
    }
    this.#next++;
    this.#arguments(scope);
    if (this.#is('(')) this.#arguments(scope);
  }

  #arguments(scope: Scope): void {
    this.#expect('(');
    this.#takes('DISTINCT');
    if (!this.#takes('*') && !this.#is(')')) this.#expressions(scope);
    this.#expect(')');
  }

  #bracketed(scope: Scope, open: '(' | '[', close: ')' | ']'): void {
    this.#expect(open);
    this.#expressions(scope);
    this.#expect(close);
  }

  #case(scope: Scope): void {
    if (!this.#is('WHEN')) this.#expression(scope);
    do {
      this.#expect('WHEN');
      this.#expression(scope);
      this.#expect('THEN');
      this.#expression(scope);
    } while (this.#is('WHEN'));
    if (this.#takes('ELSE')) this.#expression(scope);
    this.#expect('END');
  }

  #interval(scope: Scope): void {
    this.#deeper(() => this.#operand(scope));
    if (!intervals.has(this.#upper())) this.#refuse('an interval is written INTERVAL 7 DAY');
    this.#next++;
  }

  /** `{name:Type}`. */
  #parameter(): void {
    this.#expect('{');
    this.#params.add(this.#name().text);
    this.#expect(':');
    if (!paramTypes.has(this.#token().text)) this.#refuse(`types of parameters are ${[...paramTypes].join(', ')}`);
    this.#next++;
    this.#expect('}');
  }

  #name(): Token {
    const token = this.#token();
    if (token.kind !== 'word') this.#refuse();
    if (keywords.has(token.text.toUpperCase()))
      this.#refuse(waysOut[token.text.toUpperCase()] ?? 'it is a word of SQL');
    this.#next++;
    return token;
  }

  #list(item: () => void): void {
    do item();
    while (this.#takes(','));
  }

  /** Neither this program's stack nor the engine's is tried. */
  #deeper(read: () => void): void {
    if (++this.#depth > maxDepth) throw refused(this.#token().at, 'this is nested too deep');
    read();
    this.#depth--;
  }

  #token(ahead = 0): Token {
    return this.#tokens[this.#next + ahead] ?? (this.#tokens.at(-1) as Token);
  }

  /** The word or symbol as the language knows it; empty for text and numbers. */
  #upper(ahead = 0): string {
    const { kind, text } = this.#token(ahead);
    return kind === 'word' || kind === 'symbol' ? text.toUpperCase() : '';
  }

  #isAt(ahead: number, word: string): boolean {
    return this.#upper(ahead) === word;
  }

  #is(word: string): boolean {
    return this.#isAt(0, word);
  }

  #isLiteral(): boolean {
    const { kind } = this.#token();
    return kind === 'number' || kind === 'string';
  }

  #startsQuery(ahead = 0): boolean {
    return this.#isAt(ahead, 'SELECT') || this.#isAt(ahead, 'WITH');
  }

  #takes(word: string): boolean {
    if (!this.#is(word)) return false;
    this.#next++;
    return true;
  }

  #expect(word: string): void {
    if (!this.#takes(word)) this.#refuse();
  }

  #refuse(wanted = ''): never {
    const { kind, text, at } = this.#token();
    const way = wanted || waysOut[text.toUpperCase()] || (kind === 'word' ? aliasHint : '');
    const what = kind === 'end' ? 'the query ends too early' : `\`${text}\` is refused here`;
    throw refused(at, way === '' ? what : `${what}; ${way}`);
  }
}

const whatIsThere = `there are ${[...sqlViews].join(', ')}, and queries of WITH`;
const aliasHint = 'names are given with AS';
