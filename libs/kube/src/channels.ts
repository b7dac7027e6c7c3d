import { type Channel, channels } from '@sluice/model';

/** What a version of the protocol of exec and attach can do. */
export interface ChannelProtocol {
  /** As it is negotiated; empty where a WebSocket client asks for none. */
  readonly name: string;
  /** Messages are text: a digit for the channel, then base64. */
  readonly isBase64: boolean;
  /** The error channel carries a `metav1.Status`, always; otherwise the text of a failure only. */
  readonly hasStatus: boolean;
  /** The client can end stdin and go on reading. */
  readonly canEndStdin: boolean;
  readonly hasResize: boolean;
}

/** Code `BadChannelMessage`: a WebSocket message that its protocol does not have, or not from that side. */
export class ChannelError extends Error {
  readonly code = 'BadChannelMessage';
}

/** What a message says. Servers skip empty messages and unknown channels, and so do we. */
export type ChannelMessage =
  | { readonly kind: 'data'; readonly channel: Channel; readonly bytes: Buffer }
  | { readonly kind: 'end'; readonly channel: Channel }
  | { readonly kind: 'ignored' };

/** A WebSocket message on its way out. */
export interface WebSocketMessage {
  readonly data: Buffer | string;
  readonly isBinary: boolean;
}

const v5 = 'v5.channel.k8s.io';

/** Over WebSocket every version takes sizes; only v5 has a signal for the end of stdin (KEP-4006). */
function overWebSocket(name: string): ChannelProtocol {
  const hasStatus = /^v[45]\./.test(name);
  return { name, isBase64: name.includes('base64.'), hasStatus, canEndStdin: name === v5, hasResize: true };
}

/** Over SPDY each channel is a stream, and ends like one. Sizes came with v3, status with v4. */
function overSpdy(name: string): ChannelProtocol {
  return {
    name,
    isBase64: false,
    hasStatus: /^v[45]\./.test(name),
    canEndStdin: true,
    hasResize: /^v[345]\./.test(name),
  };
}

/** What servers speak: v5 before 1.36 at the API server alone. v3 and v2 exist for clients that offer nothing else. */
const spoken = [v5, 'v4.channel.k8s.io', 'channel.k8s.io', 'v4.base64.channel.k8s.io', 'base64.channel.k8s.io'];
const offeredOnly = ['v3.channel.k8s.io', 'v2.channel.k8s.io'];

/**
 * Picks of the subprotocols that a WebSocket client offers as kube-apiserver does: v5 wherever it stands, else the first
 * that is known. No offer at all is the oldest form. Undefined: none is known.
 */
export function chooseWebSocketProtocol(offered: readonly string[]): ChannelProtocol | undefined {
  if (offered.length === 0) return overWebSocket('');
  const name =
    offered.find((name) => name === v5) ??
    offered.find((name) => spoken.includes(name)) ??
    offered.find((name) => offeredOnly.includes(name));
  return name === undefined ? undefined : overWebSocket(name);
}

/** What is offered over SPDY, best first, and what we offer as a client. */
export const spdyProtocols: readonly string[] = [
  v5,
  'v4.channel.k8s.io',
  'v3.channel.k8s.io',
  'v2.channel.k8s.io',
  'channel.k8s.io',
];

/** Picks of the values of `X-Stream-Protocol-Version` the first that is known. Undefined: none is, or there are none. */
export function chooseSpdyProtocol(lines: readonly string[]): ChannelProtocol | undefined {
  const offered = lines.flatMap((line) => line.split(',')).map((name) => name.trim());
  const name = offered.find((name) => spdyProtocols.includes(name));
  return name === undefined ? undefined : overSpdy(name);
}

const sides: Readonly<Record<'client' | 'server', ReadonlySet<Channel>>> = {
  client: new Set(['stdin', 'resize']),
  server: new Set(['stdout', 'stderr', 'error']),
};
const endNumber = 255;
const zero = 0x30;
const ignored: ChannelMessage = { kind: 'ignored' };

/** Reads one message, which `from` sent. The bytes are a view of binary data. Throws `ChannelError`. */
export function decodeChannelMessage(
  protocol: ChannelProtocol,
  { data, isBinary }: { readonly data: Buffer; readonly isBinary: boolean },
  from: 'client' | 'server',
): ChannelMessage {
  if (isBinary === protocol.isBase64) {
    throw new ChannelError(`a ${isBinary ? 'binary' : 'text'} message on ${protocol.name || 'channels of bytes'}`);
  }
  const first = data[0];
  if (first === undefined) return ignored;
  const number = protocol.isBase64 ? first - zero : first;
  if (number === endNumber && protocol.canEndStdin) {
    const channel = channels[data[1] ?? endNumber];
    if (data.length !== 2 || channel === undefined) throw new ChannelError('an end of no channel');
    return { kind: 'end', channel: allowed(channel, from) };
  }
  const channel = channels[number];
  if (channel === undefined) return ignored;
  const payload = data.subarray(1);
  const bytes = protocol.isBase64 ? fromBase64(payload.toString('latin1')) : payload;
  allowed(channel, from);
  return bytes.length === 0 ? ignored : { kind: 'data', channel, bytes };
}

function allowed(channel: Channel, from: 'client' | 'server'): Channel {
  if (!sides[from].has(channel)) throw new ChannelError(`the ${from} sent on ${channel}`);
  return channel;
}

/** Standard base64 with its padding; `Buffer` alone would skip what is none. */
export function fromBase64(text: string): Buffer {
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text))
    throw new ChannelError('bytes that are not base64');
  return Buffer.from(text, 'base64');
}

/** A message with bytes of one channel. Empty bytes make the message with which servers open. */
export function encodeChannelData(protocol: ChannelProtocol, channel: Channel, bytes: Buffer): WebSocketMessage {
  const number = channels.indexOf(channel);
  if (protocol.isBase64) return { data: `${number}${bytes.toString('base64')}`, isBinary: false };
  return { data: Buffer.concat([Buffer.of(number), bytes]), isBinary: true };
}

/** The message that ends a channel; undefined where the protocol has none, and whoever waits must wait on. */
export function encodeChannelEnd(protocol: ChannelProtocol, channel: Channel): WebSocketMessage | undefined {
  if (!protocol.canEndStdin) return undefined;
  return { data: Buffer.of(endNumber, channels.indexOf(channel)), isBinary: true };
}
