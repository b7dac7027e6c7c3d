import { createHash, type Hash } from 'node:crypto';
import type { Channel, FrameMeta } from '@sluice/model';
import type { AheadFrames, CallOver } from '../record.ts';

type Summary = NonNullable<FrameMeta['outcome']['stream']>;
type PortEvent = Extract<FrameMeta['channel'], { readonly channel: 'port' }>;

/** Of a stream, beside its channels. */
type Facts = { -readonly [K in keyof Omit<Summary, 'channels'>]: Summary[K] };

interface Counted {
  readonly hash: Hash;
  bytes: number;
}

/** The masked bytes of a stream's channels, each with its own offsets. */
export class ChannelsRecord {
  readonly #input: AheadFrames;
  readonly #output: AheadFrames;
  readonly #channels = new Map<Channel, Counted>();
  /** Of a port-forward: bytes of a connection in one direction. */
  readonly #connections = new Map<string, number>();
  /** Of a port-forward: what its connections carried, both ways; `null` where none was opened. */
  #portBytes: number | null = null;
  /** What the outcome says besides. */
  readonly facts: Facts = {
    client: '',
    upstream: '',
    exitCode: null,
  };

  /** Input must not wait for the acks of output. */
  constructor(input: AheadFrames, output: AheadFrames) {
    this.#input = input;
    this.#output = output;
  }

  /** Waits until there is room for so many bytes of either. Throws what `over` says: the call's end. */
  claim(bytes: number, over: CallOver): Promise<void> {
    return this.#output.claim(bytes, over);
  }

  /** Records what came from the agent, for which room was claimed, until the broker has it. Throws `Refusal`. */
  async input(channel: Channel, bytes: Buffer): Promise<void> {
    this.#write(this.#input, channel, bytes);
    await this.#input.settled();
  }

  /** Records what goes to the agent, for which room was claimed; `within` says how far that may run ahead. */
  output(channel: Channel, bytes: Buffer): void {
    this.#write(this.#output, channel, bytes);
  }

  /** The last words of a stream that is being cut: there is always room for them. */
  conclude(channel: Channel, bytes: Buffer): void {
    this.#output.take(bytes.length);
    this.#write(this.#output, channel, bytes);
  }

  /** What became of a forwarded connection. See `settled`. */
  port(meta: Extract<PortEvent, { readonly event: 'opened' | 'refused' | 'closed' }>): void {
    this.#input.mark('channel', meta, 0);
    if (meta.event === 'opened') this.#portBytes ??= 0;
    if (meta.event !== 'closed') return;
    this.#portBytes = (this.#portBytes ?? 0) + meta.inBytes + meta.outBytes;
    for (const way of ['in', 'out']) this.#connections.delete(`${meta.connection} ${way}`);
  }

  /**
   * Records bytes of a forwarded connection, for which room was claimed. What goes in is on the broker's disk when this
   * returns; what comes out may run ahead. Throws `Refusal` (`ResponseWithheld`).
   */
  async portBytes(meta: Extract<PortEvent, { readonly event: 'in' | 'out' }>, bytes: Buffer): Promise<void> {
    const key = `${meta.connection} ${meta.event}`;
    const offset = this.#connections.get(key) ?? 0;
    this.#connections.set(key, offset + bytes.length);
    const frames = meta.event === 'in' ? this.#input : this.#output;
    frames.publish('channel', meta, bytes, offset);
    await (meta.event === 'in' ? frames.settled() : frames.within());
  }

  /** Waits while too many bytes run ahead of their acks. Throws `Refusal` (`ResponseWithheld`). */
  within(): Promise<void> {
    return this.#output.within();
  }

  /** Waits until everything is acknowledged. Throws `Refusal` (`ResponseWithheld`). */
  async settled(): Promise<void> {
    await Promise.all([this.#input.settled(), this.#output.settled()]);
  }

  #write(frames: AheadFrames, channel: Channel, bytes: Buffer): void {
    let counted = this.#channels.get(channel);
    if (counted === undefined) {
      counted = { hash: createHash('sha256'), bytes: 0 };
      this.#channels.set(channel, counted);
    }
    counted.hash.update(bytes);
    frames.publish('channel', { channel }, bytes, counted.bytes);
    counted.bytes += bytes.length;
  }

  /** For the outcome. Ends the record. */
  summary(): Summary {
    const channels = [...this.#channels].map(([channel, { hash, bytes }]) => ({
      channel,
      bytes,
      sha256: hash.digest('hex'),
    }));
    // Of what is not masked there is no hash: it would tell who guesses the bytes that the guess is right.
    const port = { channel: 'port', bytes: this.#portBytes ?? 0, sha256: '' } as const;
    return { ...this.facts, channels: this.#portBytes === null ? channels : [...channels, port] };
  }
}
