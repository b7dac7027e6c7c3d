-- What agents asked reviewers for, why a policy made them ask, and what became of it. Newest first.
-- param days=7   how far back
SELECT
  requestedAt,
  agent,
  concat(verb, ' ', resource, multiIf(name != '' AND namespace != '', concat(' ', namespace, '/', name), name != '', concat(' ', name),
    namespace != '', concat(' in ', namespace), '')) AS what,
  rule,
  reason,
  state,
  reviewers,
  if(decidedAt IS NULL, NULL, dateDiff('second', requestedAt, decidedAt)) AS decidedAfterSeconds,
  length(usedBy) AS uses,
  call,
  id
FROM approvals
WHERE requestedAt >= now() - INTERVAL {days:UInt16} DAY
ORDER BY requestedAt DESC, id DESC
LIMIT 1000
