// A bare TLS pass-through: ends TLS, opens TLS to the upstream, and pipes. What the machine can do with two TLS legs.
import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { connect, createServer } from 'node:tls';

const [certFile = '', keyFile = '', caFile = '', upstreamPort = ''] = process.argv.slice(2);
const ca = readFileSync(caFile);
const server = createServer({ cert: readFileSync(certFile), key: readFileSync(keyFile) }, (client) => {
  const upstream = connect({ host: '127.0.0.1', port: Number(upstreamPort), ca });
  client.setNoDelay(true);
  upstream.setNoDelay(true);
  client.pipe(upstream).pipe(client);
  client.on('error', () => upstream.destroy());
  upstream.on('error', () => client.destroy());
});
server.listen(0, '127.0.0.1', () =>
  process.send?.({ kind: 'ready', facts: { port: (server.address() as AddressInfo).port } }),
);
process.on('disconnect', () => process.exit(0));
