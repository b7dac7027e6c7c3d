// The words of the SQL that `sluice sql` takes.

/** What may be read. */
export const sqlViews: ReadonlySet<string> = words('calls channels decisions approvals sessions frames');

/**
 * The functions that a query may call: each works on its arguments alone and gives at most as much as it got. None reads
 * a file, an address, a table, a dictionary, a setting or the environment, waits, or makes data out of nothing.
 */
export const functionsByKind: Readonly<Record<string, ReadonlySet<string>>> = {
  'counts and sums': words(`count sum avg min max any anyLast argMin argMax uniq uniqExact median quantile quantileExact
    stddevPop groupArray groupUniqArray topK countIf sumIf avgIf minIf maxIf anyIf argMinIf argMaxIf uniqIf uniqExactIf
    quantileIf groupArrayIf groupUniqArrayIf`),
  choices: words('if multiIf ifNull nullIf coalesce isNull isNotNull greatest least'),
  text: words(`length lengthUTF8 empty notEmpty lower upper lowerUTF8 upperUTF8 reverse concat substring substringUTF8
    left right trimLeft trimRight trimBoth startsWith endsWith position positionCaseInsensitive countSubstrings match
    extract extractAll splitByChar splitByString replaceOne replaceAll replaceRegexpOne replaceRegexpAll hex base64Encode
    base64Decode path queryString extractURLParameter decodeURLComponent formatReadableSize`),
  times: words(`now today yesterday toDate toDateTime toDateTime64 toUnixTimestamp fromUnixTimestamp
    fromUnixTimestamp64Milli parseDateTimeBestEffort formatDateTime dateDiff toStartOfMinute toStartOfFiveMinutes
    toStartOfFifteenMinutes toStartOfHour toStartOfDay toStartOfWeek toStartOfMonth toYear toMonth toDayOfMonth
    toDayOfWeek toHour toMinute toSecond toIntervalSecond toIntervalMinute toIntervalHour toIntervalDay toIntervalWeek`),
  numbers: words(`abs round floor ceil sqrt intDiv modulo toString toInt64 toInt64OrZero toInt64OrNull toUInt64
    toUInt64OrZero toUInt64OrNull toFloat64 toFloat64OrZero toFloat64OrNull`),
  JSON: words(`isValidJSON JSONHas JSONLength JSONType JSONExtractString JSONExtractInt JSONExtractUInt JSONExtractFloat
    JSONExtractBool JSONExtractRaw JSONExtractArrayRaw JSONExtractKeys`),
  'arrays and tuples': words(`array tuple tupleElement has hasAny hasAll indexOf arrayJoin arrayElement arrayConcat
    arraySlice arraySort arrayReverse arrayDistinct arrayUniq arrayStringConcat arraySum arrayMin arrayMax`),
};

/** In lower case: SQL's own may be written in any. */
export const allowedFunctions: ReadonlySet<string> = new Set(
  Object.values(functionsByKind).flatMap((names) => [...names].map((name) => name.toLowerCase())),
);

/** Types of parameters. `Identifier` would put a name where a value is meant. */
export const paramTypes: ReadonlySet<string> = words(
  'String Bool Int32 Int64 UInt8 UInt16 UInt32 UInt64 Float64 Date DateTime',
);

/** Words that are refused, and what to do instead. */
export const waysOut: Readonly<Record<string, string>> = {
  FORMAT: 'use the flag --format',
  INTO: 'send the output of the command to a file',
  OUTFILE: 'send the output of the command to a file',
  SETTINGS: 'limits are the same for every query',
  PREWHERE: 'use WHERE',
  ARRAY: 'use arrayJoin()',
  FINAL: 'the views are final',
  SAMPLE: 'use LIMIT',
  COLUMNS: 'name the columns',
  APPLY: 'name the columns',
  REPLACE: 'name the columns',
  EXCEPT: 'name the columns, or use NOT IN (SELECT …)',
  INTERSECT: 'use IN (SELECT …)',
  RECURSIVE: 'join a view with itself',
  OVER: 'use GROUP BY',
  WINDOW: 'use GROUP BY',
  QUALIFY: 'use a subquery and WHERE',
  GLOBAL: 'leave it out',
};

/** No names: the engine could take them for words of the language. */
export const keywords: ReadonlySet<string> = new Set([
  ...Object.keys(waysOut),
  ...words(`SELECT WITH DISTINCT FROM JOIN ON USING WHERE GROUP HAVING ORDER BY LIMIT UNION AS AND OR NOT IN IS LIKE ILIKE
    BETWEEN CASE WHEN THEN ELSE END INTERVAL INNER CROSS LEFT RIGHT FULL EXISTS CAST DIV MOD REGEXP INSERT CREATE ALTER
    DROP VALUES PARALLEL EXPLAIN DATE TIMESTAMP TOP`),
]);

export const joinWords: ReadonlySet<string> = words('INNER LEFT RIGHT FULL CROSS OUTER ANY ALL SEMI ANTI ASOF');
export const operators: ReadonlySet<string> = words('+ - * / % = == != <> < <= > >= || AND OR');
/** Those that NOT may stand before. */
export const comparisons: ReadonlySet<string> = words('LIKE ILIKE BETWEEN');
export const intervals: ReadonlySet<string> = words('SECOND MINUTE HOUR DAY WEEK MONTH QUARTER YEAR');
export const constants: ReadonlySet<string> = words('NULL TRUE FALSE');

function words(text: string): ReadonlySet<string> {
  return new Set(text.split(/\s+/));
}
