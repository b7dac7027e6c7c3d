// How long it takes from `sluice kill` until an agent's stream is cut, for each kind that goes on by itself.
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import type { Socket } from 'node:net';
import { SpdySession } from '@sluice/kube';
import { type Sluice, until } from '@sluice/testing';
import { WebSocket } from 'ws';
import { quantile, round } from './processes.ts';
import { protocol } from './stream-words.ts';

/** An agent's way to the pod. */
export interface Victim {
  /** `https://…` of the pod. */
  readonly url: string;
  readonly ca: string;
  readonly headers: Readonly<Record<string, string>>;
}

export interface Killed {
  readonly kind: string;
  /** From the start of the command until the client saw the end. */
  readonly p50Ms: number;
  readonly longestMs: number;
  /** Until the command itself ended: most of it is its start. */
  readonly commandMs: number;
}

/** Something that runs; `over` resolves when the client sees its end. */
interface Runs {
  readonly over: Promise<unknown>;
}

const kinds: Readonly<Record<string, { readonly resource: string; start(victim: Victim): Promise<Runs> }>> = {
  exec: { resource: 'pods/exec', start: startExec },
  watch: {
    resource: 'pods',
    start: (victim) => startAnswer(victim, (url) => `${url.replace(/\/web$/, '')}?watch=true`),
  },
  'logs -f': { resource: 'pods/log', start: (victim) => startAnswer(victim, (url) => `${url}/log?follow=true`) },
  'port-forward': { resource: 'pods/portforward', start: startForward },
};

/** Every round takes each kind in turn; the first warms up. */
export async function measureKills(sluice: Sluice, victim: Victim, rounds: number): Promise<Killed[]> {
  const measured = Object.entries(kinds).map(([kind, of]) => ({
    kind,
    of,
    cuts: [] as number[],
    commands: [] as number[],
  }));
  for (let turn = 0; turn <= rounds; turn++) {
    for (const { kind, of, cuts, commands } of measured) {
      const { over } = await of.start(victim);
      const isIt = ({ resource, outcome }: { resource: string; outcome: string | null }): boolean =>
        resource === of.resource && outcome === null;
      const call = await until(`a running ${kind}`, async () => (await sluice.calls()).find(isIt));
      const from = performance.now();
      const cut = over.then(() => performance.now() - from);
      const { code, stderr } = await sluice.cli('kill', call.id, '--reason', 'the bench');
      if (code !== 0) throw new Error(`${kind} is not cut: ${stderr}`);
      const commandMs = performance.now() - from;
      if (turn > 0) {
        cuts.push(await cut);
        commands.push(commandMs);
      }
      process.stderr.write('.');
    }
  }
  process.stderr.write('\n');
  return measured.map(({ kind, cuts, commands }) => {
    const sorted = cuts.sort((a, b) => a - b);
    return {
      kind,
      p50Ms: round(quantile(sorted, 0.5), 0),
      longestMs: round(sorted.at(-1) ?? 0, 0),
      commandMs: round(
        quantile(
          commands.sort((a, b) => a - b),
          0.5,
        ),
        0,
      ),
    };
  });
}

/** A terminal; it runs once a key has come back. */
async function startExec({ url, ca, headers }: Victim): Promise<Runs> {
  const target = `${url.replace(/^https/, 'wss')}/exec?container=main&stdin=true&stdout=true&tty=true&command=echo`;
  const socket = new WebSocket(target, [protocol], { ca, headers, perMessageDeflate: false });
  const over = once(socket, 'close');
  await once(socket, 'open');
  socket.send(Buffer.from('\u0000x'));
  await once(socket, 'message');
  return { over };
}

/** An answer that goes on; it runs once its first bytes are there. */
async function startAnswer({ url, ca, headers }: Victim, of: (url: string) => string): Promise<Runs> {
  const outgoing = request(of(url), { ca, headers, agent: false });
  outgoing.end();
  const [answer] = (await once(outgoing, 'response')) as [IncomingMessage];
  const over = new Promise((resolve) => answer.once('close', resolve));
  await once(answer, 'data');
  answer.resume();
  return { over };
}

/** A forwarded connection; it runs once a byte has come back. */
async function startForward({ url, ca, headers }: Victim): Promise<Runs> {
  const upgrade = { connection: 'Upgrade', upgrade: 'SPDY/3.1', 'x-stream-protocol-version': 'portforward.k8s.io' };
  const outgoing = request(`${url}/portforward`, {
    ca,
    agent: false,
    method: 'POST',
    headers: { ...headers, ...upgrade },
  });
  outgoing.end();
  const [, socket, head] = (await once(outgoing, 'upgrade')) as [IncomingMessage, Socket, Buffer];
  const over = new Promise((resolve) => socket.once('close', resolve));
  const came = Promise.withResolvers<void>();
  const none = (): void => undefined;
  const session = new SpdySession('client', (bytes) => void socket.write(bytes), {
    opened: none,
    replied: none,
    data: (stream, bytes) => {
      session.consumed(stream, bytes.length);
      came.resolve();
    },
    reset: none,
    goAway: none,
    writable: none,
  });
  socket.on('data', (bytes: Buffer) => session.push(bytes));
  if (head.length > 0) session.push(head);
  const stream = (streamtype: string): number =>
    session.open(
      new Map([
        ['streamtype', streamtype],
        ['port', '8080'],
        ['requestid', '0'],
      ]),
    );
  session.end(stream('error'));
  session.write(stream('data'), Buffer.from('x'));
  await came.promise;
  return { over };
}
