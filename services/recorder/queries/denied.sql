-- What Sluice refused, by agent and reason, with the newest example.
-- param days=7   how far back
SELECT
  agent,
  reasonCode,
  count() AS count,
  min(at) AS first,
  max(at) AS last,
  argMax(concat(verb, ' ', resource, if(name = '', '', concat(' ', name))), at) AS newest,
  argMax(id, at) AS call
FROM calls
WHERE (effect = 'deny' OR outcome = 'refused')
  AND at >= now() - INTERVAL {days:UInt16} DAY
GROUP BY agent, reasonCode
ORDER BY count DESC, agent, reasonCode
