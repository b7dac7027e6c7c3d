-- Who ran what where: commands in pods and attachments to them, with how they ended. Newest first.
-- param days=7   how far back
SELECT
  at,
  agent,
  namespace,
  name AS pod,
  container,
  command,
  tty,
  grade,
  effect,
  outcome,
  exitCode,
  message,
  id
FROM calls
WHERE resource IN ('pods/exec', 'pods/attach')
  AND at >= now() - INTERVAL {days:UInt16} DAY
ORDER BY at DESC, id DESC
LIMIT 1000
