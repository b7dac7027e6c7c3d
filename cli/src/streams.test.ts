// A recorded stream: in the timeline of its call, played, and as a file to be played.
import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import type { FrameRow } from '@sluice/model';
import { asciicast, firstSize } from './asciicast.ts';
import { framesAsWritten } from './call-frames.ts';
import { play } from './play.ts';
import type { Records } from './records.ts';
import { replay } from './replay.ts';
import { begun, channel, each, ended, frame, id, ran, row, type StreamMeta } from './stream-fixtures.ts';
import { callTimeline, sessionEntry } from './timeline.ts';

const euro = Buffer.from('€');
const shown: readonly FrameRow[] = [
  begun(ran),
  channel('stdout', 10, 'one\u001b[2J\n'),
  channel('stdin', 20, 'l'),
  channel('stdin', 30, 's\nexit'),
  channel('stdout', 40, Buffer.concat([Buffer.from('two '), euro.subarray(0, 1)])),
  channel('stderr', 50, 'oops\u202e\n'),
  channel('stdout', 60, euro.subarray(1)),
  channel('error', 70, '{"status":"Failure"}'),
  ended(80, 3),
];

test('a timeline tells what ran, each channel with its time, and how it ended; nothing commands a terminal', () => {
  assert.equal(
    callTimeline(row, shown, 99),
    `
12:10:16.123  demo (i) asks: create pods/exec
                POST /api/v1/namespaces/shop/pods/web/exec?command=sh
                through "c", as kubectl
                allow: AllowedByRule, rule "r" of policy "p"
                runs in container main: sh -c 'ls; id'
                opaque, with stdin
                pod u-1, resourceVersion 7
                its pod refers to Secrets: db, tls

12:10:16.133  stdout: 15 bytes
                    one\\u001b[2J
                    two €

12:10:16.143  stdin: 7 bytes
                    12:10:16.143  ls
                    12:10:16.153  exit

12:10:16.173  stderr: 8 bytes
                    oops\\u202e

12:10:16.203  completed 101 after 80.0 ms: the cluster answered and the agent has the whole answer
                exit code 3
                v5.channel.k8s.io from the agent, SPDY/3.1 v4.channel.k8s.io to the cluster
                stdout: 4 bytes, sha256 ab
`.slice(1),
  );
});

test('a long channel is shortened, a terminal’s carriage returns are none, and its sizes are told', () => {
  const tty = { ...ran, tty: true };
  const frames = [
    begun(tty),
    channel('resize', 1, '{"Width":120,"Height":40}\n'),
    channel('stdout', 2, 'a\r\nb\r\nc\r\n'),
  ];
  const told = callTimeline(row, frames, 2);
  assert.match(told, /terminal:\n +12:10:16.124 {2}120x40\n/);
  assert.match(told, /stdout: 9 bytes\n +a\n +b\n +… 1 more lines; --full shows them\n/);
  const leftAside = callTimeline(row, [begun(ran), { ...channel('stdout', 2, 'abc'), bytesBase64: '' }], 2);
  assert.match(leftAside, /stdout: 3 bytes\n +… 3 more bytes; --full shows them\n/);
});

test('who cut a stream is told, and what is written there makes no lines of its own', () => {
  const message = 'sluice: killed by local:ann: no\n12:10:16.123  forged';
  const told = callTimeline(row, [begun(ran), ended(5, null, { outcome: 'cut', reasonCode: 'Killed', message })], 9);
  assert.match(told, /the agent was told: sluice: killed by local:ann: no\\n12:10:16.123 {2}forged\n/);
});

test('a port-forward is told by its connections: ports, bytes, refusals', () => {
  const forward: StreamMeta = { ...ran, kind: 'portforward', command: [], container: '', ports: [] };
  const port = { channel: 'port', connection: 1, port: 8080 } as const;
  const frames = [
    begun(forward),
    frame('channel', 1, { ...port, event: 'opened' }),
    frame('channel', 2, { ...port, event: 'in' }, 'GET /\n'),
    frame('channel', 3, {
      ...port,
      connection: 2,
      port: 22,
      event: 'refused',
      reasonCode: 'DeniedByRule',
      reason: 'No.',
    }),
    frame('channel', 9, { ...port, event: 'closed', inBytes: 6, outBytes: 0 }),
  ];
  const told = callTimeline(row, frames, 9);
  assert.match(told, /forwards ports\n +pod u-1/);
  assert.match(
    told,
    /\.124 {2}connection 1 to port 8080: 6 bytes in, 0 bytes out, closed 12:10:16.132\n +in:\n +GET \/\n/,
  );
  assert.match(told, /\.126 {2}connection 2 to port 22: refused DeniedByRule: No\.\n/);
});

test('a session lists its streams with their commands and exit codes', () => {
  const entry = sessionEntry(row, null, row);
  assert.match(
    entry,
    /demo: create pods\/exec shop\/web: sh -c 'ls; id'\n +allow AllowedByRule, completed 101, exit code 3\n/,
  );
});

const cast = async (stream: StreamMeta, frames: readonly FrameRow[]): Promise<unknown[]> => {
  const lines: string[] = [];
  const size = stream.tty ? await firstSize(each(frames)) : null;
  for await (const line of asciicast(stream, size, each(frames))) lines.push(line);
  for (const line of lines) assert.doesNotMatch(line.slice(0, -1), /[\p{Cc}\p{Cf}]/u);
  return lines.map((line) => JSON.parse(line));
};

test('an asciicast has a header and events as version 2 has them: characters whole, times rising, line feeds returned', async () => {
  assert.deepEqual(await cast(ran, shown), [
    {
      version: 2,
      width: 80,
      height: 24,
      timestamp: Math.floor(Date.parse('2026-11-23T12:10:16.133Z') / 1_000),
      command: "sh -c 'ls; id'",
      env: { TERM: 'xterm-256color' },
    },
    [0, 'o', 'one\u001b[2J\r\n'],
    [0.01, 'i', 'l'],
    [0.02, 'i', 's\nexit'],
    [0.03, 'o', 'two '],
    [0.04, 'o', 'oops\u202e\r\n'],
    [0.05, 'o', '€'],
  ]);
});

test('an asciicast of a terminal has its sizes, and nothing that would command another one', async () => {
  const frames = [
    channel('stdout', 5, '$ \u001b]52;c;AAAA\u0007\u001b[6n'),
    channel('resize', 6, '{"Width":120,"Height":40}\n'),
    channel('stdout', 9, 'ls\r\n'),
    // A clock that was set back.
    channel('stdout', 7, 'x'),
    channel('resize', 20, '{"Width":100,"Height":30}\n{"Width":0,"Height":1}\nno\n'),
  ];
  assert.deepEqual((await cast({ ...ran, tty: true }, frames)).slice(1), [
    [0, 'o', '$ '],
    [0.004, 'o', 'ls\r\n'],
    [0.004, 'o', 'x'],
    [0.015, 'r', '100x30'],
  ]);
  const [header] = (await cast({ ...ran, tty: true }, frames)) as { width: number; height: number }[];
  assert.deepEqual([header?.width, header?.height], [120, 40]);
  assert.equal((await cast(ran, [])).length, 1, 'a stream that carried nothing');
});

async function played(frames: readonly FrameRow[], speed: number, stopAfter = Infinity) {
  const out = new PassThrough();
  const slept: number[] = [];
  const stop = new AbortController();
  const others = await play(each(frames), { speed, idleLimitMs: 2_000 }, out, stop.signal, async (ms) => {
    slept.push(ms);
    if (slept.length >= stopAfter) stop.abort();
  });
  out.end();
  return { written: await text(out), slept, kinds: others.map(({ kind }) => kind) };
}

const terminal = [
  begun({ ...ran, tty: true }),
  channel('stdout', 100, '$ '),
  channel('stdin', 400, 'l'),
  channel('stdout', 500, '\u001b[?1049hl\u001b]0;x\u0007'),
  channel('stdout', 60_000, 's'),
  ended(60_100, 0),
];

test('a terminal is played in its own time, at a speed, pauses shortened; in the end it is as it was', async () => {
  const { written, slept, kinds } = await played(terminal, 2);
  assert.deepEqual(slept, [150, 50, 1_000]);
  assert.ok(written.startsWith('$ \u001b[?1049hls\u001b[?1049l\u001b[!p'), JSON.stringify(written));
  assert.deepEqual(kinds, ['call', 'outcome']);
});

test('a replay that is interrupted writes no more, and leaves the terminal as it was', async () => {
  const { written } = await played(terminal, 1, 3);
  assert.ok(written.startsWith('$ \u001b[?1049hl\u001b[?1049l'), JSON.stringify(written));
});

test('frames are read in the order of their ledgers’ numbers, however many answers they take', async () => {
  const ledgers = ['i-10', 'i-9'];
  const frames = ledgers.flatMap((ledger) => [1, 2, 3].map((seq) => ({ ...channel('stdout', 0, 'x'), ledger, seq })));
  const asking = (pageRows: number): Records => ({
    ask: (question) => {
      assert.ok(question.kind === 'frames');
      const { after } = question;
      const behind = frames.filter(
        ({ ledger, seq }) => after === null || ledger > after.ledger || (ledger === after.ledger && seq > after.seq),
      );
      const answer = { kind: 'frames', frames: behind.slice(0, pageRows), more: behind.length > pageRows };
      return Promise.resolve(answer as never);
    },
    close: () => Promise.resolve(),
  });
  for (const pageRows of [1, 2, 4, 6, 9]) {
    const read: string[] = [];
    for await (const { ledger, seq } of framesAsWritten(asking(pageRows), id)) read.push(`${ledger} ${seq}`);
    assert.deepEqual(read, ['i-9 1', 'i-9 2', 'i-9 3', 'i-10 1', 'i-10 2', 'i-10 3'], `${pageRows} a page`);
  }
});

test('of a channel that carried much, only what is shown is read', async () => {
  const megabyte = 1_000_000;
  const big = Array.from({ length: 60 }, (_, n) => channel('stdout', n + 1, Buffer.alloc(megabyte, 'x\n')));
  const frames = [begun(ran), ...big, ended(99, 0)];
  let read = 0;
  const records: Records = {
    ask: (question) => {
      if (question.kind === 'calls') return Promise.resolve({ kind: 'calls', calls: [row] } as never);
      assert.ok(question.kind === 'frames');
      const { after, bodies } = question;
      const behind = frames.filter(({ ledger, seq }) => ledger > (after?.ledger ?? '') || seq > (after?.seq ?? 0));
      const some = behind.slice(0, bodies === 'sizes' ? 1_000 : 2);
      const shown = some.map((frame) => (bodies === 'sizes' ? { ...frame, bytesBase64: '' } : frame));
      read += shown.reduce((sum, { bytesBase64 }) => sum + bytesBase64.length * 0.75, 0);
      return Promise.resolve({ kind: 'frames', frames: shown, more: behind.length > some.length } as never);
    },
    close: () => Promise.resolve(),
  };
  const out = new PassThrough();
  const never = (): AbortSignal => new AbortController().signal;
  await replay(records, id, { speed: 1, idleLimit: 2 }, out, never);
  const told = String(out.read());
  assert.match(told, /stdout: 60000000 bytes\n/);
  assert.match(told, /… \d+ more lines; --full shows them\n +… 59000000 more bytes; --full shows them\n/);
  assert.match(told, /exit code 0\n/);
  assert.ok(read < 40 * megabyte, `${read}`);
});
