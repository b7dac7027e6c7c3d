import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** Both ends of a connection, until the test is over. */
export async function loopback(t: { after(done: () => void): void }): Promise<readonly [near: Socket, far: Socket]> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve));
  const far = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const near = await accepted;
  server.close();
  for (const socket of [near, far]) {
    socket.on('error', () => undefined);
    t.after(() => void socket.destroy());
  }
  return [near, far];
}
