-- What went through streams that have ended: bytes of each channel, by agent and pod. The most first.
-- param days=7   how far back
SELECT
  c.agent AS agent,
  c.namespace AS namespace,
  c.name AS pod,
  c.resource AS resource,
  s.channel AS channel,
  count() AS streams,
  sum(s.bytes) AS bytes,
  max(s.endedAt) AS last
FROM channels AS s
INNER JOIN calls AS c ON c.id = s.call
WHERE s.endedAt >= now() - INTERVAL {days:UInt16} DAY
GROUP BY agent, namespace, pod, resource, channel
ORDER BY bytes DESC, agent, namespace, pod, resource, channel
LIMIT 1000
