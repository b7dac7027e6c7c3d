-- What an agent did: its calls by verb, resource and namespace.
-- param agent    its name
-- param days=7   how far back
SELECT
  verb,
  resource,
  namespace,
  effect,
  count() AS count,
  min(at) AS first,
  max(at) AS last
FROM calls
WHERE agent = {agent:String}
  AND at >= now() - INTERVAL {days:UInt16} DAY
GROUP BY verb, resource, namespace, effect
ORDER BY count DESC, verb, resource, namespace, effect
