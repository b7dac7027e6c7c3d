/**
 * The views of a database of version 3, and what newer ones still make theirs of. The migration to it was released: what
 * is here stays as it is, and `views.ts` has what people see now.
 */

/** What was decided, as it stands in a call frame and in a decision frame. */
export const decisionMeta = `Tuple(effect String, policy String, rule String, reasonCode String, reason String, policyVersion String,
        authority UInt64, impersonate Tuple(user String, groups Array(String)))`;

/** What a call is about. */
export const attributesMeta = `Tuple(kind String, verb String, apiGroup String, resource String, subresource String,
        namespace String, name String, path String)`;

/** `meta` of a call frame, as far as views show it. */
const callMeta = `Tuple(
      agent Tuple(name String, issuer String, groups Array(String)),
      connection String,
      attributes ${attributesMeta},
      method String,
      target String,
      userAgent String,
      decision ${decisionMeta}
    )`;

const decided = `SELECT call, session, at, ledger, seq, JSONExtract(meta, '${callMeta}') AS m
    FROM record WHERE kind = 'call'`;

/** `meta` of a decision frame. */
export const secondMeta = `decision ${decisionMeta}, approval String, reviewers Array(String)`;

const decidedAgain = `SELECT call, session, at, ledger, seq, JSONExtract(meta, 'Tuple(${secondMeta})') AS second
    FROM record WHERE kind = 'decision'`;

/** `meta` of an outcome frame, or of a decision frame. */
const laterMeta = `Tuple(outcome String, status UInt16, reasonCode String, body Tuple(bytes UInt64),
      durationMicros UInt64, ${secondMeta})`;

/**
 * Calls, their second decisions and their ends, where there are such. What is presumed counts while the writer's own word
 * is not there.
 */
const callsAndEnds = `(${decided}) AS c
  LEFT JOIN (
    SELECT call, session,
      if(ends = 0, NULL, end.1) AS endedAt,
      if(ends = 0, NULL, end.2) AS endLedger,
      if(ends = 0, NULL, end.3) AS endSeq,
      if(ends = 0, NULL, end.4.outcome) AS outcome,
      if(ends = 0, NULL, end.4.status) AS status,
      if(ends = 0, NULL, end.4.reasonCode) AS reasonCode,
      if(ends = 0, NULL, end.4.durationMicros) AS durationMicros,
      if(ends = 0, NULL, end.4.body.bytes) AS responseBytes,
      if(seconds = 0, NULL, second.decision.effect) AS secondEffect,
      second.decision.policy AS secondPolicy,
      second.decision.rule AS secondRule,
      second.decision.reasonCode AS secondReasonCode,
      second.decision.reason AS secondReason,
      if(seconds = 0, NULL, second.approval) AS approval
    FROM (
      SELECT call, session, countIf(kind = 'outcome') AS ends, countIf(kind = 'decision') AS seconds,
        argMinIf((at, ledger, seq, m), (m.outcome = 'presumed-unknown', at), kind = 'outcome') AS end,
        argMaxIf(m, at, kind = 'decision') AS second
      FROM (
        SELECT call, session, at, ledger, seq, kind, JSONExtract(meta, '${laterMeta}') AS m
        FROM record WHERE kind IN ('outcome', 'decision')
      )
      GROUP BY call, session
    )
  ) AS e ON c.call = e.call AND c.session = e.session`;

/** `meta` of an approval frame. */
const approvalMeta = `Tuple(
      approval String,
      seq UInt64,
      atMs UInt64,
      state String,
      event Tuple(
        kind String,
        request Tuple(agent Tuple(name String, issuer String), connection String, attributes ${attributesMeta},
          policy String, rule String, reason String, exact String, shape String),
        vote String,
        reviewer Tuple(name String),
        reason String,
        call String))`;

/** A time as views have it. `ms`: milliseconds since the epoch. */
const time = (ms: string): string => `fromUnixTimestamp64Micro(toInt64(${ms}) * 1000, 'UTC')`;

/** Positions that were lost with their writers: runs of them, each with its ledger, first and last. */
export const lost = `SELECT groupArray((ledger, range[1], range[2])) FROM (
    SELECT JSONExtractString(meta, 'head', 'ledger') AS ledger,
      arrayJoin(JSONExtract(meta, 'missing', 'Array(Array(UInt64))')) AS range
    FROM record WHERE kind = 'ledger-closed'
  )`;

/** `resource[.group][/subresource]`, or the path of what is for no resource. `of`: its attributes. */
export const resourceOf = (of: string): string => `if(${of}.kind = 'nonResource', ${of}.path, concat(
      ${of}.resource,
      if(${of}.apiGroup = '', '', '.' || ${of}.apiGroup),
      if(${of}.subresource = '', '', '/' || ${of}.subresource)))`;

/** The final decision: the second one, where there is one. */
export const final = (first: string, second: string): string =>
  `if(e.secondEffect IS NULL, m.decision.${first}, assumeNotNull(e.${second}))`;

/** Whether only presumption ended a call, or something was lost between its first frame and its last. */
export const incomplete = `CAST(
      ifNull(e.outcome, '') = 'presumed-unknown' OR arrayExists(run ->
        (run.1 = c.ledger AND run.3 > c.seq AND (ifNull(e.endLedger, '') != c.ledger OR run.2 < assumeNotNull(e.endSeq)))
        OR (run.1 = ifNull(e.endLedger, '') AND run.1 != c.ledger AND run.2 < assumeNotNull(e.endSeq)),
      lost) AS Bool)`;

export const viewsBeforeStreams: readonly string[] = [
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
    ${resourceOf('m.attributes')} AS resource,
    m.attributes.namespace AS namespace,
    m.attributes.name AS name,
    m.method AS method,
    m.target AS target,
    m.userAgent AS userAgent,
    ${final('effect', 'secondEffect')} AS effect,
    ${final('policy', 'secondPolicy')} AS policy,
    ${final('rule', 'secondRule')} AS rule,
    if(ifNull(e.reasonCode, '') = '', ${final('reasonCode', 'secondReasonCode')}, assumeNotNull(e.reasonCode)) AS reasonCode,
    ${final('reason', 'secondReason')} AS reason,
    e.approval AS approval,
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
    ${resourceOf('m.attributes')} AS resource,
    m.attributes.namespace AS namespace,
    m.attributes.name AS name,
    decision.effect AS effect,
    decision.policy AS policy,
    decision.rule AS rule,
    decision.reasonCode AS reasonCode,
    decision.reason AS reason,
    approval,
    reviewers,
    decision.policyVersion AS policyVersion,
    decision.authority AS authority,
    decision.impersonate.user AS impersonateUser,
    decision.impersonate.groups AS impersonateGroups,
    ledger,
    seq
  FROM (
    SELECT call, session, at, ledger, seq, m, m.decision AS decision, CAST(NULL AS Nullable(String)) AS approval,
      CAST([] AS Array(String)) AS reviewers
    FROM (${decided})
    UNION ALL
    SELECT d.call AS call, d.session AS session, d.at AS at, d.ledger AS ledger, d.seq AS seq, c.m AS m,
      d.second.decision AS decision, CAST(d.second.approval AS Nullable(String)) AS approval,
      d.second.reviewers AS reviewers
    FROM (${decidedAgain}) AS d
    LEFT JOIN (${decided} AND call IN (SELECT call FROM record WHERE kind = 'decision')) AS c
    ON c.call = d.call AND c.session = d.session
  )`,

  `CREATE OR REPLACE VIEW approvals AS
  SELECT
    approval AS id,
    last.state AS state,
    request.agent.name AS agent,
    request.agent.issuer AS issuer,
    CAST(NULL AS Nullable(String)) AS task,
    opener.2 AS session,
    request.connection AS connection,
    request.attributes.verb AS verb,
    ${resourceOf('request.attributes')} AS resource,
    request.attributes.namespace AS namespace,
    request.attributes.name AS name,
    opener.1 AS call,
    request.policy AS policy,
    request.rule AS rule,
    request.reason AS reason,
    ${time('firstMs')} AS requestedAt,
    if(decisions = 0, NULL, ${time('decidedMs')}) AS decidedAt,
    arrayMap(vote -> vote.2.reviewer.name, voted) AS reviewers,
    arrayMap(vote -> vote.2.vote, voted) AS votes,
    arrayMap(vote -> vote.2.reason, voted) AS comments,
    arrayMap(use -> use.2, taken) AS usedBy,
    if(last.state IN ('pending', 'approved'), NULL, ${time('endedMs')}) AS endedAt,
    request.exact AS exact,
    request.shape AS shape
  FROM (
    SELECT approval,
      any((call, session)) AS opener,
      argMax(m, seq) AS last,
      argMinIf(m.event.request, seq, m.event.kind = 'requested') AS request,
      min(m.atMs) AS firstMs,
      countIf(m.event.kind = 'voted' AND m.state IN ('approved', 'denied')) AS decisions,
      minIf(m.atMs, m.event.kind = 'voted' AND m.state IN ('approved', 'denied')) AS decidedMs,
      minIf(m.atMs, m.state NOT IN ('pending', 'approved')) AS endedMs,
      arraySort(vote -> vote.1, groupArrayIf((seq, m.event), m.event.kind = 'voted')) AS voted,
      arraySort(use -> use.1, groupArrayIf((seq, m.event.call), m.event.kind = 'taken')) AS taken
    FROM (
      SELECT told.approval AS approval, told.seq AS seq, any(call) AS call, any(session) AS session, any(told) AS m
      FROM (SELECT call, session, JSONExtract(meta, '${approvalMeta}') AS told FROM record WHERE kind = 'approval')
      GROUP BY approval, seq
    )
    GROUP BY approval
  )`,

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
