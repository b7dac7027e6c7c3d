/**
 * The record as people and scripts see it (`docs/record.md`). All is read from the frames' own texts, which their
 * hashes cover; columns have the names that `--json` prints. `decisions`, `approvals` and `sessions` are as an earlier
 * version made them.
 */
import {
  attributesMeta,
  decisionMeta,
  final,
  incomplete,
  lost,
  resourceOf,
  secondMeta,
} from './views-before-streams.ts';

/** Of a stream, and of a call that adds containers to a pod. */
const podMeta = 'pod Tuple(secrets Array(String))';

/** `meta` of a call frame, as far as `calls` shows it. */
const callMeta = `Tuple(
      agent Tuple(name String, issuer String, groups Array(String)),
      connection String,
      attributes ${attributesMeta},
      method String,
      target String,
      userAgent String,
      decision ${decisionMeta},
      stream Tuple(command Array(String), container String, tty Bool, grade String, ${podMeta}),
      ${podMeta}
    )`;

const decided = `SELECT call, session, at, ledger, seq, JSONExtract(meta, '${callMeta}') AS m
    FROM record WHERE kind = 'call'`;

/** `meta` of an outcome frame, or of a decision frame. */
const laterMeta = `Tuple(outcome String, status UInt16, reasonCode String, body Tuple(bytes UInt64),
      durationMicros UInt64, message String, stream Tuple(exitCode Nullable(Int32)), ${secondMeta})`;

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
      if(ends = 0, NULL, end.4.stream.exitCode) AS exitCode,
      if(ends = 0, NULL, nullIf(end.4.message, '')) AS message,
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

/** `meta` of an outcome frame, as far as `channels` shows it. */
const streamEndMeta = `Tuple(stream Tuple(client String, upstream String, unmasked Bool,
      channels Array(Tuple(channel String, bytes UInt64, sha256 String))))`;

/** Of a frame `channel` of a port-forward; `NULL` of all others. */
const ofPort = (field: 'port' | 'connection', type: 'UInt16' | 'UInt32'): string =>
  `if(kind = 'channel', JSONExtract(meta, '${field}', 'Nullable(${type})'), NULL) AS ${field}`;

export const views: readonly string[] = [
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
    m.stream.command AS command,
    m.stream.container AS container,
    m.stream.tty AS tty,
    m.stream.grade AS grade,
    arrayConcat(m.stream.pod.secrets, m.pod.secrets) AS secrets,
    ${final('effect', 'secondEffect')} AS effect,
    ${final('policy', 'secondPolicy')} AS policy,
    ${final('rule', 'secondRule')} AS rule,
    if(ifNull(e.reasonCode, '') = '', ${final('reasonCode', 'secondReasonCode')}, assumeNotNull(e.reasonCode)) AS reasonCode,
    ${final('reason', 'secondReason')} AS reason,
    e.approval AS approval,
    e.status AS status,
    e.outcome AS outcome,
    e.exitCode AS exitCode,
    e.message AS message,
    e.durationMicros / 1000 AS durationMs,
    e.responseBytes AS responseBytes,
    ${incomplete} AS incomplete,
    c.ledger AS ledger,
    c.seq AS seq
  FROM ${callsAndEnds}
  SETTINGS join_use_nulls = 1`,

  `CREATE OR REPLACE VIEW channels AS
  SELECT
    call,
    session,
    endedAt,
    carried.channel AS channel,
    carried.bytes AS bytes,
    carried.sha256 AS sha256,
    m.stream.client AS client,
    m.stream.upstream AS upstream,
    m.stream.unmasked AS unmasked
  FROM (
    SELECT call, session, at AS endedAt, JSONExtract(meta, '${streamEndMeta}') AS m,
      arrayJoin(m.stream.channels) AS carried
    FROM record WHERE kind = 'outcome'
  )`,

  `CREATE OR REPLACE VIEW frames AS
  SELECT
    ledger, seq, call, session, at, kind,
    if(kind = 'channel', JSONExtractString(meta, 'channel'), '') AS channel,
    ${ofPort('port', 'UInt16')},
    ${ofPort('connection', 'UInt32')},
    offset, meta, length(bytes) AS size, bytes, stored_at AS storedAt
  FROM record`,
];
