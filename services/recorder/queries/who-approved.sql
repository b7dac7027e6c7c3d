-- Who approved what, with which words, and the calls that went to the cluster by it. Newest first.
-- param days=30   how far back
SELECT
  decidedAt,
  reviewers,
  comments,
  agent,
  concat(verb, ' ', resource, multiIf(name != '' AND namespace != '', concat(' ', namespace, '/', name), name != '', concat(' ', name),
    namespace != '', concat(' in ', namespace), '')) AS what,
  rule,
  state,
  usedBy,
  id
FROM approvals
WHERE decidedAt IS NOT NULL
  AND has(votes, 'approve')
  AND state != 'denied'
  AND decidedAt >= now() - INTERVAL {days:UInt16} DAY
ORDER BY decidedAt DESC, id DESC
LIMIT 1000
