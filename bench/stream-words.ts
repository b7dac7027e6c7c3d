// What the programs of the bench of streams share.

/** Bytes that the messages of `v5.channel.k8s.io` begin with. */
export const stdin = 0;
export const stdout = 1;
export const status = 3;
/** Followed by the channel that has ended. */
export const toEnd = 255;

export const protocol = 'v5.channel.k8s.io';

/** As much as the Go programs of Kubernetes copy at once. */
export const messageBytes = 32 * 1024;

/** A log as services write them, without a secret. A whole number of messages. */
export const logText: Buffer = makeLog(1024 * 1024);

function makeLog(bytes: number): Buffer {
  const lines: string[] = [];
  for (let n = 0, size = 0; size < bytes; n++) {
    const at = new Date(Date.UTC(2026, 0, 1) + n * 137).toISOString();
    const path = ['/api/v1/items', '/healthz', '/cart/checkout', '/static/app.js'][n % 4];
    const line = `${at} INFO [worker-${n % 7}] GET ${path}?page=${n % 311} served in ${(n * 31) % 977} ms for 10.0.${n % 4}.${n % 251}, user=${n % 5003}\n`;
    lines.push(line);
    size += line.length;
  }
  return Buffer.from(lines.join('')).subarray(0, bytes);
}
