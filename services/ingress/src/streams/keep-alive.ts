import type { Socket } from 'node:net';

/**
 * Load balancers cut connections that carry nothing; the shortest common limit is a minute. And while nobody reads a connection,
 * only the second ping to a peer that has closed it finds that out. Milliseconds.
 */
const pingMs = 10_000;
/** Of the kernel: ten probes follow, a second apart. A machine that lost its power closes no connection. Milliseconds. */
export const probeMs = 10_000;

/**
 * Keeps a connection in use, and has the kernel find out when its peer's machine is gone. Whether the peer's program answers
 * is not judged: one that waits for its own reader does not.
 */
export function keepAlive(socket: Socket, ping: () => void, gone: AbortSignal): void {
  socket.setKeepAlive(true, probeMs);
  const timer = setInterval(ping, pingMs);
  gone.addEventListener('abort', () => clearInterval(timer));
}
