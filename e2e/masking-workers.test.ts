// Masking workers die or stop under load: not one unmasked byte, calls fail closed or go to a peer, and all heals.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import {
  type ExtraService,
  environmentOf,
  formsOf,
  openScripted,
  removeScratch,
  type ScriptedCluster,
  Sluice,
  scratch,
  startService,
  until,
} from '@sluice/testing';

const dir = scratch();
const secret = 'secret-of-the-worker-test-4711';
const marker = 'marker-of-the-worker-test-4711';
const secrets = '/api/v1/namespaces/shop/secrets';
const log = '/api/v1/namespaces/shop/pods/web/log';
let cluster: ScriptedCluster;
let sluice: Sluice;
let peer: ExtraService | undefined;

/** Everything that came to the agent. */
const came: string[] = [];
const seen = { whole: 0, refused: 0, cut: 0 };

before(async () => {
  cluster = await openScripted(dir);
  const item = (index: number): object => ({
    metadata: { name: `${marker}-${index}` },
    data: { password: Buffer.from(secret).toString('base64'), more: Buffer.from(`x${secret}`).toString('base64') },
  });
  const list = JSON.stringify({
    kind: 'SecretList',
    apiVersion: 'v1',
    items: Array.from({ length: 200 }, (_, i) => item(i)),
  });
  const lines = `${marker}\npassword=${secret}\n`.repeat(500);
  cluster.answer = ({ target }) =>
    target === log
      ? { headers: { 'content-type': 'text/plain' }, body: lines }
      : { body: target === '/version' ? '{}' : list };
  sluice = await Sluice.start({ home: join(dir, 'home'), flags: ['--kubeconfig', cluster.kubeconfig] });
});

after(async () => {
  await peer?.stop();
  await sluice?.stop();
  await cluster?.close();
  removeScratch(dir);
});

async function once(path: string): Promise<void> {
  try {
    const { status, body } = await sluice.call('GET', path);
    came.push(body);
    if (status === 200) seen.whole++;
    else {
      assert.ok([502, 503].includes(status), `${path}: ${status}`);
      assert.match(body, /MaskingUnavailable|ResponseWithheld|PolicyUnavailable/);
      seen.refused++;
    }
  } catch {
    // An answer that had begun breaks off.
    seen.cut++;
  }
}

/** Load while `act` goes on. */
async function underLoad(act: () => Promise<void>): Promise<void> {
  const over = new AbortController();
  const loads = Array.from({ length: 6 }, async (_, index) => {
    while (!over.signal.aborted) await once(index % 2 === 0 ? secrets : log);
  });
  try {
    await act();
  } finally {
    over.abort();
    await Promise.all(loads);
  }
}

async function answersWhole(times: number): Promise<void> {
  const before = seen.whole;
  await until(`${times} whole answers`, () => seen.whole >= before + times);
}

const workerPid = (): number => sluice.state().parts['masking'] ?? 0;

test('a worker that is killed again and again is replaced; nothing comes out unmasked', async () => {
  await underLoad(async () => {
    for (let times = 0; times < 4; times++) {
      await answersWhole(5);
      const pid = workerPid();
      await sluice.kill('masking');
      await until('another worker', () => workerPid() !== pid);
    }
    await answersWhole(5);
  });
});

test('a worker that stops half way holds calls up, and gives nothing away; it goes on where it was', async () => {
  await underLoad(async () => {
    await answersWhole(3);
    const pid = workerPid();
    process.kill(pid, 'SIGSTOP');
    const before = seen.refused + seen.cut;
    try {
      await until('a call that failed closed', () => seen.refused + seen.cut > before);
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    await answersWhole(5);
  });
});

test('beside a peer the death of a worker costs calls nothing that they would notice', async () => {
  // With the environment of the first one; nobody starts it again.
  peer = await startService('masking', environmentOf(workerPid()), join(dir, 'peer.log'));
  await until('the peer to mask', async () => {
    process.kill(workerPid(), 'SIGSTOP');
    try {
      // One whose piece went to the stopped worker again and again is cut.
      const answered = await sluice.call('GET', secrets).catch(() => undefined);
      return answered?.status === 200;
    } finally {
      process.kill(workerPid(), 'SIGCONT');
    }
  });
  await underLoad(async () => {
    await answersWhole(5);
    const pid = workerPid();
    await sluice.kill('masking');
    await answersWhole(5);
    await until('another worker', () => workerPid() !== pid);
  });
});

test('the agent had the marker, and of the secret nothing in any form', () => {
  const has = (value: string): boolean => came.some((one) => formsOf(value).some((form) => one.includes(form)));
  assert.ok(has(marker), 'the marker would be seen');
  assert.ok(!has(secret), 'a secret came out');
  assert.ok(seen.whole > 0);
});
