-- Who read an object, and how: by itself, or with all of its kind in its namespace or in the cluster.
-- Changes and deletions count, for they are answered with the object; so does a watch that goes on. Of a Secret count,
-- as read through a pod, the streams and ephemeral containers in pods that refer to it.
-- param resource    resource[.group][/subresource], such as secrets
-- param namespace   of the object; empty for one without
-- param name        of the object
-- param days=7      how far back
SELECT
  agent,
  verb,
  multiIf(resource != {resource:String}, 'pod', name != '', 'object', namespace != '', 'namespace', 'cluster') AS read,
  effect,
  count() AS count,
  countIf(status = 101 OR status >= 200 AND status < 300) AS answered,
  min(at) AS first,
  max(at) AS last,
  session
FROM calls
WHERE (
    resource = {resource:String}
    AND namespace IN ('', {namespace:String})
    AND name IN ('', {name:String})
    AND verb != 'create'
    OR {resource:String} = 'secrets'
    AND namespace = {namespace:String}
    AND has(secrets, {name:String})
  )
  AND ifNull(endedAt, now()) >= now() - INTERVAL {days:UInt16} DAY
GROUP BY agent, session, verb, read, effect
ORDER BY last DESC, agent, verb, read
