import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type ConnectionOptions,
  connect,
  createInbox,
  errors,
  type Msg,
  type NatsConnection,
  type Subscription,
} from '@nats-io/transport-node';
import { inboxPrefixOf } from '@sluice/model';
import { credentialsOf } from './broker-keys.ts';
import { EndOfTurn } from './end-of-turn.ts';
import { ConfigError, type Env, required } from './env.ts';
import type { Logger } from './log.ts';
import { Questions, type Unanswered } from './questions.ts';
import { passBytes } from './young-garbage.ts';

/** Older brokers lose streams on a crash or ignore the limits Sluice relies on. */
export const oldestBroker = '2.10.23';

/**
 * Why a request got no answer. `no-responders`: nobody listens, known at once. `timeout`: nobody
 * answered in time. `disconnected`: the broker itself is not there.
 */
export class BrokerError extends Error {
  readonly code: Unanswered;
  constructor(code: BrokerError['code'], options?: ErrorOptions) {
    super(`broker: ${code}`, options);
    this.code = code;
  }
}

/** A place in a queue group. */
export interface Membership {
  /** Takes no more requests; those in hand are answered. */
  leave(): Promise<void>;
}

/** One connection to the broker. A process opens one per purpose, so that a stalled one stalls only itself. */
export interface Broker {
  /** The connection, for the other modules of this library. */
  readonly nats: NatsConnection;
  /** Whether the connection stands now. */
  connected(): boolean;
  /** How often it broke: what was on its way then may be lost. */
  breaks(): number;
  /** A new subject that only this role may listen on. */
  inbox(): string;
  /**
   * Publishes at the end of the next turn of the event loop, in one write with all else until then: requests and answers
   * go this way, too. `publish` must not throw.
   */
  atEndOfTurn(publish: () => void): void;
  /** Asks and waits. Throws `BrokerError`. */
  request(subject: string, payload: Uint8Array, timeoutMs: number): Promise<Uint8Array>;
  /**
   * Asks everybody who listens, and waits until, behind the first answer, none has come for `quietMs`, or until `timeoutMs`
   * are over. Nobody there, or nobody who answers: none. Throws `BrokerError` where the broker itself is not there.
   */
  requestAll(
    subject: string,
    payload: Uint8Array,
    waits: { readonly timeoutMs: number; readonly quietMs: number },
  ): Promise<readonly Uint8Array[]>;
  /** Answers requests as one of a queue group. A handler that returns `null` or throws gives no answer. */
  respond(
    subject: string,
    queue: string,
    handler: (payload: Uint8Array) => Uint8Array | null | Promise<Uint8Array | null>,
  ): Membership;
  /** Tells whoever listens, if anybody does. */
  tell(subject: string, payload?: Uint8Array): void;
  /** Hears what is told on a subject, and what is published there; what it is too slow for, it misses. */
  listen(subject: string, onTold: (payload: Uint8Array, subject: string) => void): void;
  /** Takes nothing new, waits for handlers in hand, closes. */
  drain(): Promise<void>;
}

/** A service whose broker is away waits for it this long before it gives up. */
const awayMs = 30_000;
const retryMs = 250;
/** Over TLS the client would spread its attempts over a second: too long for who holds a lease. */
const retryJitterMs = 100;

/**
 * Connects to the broker, and goes on reconnecting for as long as the process lives. `purpose` begins with the role,
 * and may say more behind a space: `ingress frames`.
 *
 * - `SLUICE_NATS_URL`: `nats://host:port`, or `tls://` where the machine's own CAs vouch for it;
 *   `nats://user:password@host:port` for a broker that knows no roles.
 * - `SLUICE_NATS_CREDS_DIR`: holds `<role>.creds`.
 * - `SLUICE_NATS_CA`: a PEM file; the broker must show a certificate by this CA.
 *
 * Throws `ConfigError` when the broker does not answer within `waitMs`, does not know the role, or is too old.
 */
export async function openBroker(env: Env, purpose: string, log: Logger, waitMs = awayMs): Promise<Broker> {
  const url = new URL(required(env, 'SLUICE_NATS_URL'));
  const [role = ''] = purpose.split(' ', 1);
  const inboxPrefix = inboxPrefixOf(role);
  const nats = await connectWithin(waitMs, url.host, {
    servers: url.host,
    ...identityOf(env, url, role),
    ...tlsOf(env, url),
    inboxPrefix,
    name: `sluice ${purpose}`,
    maxReconnectAttempts: -1,
    ignoreAuthErrorAbort: true,
    reconnectTimeWait: retryMs,
    reconnectJitterTLS: retryJitterMs,
    pingInterval: 2_000,
    maxPingOut: 2,
    noAsyncTraces: true,
  });
  const version = nats.info?.version ?? '0';
  if (!versionAtLeast(version, oldestBroker)) {
    await nats.close();
    throw new ConfigError(`the broker at ${url.host} is nats-server ${version}; ${oldestBroker} or newer is needed`);
  }

  const questions = new Questions(nats, createInbox(inboxPrefix));
  const endOfTurn = new EndOfTurn();
  let up = true;
  let breaks = 0;
  void (async () => {
    for await (const status of nats.status()) {
      if (status.type === 'disconnect' || status.type === 'close') up = false;
      if (status.type === 'disconnect') breaks++;
      if (status.type === 'reconnect') up = true;
      if (status.type === 'disconnect' || status.type === 'reconnect') log.warn({ purpose }, `broker ${status.type}`);
      if (status.type === 'close') questions.close();
      if (status.type !== 'error') continue;
      log.error({ purpose, reason: status.error.message }, 'the broker refuses');
      if (status.error instanceof errors.PermissionViolationError && status.error.operation === 'publish')
        questions.refused(status.error.subject);
    }
  })();

  const unanswered = (subject: string, cause: unknown): void =>
    log.warn({ subject, reason: nameOf(cause) }, 'a request got no answer');
  const interests: Subscription[] = [];
  const inHand = new Set<Promise<void>>();
  return {
    nats,
    connected: () => up,
    breaks: () => breaks,
    inbox: () => createInbox(inboxPrefix),
    atEndOfTurn: (publish) => endOfTurn.add(publish),
    async request(subject, payload, timeoutMs) {
      if (!up) throw new BrokerError('disconnected');
      const { reply, answer, fail } = questions.expect(subject, timeoutMs, (why) => new BrokerError(why));
      endOfTurn.add(() => {
        try {
          nats.publish(subject, payload, { reply });
          passBytes(payload.byteLength);
        } catch (error) {
          log.warn({ subject, reason: nameOf(error) }, 'a request could not be sent');
          fail();
        }
      });
      return answer;
    },
    async requestAll(subject, payload, { timeoutMs, quietMs }) {
      if (!up) throw new BrokerError('disconnected');
      const answers: Uint8Array[] = [];
      const waits = { strategy: 'stall', maxWait: timeoutMs, stall: quietMs } as const;
      try {
        for await (const message of await nats.requestMany(subject, payload, waits)) answers.push(message.data);
      } catch (error) {
        if (!isNobody(error)) throw new BrokerError('disconnected', { cause: error });
      }
      return answers;
    },
    respond(subject, queue, handler) {
      const interest = nats.subscribe(subject, {
        queue,
        callback: (error, message) => {
          if (error !== null) return;
          const answering = (async () => {
            const answer = await handler(message.data);
            passBytes(message.data.byteLength);
            if (answer === null) return;
            endOfTurn.add(() => {
              try {
                message.respond(answer);
              } catch (cause) {
                unanswered(subject, cause);
              }
            });
          })().catch((cause: unknown) => unanswered(subject, cause));
          inHand.add(answering);
          void answering.finally(() => inHand.delete(answering));
        },
      });
      interests.push(interest);
      return {
        async leave() {
          if (!interest.isClosed()) await interest.drain();
        },
      };
    },
    tell(subject, payload) {
      if (up) nats.publish(subject, payload);
    },
    listen(subject, onTold) {
      const callback = (error: Error | null, message: Msg): void => {
        if (error === null) onTold(message.data, message.subject);
      };
      interests.push(nats.subscribe(subject, { callback }));
    },
    async drain() {
      if (!up) return nats.close();
      // Interest goes first, so that peers take over; answers in hand still need the connection.
      await Promise.all(interests.map(async (interest) => interest.isClosed() || interest.drain()));
      while (inHand.size > 0) await Promise.all(inHand);
      endOfTurn.run();
      await nats.drain();
    },
  };
}

/** Nobody listens, or those who do had nothing to say. */
function isNobody(error: unknown): boolean {
  const cause = (error as { readonly cause?: unknown }).cause;
  return [error, cause].some((one) => one instanceof errors.NoRespondersError || one instanceof errors.TimeoutError);
}

async function connectWithin(waitMs: number, host: string, options: ConnectionOptions): Promise<NatsConnection> {
  for (const giveUpMs = performance.now() + waitMs; ; await sleep(retryMs)) {
    try {
      return await connect(options);
    } catch (error) {
      if (error instanceof errors.AuthorizationError)
        throw new ConfigError(`the broker at ${host} refuses the credentials of "${options.name}"`);
      if (isAway(error) && performance.now() < giveUpMs) continue;
      throw new ConfigError(`no broker answers at ${host}: ${(error as Error).message}`);
    }
  }
}

const awayCodes: ReadonlySet<unknown> = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ETIMEDOUT',
]);

/** Whether a broker that comes back could mend this. */
function isAway(error: unknown): boolean {
  if (error instanceof errors.TimeoutError) return true;
  const { code, cause } = error as { readonly code?: unknown; readonly cause?: { readonly code?: unknown } };
  return awayCodes.has(code) || awayCodes.has(cause?.code);
}

/** Who this process is at the broker. */
function identityOf(env: Env, url: URL, role: string): ConnectionOptions {
  const dir = env['SLUICE_NATS_CREDS_DIR'];
  if (dir !== undefined && dir !== '') return { authenticator: credentialsOf(dir, role) };
  return { user: decodeURIComponent(url.username), pass: decodeURIComponent(url.password) };
}

/** With `tls`, the client speaks to no broker without it. */
function tlsOf(env: Env, url: URL): ConnectionOptions {
  const file = env['SLUICE_NATS_CA'];
  if (file === undefined || file === '') return url.protocol === 'tls:' ? { tls: {} } : {};
  try {
    return { tls: { ca: readFileSync(file, 'utf8') } };
  } catch {
    throw new ConfigError(`cannot read ${file} (SLUICE_NATS_CA); \`sluice up\` makes it`);
  }
}

/** An error by its name alone: what a parser says of a payload quotes it. */
function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : typeof error;
}

function versionAtLeast(version: string, floor: string): boolean {
  const parts = (text: string): number[] => text.split(/[.-]/, 3).map(Number);
  const [have, want] = [parts(version), parts(floor)];
  for (let i = 0; i < 3; i++) {
    const difference = (have[i] ?? 0) - (want[i] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return true;
}
