-- Which agents call most: calls, changes among them, refusals, and bytes they were answered with.
-- param days=1   how far back
SELECT
  agent,
  count() AS count,
  countIf(verb NOT IN ('get', 'list', 'watch')) AS changes,
  countIf(effect = 'deny' OR outcome = 'refused') AS refused,
  sum(responseBytes) AS bytes,
  max(at) AS last
FROM calls
WHERE at >= now() - INTERVAL {days:UInt16} DAY
GROUP BY agent
ORDER BY count DESC, agent
