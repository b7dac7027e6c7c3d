import { type StreamKey, streams } from '@sluice/model';
import type { Broker } from './broker.ts';
import { ConfigError, type Env, integer } from './env.ts';

/** What each stream of frames may hold on the broker's disk, bytes. A stream that holds that much refuses more. */
export type StoreSizes = Readonly<Record<StreamKey, number>>;

/** Room for the largest frames that are on their way at once. */
const smallestBytes = 16 * 1024 * 1024;

/**
 * `SLUICE_CALLS_MAX_BYTES`, default 1 GiB, and `SLUICE_BYTES_MAX_BYTES`, default 2 GiB; not under 16 MiB. Throws
 * `ConfigError`.
 */
export function storeSizes(env: Env): StoreSizes {
  const size = (stream: StreamKey): number => {
    const { name, maxBytes } = streams[stream];
    const bytes = integer(env, `SLUICE_${name}_MAX_BYTES`, maxBytes);
    if (bytes >= smallestBytes) return bytes;
    throw new ConfigError(`SLUICE_${name}_MAX_BYTES is ${bytes}; a store has at least ${smallestBytes} bytes`);
  };
  return { calls: size('calls'), bytes: size('bytes') };
}

/** How full a stream is, bytes. */
export interface StoreLevel {
  readonly usedBytes: number;
  readonly maxBytes: number;
}

const answerMs = 2_000;

/** What the broker says of a stream; `null` when it says nothing of use. */
export async function storeLevel(broker: Broker, stream: StreamKey): Promise<StoreLevel | null> {
  try {
    const answer = await broker.request(`$JS.API.STREAM.INFO.${streams[stream].name}`, new Uint8Array(0), answerMs);
    const { config, state } = JSON.parse(Buffer.from(answer).toString()) as Partial<StreamInfo>;
    return config === undefined || state === undefined ? null : { usedBytes: state.bytes, maxBytes: config.max_bytes };
  } catch {
    return null;
  }
}

interface StreamInfo {
  readonly config: { readonly max_bytes: number };
  readonly state: { readonly bytes: number };
}
