import { type Env, integer } from '@sluice/runtime';

/**
 * What whoever reaches the port may use up; beyond it a request is refused, a stream reset or a connection cut. Of a
 * target the limit stands with its parser. Those an operator may want to change are read from the environment.
 */
const defaults = Object.freeze({
  /** A connection must complete TLS within this time. `SLUICE_LIMIT_HANDSHAKE_MS`. */
  handshakeMs: 10_000,
  /** The first request must be there within this time, and over h1 each one from its first byte. `SLUICE_LIMIT_HEADERS_MS`. */
  headersMs: 10_000,
  /** A body must be whole within this time. `SLUICE_LIMIT_BODY_MS`. */
  bodyMs: 60_000,
  /** A connection without a call is closed after this time, whatever else it says. `SLUICE_LIMIT_IDLE_MS`. */
  idleMs: 90_000,
  /** A refusal must be taken within this time: the agent is unknown, or did something odd. */
  refusalMs: 10_000,
  /** After a refusal the rest of the request is left unread this long, so that the answer is not lost in a reset. */
  lingerMs: 500,

  /** Open connections; more are closed as they come. `SLUICE_LIMIT_CONNECTIONS`. */
  connections: 4_096,
  /** Calls at once over one h2 connection; as many as kube-apiserver allows. */
  streams: 100,
  /** Requests that wait, over h1, behind the one in hand. None is taken: the connection closes after its answer. */
  pipelinedRequests: 16,

  /** All headers of a request, bytes. A target and a token of the largest size fit. */
  headerBytes: 32 * 1024,
  /** Headers of a request. */
  headers: 100,
  /** A request body, bytes: the API server's own limit. */
  bodyBytes: 3 * 1024 * 1024,

  /** Streams that an agent may reset at once, and then in each second (CVE-2023-44487). */
  streamResetBurst: 100,
  streamResetsPerSecond: 33,
  /** Streams in excess of `streams`, and frames that cannot be read, before an h2 connection is cut. */
  rejectedStreams: 100,
  invalidFrames: 100,
  /** What one h2 connection may hold in Node's own buffers, megabytes. */
  sessionMegabytes: 10,
  /**
   * Bytes each second that belong to no request: PING, SETTINGS, WINDOW_UPDATE, empty DATA, blank lines. Besides, a
   * sixteenth of what the agent was sent, which it acknowledges.
   */
  noiseBytesPerSecond: 64 * 1024,
});

export type Limits = Readonly<Record<keyof typeof defaults, number>>;

/** Throws `ConfigError`. */
export function readLimits(env: Env = {}): Limits {
  return Object.freeze({
    ...defaults,
    handshakeMs: integer(env, 'SLUICE_LIMIT_HANDSHAKE_MS', defaults.handshakeMs),
    headersMs: integer(env, 'SLUICE_LIMIT_HEADERS_MS', defaults.headersMs),
    bodyMs: integer(env, 'SLUICE_LIMIT_BODY_MS', defaults.bodyMs),
    idleMs: integer(env, 'SLUICE_LIMIT_IDLE_MS', defaults.idleMs),
    connections: integer(env, 'SLUICE_LIMIT_CONNECTIONS', defaults.connections),
  });
}
