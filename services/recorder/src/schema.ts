/**
 * Statements that bring a database up to date, in order; each may run again. `header` is a frame's header
 * verbatim; bytes come in as base64 (`b64`, `header64`), since JSON strings would corrupt them.
 */
export const migrations: readonly string[] = [
  `CREATE TABLE IF NOT EXISTS frames (
    call String,
    ledger LowCardinality(String),
    seq UInt64,
    session String,
    kind LowCardinality(String),
    at DateTime64(6, 'UTC'),
    offset UInt64,
    meta String,
    header64 String EPHEMERAL,
    header String DEFAULT base64Decode(header64),
    b64 String EPHEMERAL,
    bytes String DEFAULT base64Decode(b64),
    stream LowCardinality(String),
    stream_seq UInt64,
    stored_at DateTime64(6, 'UTC')
  ) ENGINE = MergeTree ORDER BY (call, ledger, seq)
  SETTINGS fsync_after_insert = 1, fsync_part_directory = 1`,

  `CREATE TABLE IF NOT EXISTS quarantine (
    stream LowCardinality(String),
    stream_seq UInt64,
    stored_at DateTime64(6, 'UTC'),
    reason String,
    b64 String EPHEMERAL,
    message String DEFAULT base64Decode(b64)
  ) ENGINE = MergeTree ORDER BY (stream, stream_seq)
  SETTINGS fsync_after_insert = 1, fsync_part_directory = 1`,

  // A call and its decision, from its call frame.
  `CREATE OR REPLACE VIEW decided_calls AS
  SELECT
    call AS id,
    at,
    JSONExtractString(meta, 'agent', 'name') AS agent,
    NULL AS task,
    session,
    JSONExtractString(meta, 'connection') AS connection,
    JSONExtractString(meta, 'attributes', 'verb') AS verb,
    if(JSONExtractString(meta, 'attributes', 'kind') = 'nonResource',
      JSONExtractString(meta, 'attributes', 'path'),
      concat(
        JSONExtractString(meta, 'attributes', 'resource'),
        if(JSONExtractString(meta, 'attributes', 'apiGroup') = '', '', '.' || JSONExtractString(meta, 'attributes', 'apiGroup')),
        if(JSONExtractString(meta, 'attributes', 'subresource') = '', '', '/' || JSONExtractString(meta, 'attributes', 'subresource'))
      )) AS resource,
    JSONExtractString(meta, 'attributes', 'namespace') AS namespace,
    JSONExtractString(meta, 'attributes', 'name') AS name,
    JSONExtractString(meta, 'decision', 'effect') AS effect,
    JSONExtractString(meta, 'decision', 'reasonCode') AS decided,
    stored_at
  FROM frames WHERE kind = 'call'`,

  // The end of a call, from its outcome frame.
  `CREATE OR REPLACE VIEW outcomes AS
  SELECT
    call AS id,
    at,
    toUInt16(JSONExtractUInt(meta, 'status')) AS status,
    JSONExtractString(meta, 'outcome') AS outcome,
    JSONExtractString(meta, 'reasonCode') AS reasonCode
  FROM frames WHERE kind = 'outcome'`,
];
