import { globSync, readFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';

/** A query that comes with Sluice. */
export interface NamedQuery {
  readonly name: string;
  /** What it answers. */
  readonly about: string;
  readonly params: readonly QueryParam[];
  readonly sql: string;
}

export interface QueryParam {
  readonly name: string;
  readonly about: string;
  /** `null`: it must be given. */
  readonly value: string | null;
}

const directory = resolve(import.meta.dirname, '../../services/recorder/queries');

/** All of them, by name. A file begins with comments: what it answers, then a line for each parameter. */
export function namedQueries(): NamedQuery[] {
  const files = globSync('*.sql', { cwd: directory }).toSorted();
  return files.map((file) => parseQuery(basename(file, '.sql'), readFileSync(join(directory, file), 'utf8')));
}

function parseQuery(name: string, sql: string): NamedQuery {
  const lines = sql.split('\n').filter((line) => line.startsWith('-- '));
  const about = lines.filter((line) => !line.startsWith('-- param ')).map((line) => line.slice(3));
  const params = [...sql.matchAll(/^-- param (\w+)(?:=(\S*))? +(.+)$/gm)].map(
    ([, param = '', value = null, text = '']) => ({ name: param, about: text, value }),
  );
  return { name, about: about.join(' '), params, sql };
}
