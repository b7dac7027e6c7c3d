-- Calls that may have changed the cluster or not: the connection broke, or the writer of their record died. Newest first.
-- param days=7   how far back
SELECT at, agent, verb, resource, namespace, name, outcome, id
FROM calls
WHERE outcome IN ('failed', 'presumed-unknown')
  AND at >= now() - INTERVAL {days:UInt16} DAY
ORDER BY at DESC, id DESC
LIMIT 1000
