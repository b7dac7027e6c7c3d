import { ChannelError, fromBase64, type WebSocketMessage } from './channels.ts';

/**
 * How port-forward is spoken over WebSocket. `tunnel`: the binary messages are one byte stream, and that is SPDY; where
 * messages begin means nothing. `channels`: the ports are named in the request, and of the port at place n, channel 2n
 * carries its bytes and 2n + 1 the text of its error. No channel can end before the whole connection does.
 */
export interface PortForwardProtocol {
  /** As it is negotiated; empty where a client asks for none. */
  readonly name: string;
  readonly kind: 'tunnel' | 'channels';
  /** Messages are text: one character for the channel, then base64. */
  readonly isBase64: boolean;
}

/** The `/` is no token character, so WebSocket libraries may refuse the name (RFC 6455, 4.1). */
export const portForwardTunnel = 'SPDY/3.1+portforward.k8s.io';

const protocols: readonly PortForwardProtocol[] = [
  { name: '', kind: 'channels', isBase64: false },
  { name: 'v4.channel.k8s.io', kind: 'channels', isBase64: false },
  { name: 'v4.base64.channel.k8s.io', kind: 'channels', isBase64: true },
];

/** Picks of the subprotocols that a client offers as servers do: the tunnel wherever it stands, else the first known. */
export function choosePortForwardProtocol(offered: readonly string[]): PortForwardProtocol | undefined {
  if (offered.includes(portForwardTunnel)) return { name: portForwardTunnel, kind: 'tunnel', isBase64: false };
  const names = offered.length === 0 ? [''] : offered;
  return names.map((name) => protocols.find((known) => known.name === name)).find((known) => known !== undefined);
}

/** Of one request: the number of a channel is a byte, and in base64 a character of one byte. */
export function maxForwardedPorts({ isBase64 }: PortForwardProtocol): number {
  return isBase64 ? 40 : 128;
}

/** What a message of the client says: bytes for the port at a place of the request. Servers skip all else. */
export type PortForwardMessage =
  | { readonly kind: 'data'; readonly place: number; readonly bytes: Buffer }
  | { readonly kind: 'ignored' };

const zero = 0x30;

/** Reads one message of a client that named `ports` ports. The bytes are a view of binary data. Throws `ChannelError`. */
export function decodePortForwardMessage(
  { isBase64 }: PortForwardProtocol,
  ports: number,
  { data, isBinary }: { readonly data: Buffer; readonly isBinary: boolean },
): PortForwardMessage {
  if (isBinary === isBase64) throw new ChannelError(`a ${isBinary ? 'binary' : 'text'} message`);
  const first = data[0];
  const number = first === undefined ? -1 : first - (isBase64 ? zero : 0);
  if (number < 0 || number >= 2 * ports) return { kind: 'ignored' };
  if (number % 2 === 1) throw new ChannelError('the client sent on the channel of an error');
  const bytes = isBase64 ? fromBase64(data.toString('latin1', 1)) : data.subarray(1);
  return bytes.length === 0 ? { kind: 'ignored' } : { kind: 'data', place: number / 2, bytes };
}

/** A message of the server, about the port at a place of the request. */
export function encodePortForwardMessage(
  { isBase64 }: PortForwardProtocol,
  place: number,
  kind: 'data' | 'error',
  bytes: Buffer,
): WebSocketMessage {
  const number = 2 * place + (kind === 'data' ? 0 : 1);
  if (isBase64) return { data: String.fromCharCode(zero + number) + bytes.toString('base64'), isBinary: false };
  return { data: Buffer.concat([Buffer.of(number), bytes]), isBinary: true };
}

/** The messages with which the server begins: on each channel its port, in two bytes, the lower first. */
export function portForwardPreamble(protocol: PortForwardProtocol, ports: readonly number[]): WebSocketMessage[] {
  return ports.flatMap((port, place) => {
    const bytes = Buffer.of(port & 0xff, port >> 8);
    return (['data', 'error'] as const).map((kind) => encodePortForwardMessage(protocol, place, kind, bytes));
  });
}
