/**
 * The views of a database of version 2, which no newer one changes: `views.ts` has those that people see. The migration
 * to it was released.
 */

/** `meta` of a call frame, as far as views show it. */
const callMeta = `Tuple(
      agent Tuple(name String, issuer String, groups Array(String)),
      connection String,
      attributes Tuple(kind String, verb String, apiGroup String, resource String, subresource String,
        namespace String, name String, path String),
      method String,
      target String,
      userAgent String,
      decision Tuple(effect String, policy String, rule String, reasonCode String, reason String, policyVersion String,
        authority UInt64, impersonate Tuple(user String, groups Array(String)))
    )`;

const decided = `SELECT call, session, at, ledger, seq, JSONExtract(meta, '${callMeta}') AS m
    FROM record WHERE kind = 'call'`;

/** `meta` of an outcome frame. */
const outcomeMeta = `Tuple(outcome String, status UInt16, reasonCode String, body Tuple(bytes UInt64),
      durationMicros UInt64)`;

/** Calls, and their ends where there is one. What is presumed counts while the writer's own word is not there. */
const callsAndEnds = `(${decided}) AS c
  LEFT JOIN (
    SELECT call, session, end.1 AS endedAt, end.2 AS endLedger, end.3 AS endSeq, end.4.outcome AS outcome,
      end.4.status AS status, end.4.reasonCode AS reasonCode, end.4.durationMicros AS durationMicros,
      end.4.body.bytes AS responseBytes
    FROM (
      SELECT call, session, argMin((at, ledger, seq, m), (m.outcome = 'presumed-unknown', at)) AS end
      FROM (
        SELECT call, session, at, ledger, seq, JSONExtract(meta, '${outcomeMeta}') AS m FROM record WHERE kind = 'outcome'
      )
      GROUP BY call, session
    )
  ) AS e ON c.call = e.call AND c.session = e.session`;

/** Positions that were lost with their writers: runs of them, each with its ledger, first and last. */
const lost = `SELECT groupArray((ledger, range[1], range[2])) FROM (
    SELECT JSONExtractString(meta, 'head', 'ledger') AS ledger,
      arrayJoin(JSONExtract(meta, 'missing', 'Array(Array(UInt64))')) AS range
    FROM record WHERE kind = 'ledger-closed'
  )`;

/** `resource[.group][/subresource]`, or the path of a call for no resource. */
const resource = `if(m.attributes.kind = 'nonResource', m.attributes.path, concat(
      m.attributes.resource,
      if(m.attributes.apiGroup = '', '', '.' || m.attributes.apiGroup),
      if(m.attributes.subresource = '', '', '/' || m.attributes.subresource)))`;

/** Whether only presumption ended a call, or something was lost between its first frame and its last. */
const incomplete = `CAST(
      ifNull(e.outcome, '') = 'presumed-unknown' OR arrayExists(run ->
        (run.1 = c.ledger AND run.3 > c.seq AND (ifNull(e.endLedger, '') != c.ledger OR run.2 < assumeNotNull(e.endSeq)))
        OR (run.1 = ifNull(e.endLedger, '') AND run.1 != c.ledger AND run.2 < assumeNotNull(e.endSeq)),
      lost) AS Bool)`;

export const viewsBeforeApprovals: readonly string[] = [
  `CREATE OR REPLACE VIEW calls AS
  WITH (${lost}) AS lost
  SELECT
    c.call AS id,
    c.at AS at,
    e.endedAt AS endedAt,
    m.agent.name AS agent,
    m.agent.issuer AS issuer,
    m.agent.groups AS groups,
    CAST(NULL AS Nullable(String)) AS task,
    c.session AS session,
    m.connection AS connection,
    m.attributes.verb AS verb,
    m.attributes.apiGroup AS apiGroup,
    ${resource} AS resource,
    m.attributes.namespace AS namespace,
    m.attributes.name AS name,
    m.method AS method,
    m.target AS target,
    m.userAgent AS userAgent,
    m.decision.effect AS effect,
    m.decision.policy AS policy,
    m.decision.rule AS rule,
    if(ifNull(e.reasonCode, '') = '', m.decision.reasonCode, assumeNotNull(e.reasonCode)) AS reasonCode,
    m.decision.reason AS reason,
    e.status AS status,
    e.outcome AS outcome,
    e.durationMicros / 1000 AS durationMs,
    e.responseBytes AS responseBytes,
    ${incomplete} AS incomplete,
    c.ledger AS ledger,
    c.seq AS seq
  FROM ${callsAndEnds}
  SETTINGS join_use_nulls = 1`,

  `CREATE OR REPLACE VIEW decisions AS
  SELECT
    call,
    at,
    m.agent.name AS agent,
    session,
    m.connection AS connection,
    m.attributes.verb AS verb,
    ${resource} AS resource,
    m.attributes.namespace AS namespace,
    m.attributes.name AS name,
    m.decision.effect AS effect,
    m.decision.policy AS policy,
    m.decision.rule AS rule,
    m.decision.reasonCode AS reasonCode,
    m.decision.reason AS reason,
    m.decision.policyVersion AS policyVersion,
    m.decision.authority AS authority,
    m.decision.impersonate.user AS impersonateUser,
    m.decision.impersonate.groups AS impersonateGroups,
    ledger,
    seq
  FROM (${decided})`,

  `CREATE OR REPLACE VIEW sessions AS
  SELECT
    session AS id,
    any(agent) AS agent,
    any(task) AS task,
    min(at) AS startedAt,
    if(countIf(outcome IS NULL) > 0, NULL, max(endedAt)) AS endedAt,
    count() AS calls
  FROM calls GROUP BY session`,

  `CREATE OR REPLACE VIEW frames AS
  SELECT ledger, seq, call, session, at, kind, offset, meta, length(bytes) AS size, bytes, stored_at AS storedAt FROM record`,
];
