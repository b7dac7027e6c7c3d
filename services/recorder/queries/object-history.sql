-- What agents did to an object, and tried to do, in the order of time: all but reads, on its subresources, too.
-- param resource    resource[.group], such as deployments.apps
-- param namespace   of the object; empty for one without
-- param name        of the object
-- param days=30     how far back
SELECT at, agent, verb, resource, effect, reasonCode, outcome, status, id
FROM calls
WHERE (resource = {resource:String} OR startsWith(resource, concat({resource:String}, '/')))
  AND namespace = {namespace:String}
  AND (name = {name:String} OR verb = 'deletecollection')
  AND (verb NOT IN ('get', 'list', 'watch') OR match(resource, '/(exec|attach|portforward|proxy)$'))
  AND at >= now() - INTERVAL {days:UInt16} DAY
ORDER BY at, id
LIMIT 1000
