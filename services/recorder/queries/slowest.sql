-- The calls that took longest, watches left aside.
-- param days=1     how far back
-- param rows=20    how many
SELECT durationMs, at, agent, verb, resource, namespace, name, status, id
FROM calls
WHERE verb != 'watch'
  AND durationMs IS NOT NULL
  AND at >= now() - INTERVAL {days:UInt16} DAY
ORDER BY durationMs DESC, id
LIMIT {rows:UInt16}
