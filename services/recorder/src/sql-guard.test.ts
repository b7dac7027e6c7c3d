import assert from 'node:assert/strict';
import { test } from 'node:test';
import { guardSql } from './sql-guard.ts';
import { SqlError } from './sql-tokens.ts';

function refusal(query: string): string {
  try {
    guardSql(query);
  } catch (error) {
    assert.ok(error instanceof SqlError, query);
    assert.doesNotMatch(error.message, /\n/);
    return error.message;
  }
  return assert.fail(`${query} passed`);
}

const passing = [
  'SELECT 1',
  'select Count(*) from calls',
  'SELECT * FROM calls',
  'SELECT calls.*, f.kind FROM calls LEFT JOIN frames AS f ON f.call = calls.id',
  'SELECT c.id FROM calls AS c, decisions AS d WHERE c.id = d.call',
  'SELECT id FROM calls INNER JOIN (SELECT call AS id FROM decisions) AS d USING (id)',
  'SELECT agent, count() AS n, quantile(0.95)(durationMs) FROM calls GROUP BY agent HAVING n > 1 ORDER BY n DESC NULLS LAST, agent LIMIT 5 OFFSET 1',
  'SELECT at FROM calls ORDER BY at LIMIT 1 BY agent LIMIT 10, 20',
  'SELECT DISTINCT agent FROM calls WHERE at > now() - INTERVAL 7 DAY',
  "SELECT id FROM calls WHERE verb NOT IN ('get', 'list') AND status IN (200, -1, NULL) AND (verb, name) IN (('get', 'a'))",
  'SELECT id FROM calls WHERE id IN (SELECT call FROM decisions)',
  "SELECT id FROM calls WHERE name LIKE 'a%' OR name NOT ILIKE '%b' AND status BETWEEN 200 AND 299 AND outcome IS NOT NULL",
  "SELECT CASE WHEN status < 400 THEN 'good' ELSE 'bad' END, CASE verb WHEN 'get' THEN 1 END FROM calls",
  'SELECT groups[1], (agent, verb).2, [1, 2][1], -seq, NOT incomplete, arrayJoin(groups) FROM calls',
  'WITH busy AS (SELECT agent FROM calls), 5 AS five SELECT agent, five FROM busy UNION ALL SELECT agent, 1 FROM busy',
  'WITH (SELECT max(at) FROM calls) AS newest SELECT id FROM calls WHERE at = newest',
  "SELECT 'it''s; -- \\' /* FORMAT */ $$ “text”' AS text",
  'SELECT offset, at, first FROM (SELECT offset, at, kind AS first FROM frames)',
  'SELECT 1 -- the end; FORMAT',
];
for (const query of passing) {
  test(`passes: ${query}`, () => {
    guardSql(query);
  });
}

test('what passes goes to the engine as it was, its comments made blanks, and its parameters are known', () => {
  const query = 'SELECT -- é\n\t1,\r\n {days:UInt16} - - {name:String} --';
  assert.deepEqual(guardSql(query), {
    text: 'SELECT     \n 1,\r\n {days:UInt16} - - {name:String}   ',
    params: new Set(['days', 'name']),
  });
});

const files = /the (table )?function \w+\(\) is refused/i;
const statement = /only one statement is answered, without `;`/;
const table = /there are calls, channels, decisions, approvals, sessions, frames, and queries of WITH$/;
const refusals: readonly (readonly [string, RegExp])[] = [
  // Files, addresses and other hosts.
  ["SELECT file('/etc/hostname')", /^position 8: the function file\(\) is refused; docs\/sql\.md lists/],
  ["SELECT FiLe ('/etc/hostname')", files],
  ["SELECT file\n\t('/etc/hostname')", files],
  ["SELECT file--\n('/etc/hostname')", files],
  ["SELECT * FROM file('/etc/hostname')", /^position 15: the table function file\(\) is refused; there are/],
  ["SELECT * FROM url('http://127.0.0.1')", files],
  ["SELECT * FROM s3('http://127.0.0.1')", files],
  ["SELECT * FROM remote('127.0.0.1', system.one)", files],
  ["SELECT * FROM executable('x', 'TSV', 'x String')", files],
  ["SELECT * FROM calls JOIN url('http://127.0.0.1') AS u ON 1", files],
  ["SELECT * FROM calls, file('/etc/hostname')", files],
  ["SELECT * FROM (SELECT * FROM file('/etc/hostname'))", files],
  ["WITH x AS (SELECT * FROM file('/etc/hostname')) SELECT 1", files],
  ["SELECT id FROM calls WHERE id IN (SELECT * FROM file('/etc/hostname'))", files],
  ["SELECT id FROM calls WHERE id IN file('/etc/hostname')", /behind IN/],
  ["SELECT id FROM calls WHERE id IN (file('/etc/hostname'))", /behind IN/],
  ["SELECT 1 UNION ALL SELECT * FROM file('/etc/hostname')", files],
  ['SELECT * FROM merge(default, x)', files],
  ['SELECT * FROM view(SELECT 1)', files],
  ['SELECT * FROM viewExplain(SELECT 1)', files],
  ["SELECT * FROM input('x String')", files],
  ['SELECT * FROM numbers(10)', files],
  ["SELECT * FROM generateRandom('x String')", files],
  ['SELECT * FROM VALUES(1)', /`VALUES` is refused/],
  // Functions that read what is not their argument, wait, or make much of nothing.
  ["SELECT joinGet('t', 'x', 1)", files],
  ["SELECT dictGet('d', 'x', 1)", files],
  ["SELECT dictGetOrDefault('d', 'x', 1, 2)", files],
  ["SELECT getSetting('readonly')", files],
  ['SELECT sleep(3)', files],
  ['SELECT sleepEachRow(3)', files],
  ['SELECT range(100000000)', files],
  ["SELECT repeat('x', 100000000)", files],
  ['SELECT hostName()', files],
  ["SELECT hasColumnInTable('system', 'tables', 'name')", files],
  ['SELECT currentDatabase()', files],
  ['SELECT in(id, record) FROM calls', /`in` is refused/],
  ['SELECT globalIn(id, record) FROM calls', files],
  ['SELECT CAST(id AS String) FROM calls', /`CAST` is refused/],
  ['SELECT EXISTS (SELECT 1)', /`EXISTS` is refused/],
  // Output to elsewhere, other forms, other limits.
  ["SELECT 1 INTO OUTFILE 'answer.csv'", /`INTO` is refused here; send the output/],
  ["SELECT 1 AS INTO OUTFILE 'answer.csv'", /`INTO` is refused/],
  ['SELECT 1 FORMAT CSV', /`FORMAT` is refused here; use the flag --format/],
  ['SELECT 1 FoRmAt CSV', /is refused here; use the flag --format/],
  ['SELECT 1, FORMAT Null', /`FORMAT` is refused/],
  ['SELECT 1 SETTINGS readonly = 0', /`SETTINGS` is refused here; limits are the same/],
  ['SELECT * FROM (SELECT 1 SETTINGS readonly = 0)', /`SETTINGS` is refused/],
  // More than one statement, and other statements.
  ['SELECT 1;', statement],
  ['SELECT 1; DROP TABLE record', statement],
  ['SELECT 1 --\n; DROP TABLE record', statement],
  ['EXPLAIN AST a; b', statement],
  [';SELECT 1', statement],
  ['EXPLAIN SELECT 1', /^position 1: only SELECT is answered, not `EXPLAIN`$/],
  ['EXPLAIN QUERY TREE SELECT 1', /only SELECT is answered/],
  ['SHOW TABLES', /only SELECT is answered, not `SHOW`/],
  ['DESCRIBE calls', /only SELECT is answered/],
  ['DESC calls', /only SELECT is answered/],
  ['EXISTS calls', /only SELECT is answered/],
  ['INSERT INTO record SELECT 1', /only SELECT is answered/],
  ['CREATE TABLE x (y String)', /only SELECT is answered/],
  ['ALTER TABLE record DELETE WHERE 1', /only SELECT is answered/],
  ['DROP TABLE record', /only SELECT is answered/],
  ['SYSTEM SHUTDOWN', /only SELECT is answered/],
  ['SET readonly = 0', /only SELECT is answered/],
  ['USE system', /only SELECT is answered/],
  ['KILL QUERY WHERE 1', /only SELECT is answered/],
  ['GRANT ALL ON *.* TO x', /only SELECT is answered/],
  ['FROM calls SELECT id', /only SELECT is answered/],
  ['(SELECT 1)', /only SELECT is answered/],
  ['WITH x AS (SELECT 1) INSERT INTO record SELECT 1', /`INSERT` is refused/],
  ['', /only SELECT is answered/],
  ['-- nothing', /only SELECT is answered/],
  // Other tables.
  ['SELECT * FROM system.tables', /^position 15: `system\.` is refused: views have no other name/],
  ['SELECT * FROM SYSTEM . tables', /`SYSTEM\.` is refused/],
  ['SELECT * FROM information_schema.tables', /`information_schema\.` is refused/],
  ['SELECT * FROM default.calls', /`default\.` is refused/],
  ['SELECT * FROM record', /^position 15: there is no `record` to read from/],
  ['SELECT * FROM quarantine', table],
  ['SELECT * FROM Calls', table],
  ['SELECT * FROM calls, record', table],
  ['SELECT * FROM calls CROSS JOIN record', table],
  ['SELECT * FROM calls AS c LEFT JOIN system.tables AS t ON 1', table],
  ['SELECT id IN record FROM calls', /`record` is refused here; behind IN/],
  ['SELECT id IN (record) FROM calls', /`record` is refused here; behind IN/],
  ['SELECT id IN ((record)) FROM calls', /behind IN/],
  ["SELECT id IN ('a', record) FROM calls", /behind IN/],
  ['SELECT id NOT IN calls FROM calls', /behind IN/],
  ['SELECT id GLOBAL IN record FROM calls', /`GLOBAL` is refused/],
  ['WITH x AS (SELECT name FROM system.tables) SELECT * FROM x', /`system\.` is refused/],
  ['SELECT * FROM (record)', /a SELECT is wanted here/],
  ['SELECT * FROM (calls)', /a SELECT is wanted here/],
  ['SELECT default.record.seq FROM calls', /is refused/],
  ['SELECT default.record.* FROM calls', /is refused/],
  // Names that are not what they seem.
  ['SELECT * FROM `system`.`tables`', /names are written without quotes/],
  ['SELECT * FROM "system"."tables"', /names are written without quotes/],
  ["SELECT `file`('/etc/hostname')", /names are written without quotes/],
  ['SELECT "file"(\'/etc/hostname\')', /names are written without quotes/],
  ['WITH calls AS (SELECT 1) SELECT * FROM calls', /`calls` is a view; give the query in WITH another name/],
  ['WITH CALLS AS (SELECT 1) SELECT * FROM CALLS', /is a view/],
  ['WITH record AS (SELECT * FROM record) SELECT * FROM record', table],
  ['SELECT * FROM (WITH record AS (SELECT 1) SELECT * FROM record), record', table],
  ['WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a', table],
  ['WITH RECURSIVE x AS (SELECT 1 UNION ALL SELECT * FROM x) SELECT * FROM x', /`RECURSIVE` is refused/],
  ['SELECT * FROM {t:Identifier}', /`\{` is refused/],
  ['SELECT {c:Identifier} FROM calls', /`Identifier` is refused here; types of parameters are String/],
  ['SELECT {c:Array(String)} FROM calls', /`Array` is refused/],
  ['SELECT arrayMap(calls -> file(calls), groups) FROM calls', /functions of one's own/],
  ['SELECT arraySort(id -> id, groups) FROM calls', /functions of one's own \(`->`\) are refused/],
  // Comments, quotes and blanks that the engine reads otherwise.
  ["SELECT fi/**/le('/etc/hostname')", /begin comments with `--`/],
  ["SELECT file/* */('/etc/hostname')", /begin comments with `--`/],
  ['SELECT 1 # comment', /begin comments with `--`/],
  ['SELECT 1 #! comment', /begin comments with `--`/],
  ['SELECT $$text$$', /`\$` is refused; text stands in single quotes/],
  ['SELECT $x$text$x$', /`\$` is refused/],
  ['SELECT\u00a01', /only ASCII/],
  ['SELECT\u20031', /only ASCII/],
  ['SELECT\ufeff1', /only ASCII/],
  ['SELECT\u000b1', /only ASCII/],
  ['SELECT 1\u0000', /only ASCII/],
  ['SELECT ‘text’', /only ASCII/],
  ['SELECT “id” FROM calls', /only ASCII/],
  ['SELECT * FROM саlls', /only ASCII/],
  ["SELECT 'text", /this text has no end/],
  ["SELECT 'text\\'", /this text has no end/],
  ["SELECT 'a\u0000b'", /control character/],
  ["SELECT 'a' 'b'", /`'b'` is refused/],
  ["SELECT x'2f657463'", /is refused/],
  ['SELECT 0x10', /not a number/],
  ['SELECT 1_000', /not a number/],
  // The rest of ClickHouse's own SQL.
  ['SELECT id FROM calls ARRAY JOIN groups', /`ARRAY` is refused here; use arrayJoin\(\)/],
  ['SELECT id FROM calls LEFT ARRAY JOIN groups', /is refused/],
  ['SELECT id FROM calls PREWHERE 1', /`PREWHERE` is refused here; use WHERE/],
  ['SELECT id FROM calls FINAL', /`FINAL` is refused/],
  ['SELECT id FROM calls AS FINAL', /`FINAL` is refused/],
  ['SELECT id FROM calls SAMPLE 1', /`SAMPLE` is refused/],
  ["SELECT COLUMNS('a') FROM calls", /`COLUMNS` is refused here; name the columns/],
  ['SELECT * APPLY toString FROM calls', /`APPLY` is refused here; name the columns/],
  ['SELECT * APPLY(toString) FROM calls', /`APPLY` is refused/],
  ['SELECT * REPLACE (1 AS id) FROM calls', /`REPLACE` is refused/],
  ['SELECT * EXCEPT (id) FROM calls', /`EXCEPT` is refused/],
  ['SELECT 1 EXCEPT SELECT 2', /`EXCEPT` is refused/],
  ['SELECT 1 INTERSECT SELECT 2', /`INTERSECT` is refused/],
  ['SELECT 1 UNION SELECT 2', /`SELECT` is refused/],
  ['SELECT row_number() OVER (ORDER BY id) FROM calls', /row_number\(\) is refused/],
  ['SELECT max(at) OVER () FROM calls', /`OVER` is refused/],
  ['SELECT at FROM calls ORDER BY at WITH FILL', /`WITH` is refused/],
  ['SELECT agent FROM calls GROUP BY agent WITH TOTALS', /`WITH` is refused/],
  ['SELECT DISTINCT ON (agent) id FROM calls', /`ON` is refused/],
  ['SELECT TOP 5 id FROM calls', /`TOP` is refused/],
  ['SELECT id::String FROM calls', /`::` is refused; use a function such as toString\(\)/],
  ['SELECT status > 400 ? 1 : 2 FROM calls', /`\?` is refused; use if\(\)/],
  ['SELECT agent a FROM calls', /`a` is refused here; names are given with AS/],
  ['SELECT agent AS group FROM calls', /^position 17: `group` is refused here; it is a word of SQL$/],
  ['SELECT id FROM calls c', /`c` is refused here; names are given with AS/],
  ['SELECT id, FROM calls', /`FROM` is refused/],
  ['SELECT (1', /the query ends too early/],
  ['SELECT 1)', /`\)` is refused/],
  ['SELECT @@version', /`@` is refused/],
  [`SELECT ${'('.repeat(100)}1${')'.repeat(100)}`, /nested too deep/],
  [`SELECT ${'INTERVAL '.repeat(3_000)}1`, /nested too deep/],
  [`SELECT 1 FROM calls${', calls'.repeat(20)}`, /^position 155: a query reads from at most 20 tables$/],
  [`SELECT '${'x'.repeat(40_000)}'`, /at most 32768 characters/],
];
for (const [query, message] of refusals) {
  test(`refuses: ${JSON.stringify(query).slice(0, 100)}`, () => {
    assert.match(refusal(query), message);
  });
}
