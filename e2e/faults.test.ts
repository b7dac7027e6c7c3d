// A part is gone at a point of a call's life. The upstream's own log is the judge: no request without an earlier
// ack, a refusal where none may go, and everything heals.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { DemoCluster } from '@sluice/demo-cluster';
import type { ReasonCode } from '@sluice/model';
import { openDemo, reasonCode, removeScratch, Sluice, scratch, type Upstream, until } from '@sluice/testing';

const dir = scratch();
let upstream: Upstream & { readonly cluster: DemoCluster };
let sluice: Sluice;

before(async () => {
  upstream = await openDemo(dir);
  sluice = await Sluice.start({
    home: join(dir, 'home'),
    flags: ['--kubeconfig', upstream.kubeconfig],
    // Longer than any deadline of a call, so that a killed part stays away until the agent has its answer; a ledger
    // outlives that.
    env: { SLUICE_RESTART_DELAY_MS: '8000', SLUICE_LEDGER_LEASE_MS: '30000' },
  });
});

after(async () => {
  await sluice?.stop();
  await upstream?.close();
  removeScratch(dir);
});

type Requests = Extract<DemoCluster['log'][number], { kind: 'request' }>[];

function requestsFor(name: string): Requests {
  return upstream.cluster.log.filter(
    (entry): entry is Requests[number] =>
      entry.kind === 'request' && (entry.target.includes(name) || entry.body.includes(name)),
  );
}

let counter = 0;

/** A write that nobody else makes: its name finds it in the upstream's log and in the record. */
function newCall(): { readonly name: string; readonly path: string; readonly body: string } {
  const name = `fault-${++counter}`;
  const body = JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data: { a: 'b' } });
  return { name, path: '/api/v1/namespaces/default/configmaps', body };
}

async function healed(): Promise<void> {
  await until('calls to go through again', async () => {
    const answered = await sluice.call('GET', '/api/v1/namespaces/default').catch(() => undefined);
    return answered?.status === 200;
  });
  await until('the record to answer again', async () => (await sluice.cli('calls', 'list', '--json')).code === 0);
}

/** Every request the upstream saw has a call frame that the broker had on disk before its first byte came. */
async function assertAckedFirst(requests: Requests): Promise<void> {
  for (const { auditId, atMs, target } of requests) {
    // Frames of two streams arrive in any order; those a killed recorder held come again after a while.
    const call = await until(`the call frame of ${target}`, async () => {
      const frames = await sluice.frames(auditId).catch(() => []);
      return frames.find(({ kind }) => kind === 'call');
    });
    assert.ok(Math.floor(call.storedAtMicros / 1000) <= atMs, `${target} went upstream before its ack`);
  }
}

const allowed = 'AllowedByRule';
type Expected = readonly [status: number, reason: ReasonCode, upstreamSees: 0 | 1];

/** What an agent gets when a part is gone from a point on. */
const matrix: Readonly<Record<string, Readonly<Record<string, Expected>>>> = {
  policy: {
    'before-ask': [503, 'PolicyUnavailable', 0],
    'before-ack': [201, allowed, 1],
    'after-first-upstream-byte': [201, allowed, 1],
  },
  masking: {
    'before-ask': [502, 'ResponseWithheld', 1],
    'before-ack': [502, 'ResponseWithheld', 1],
    'after-first-upstream-byte': [502, 'ResponseWithheld', 1],
  },
  recorder: {
    // The broker keeps what the recorder has not taken.
    'before-ask': [201, allowed, 1],
    'before-ack': [201, allowed, 1],
    'after-first-upstream-byte': [201, allowed, 1],
  },
  broker: {
    // Without a broker the refusal itself cannot be recorded either.
    'before-ask': [503, 'RecordUnavailable', 0],
    'before-ack': [503, 'RecordUnavailable', 0],
    'after-first-upstream-byte': [502, 'ResponseWithheld', 1],
  },
};

for (const [part, points] of Object.entries(matrix)) {
  for (const [point, [status, reason, upstreamSees]] of Object.entries(points)) {
    const ends = reason === allowed ? 'the call completes' : `the agent gets ${status} ${reason}`;
    test(`${part} gone ${point.replaceAll('-', ' ')}: ${ends}, the upstream sees ${upstreamSees} requests`, async () => {
      const { name, path, body } = newCall();
      const armed = sluice.arm(point);
      const answering = sluice.call('POST', path, body);
      await armed.reached();
      await sluice.kill(part);
      armed.release();
      const answered = await answering;
      assert.equal(answered.status, status, answered.body);
      if (reason !== allowed) {
        assert.equal(reasonCode(answered), reason);
        assert.equal(answered.headers['retry-after'], status === 503 ? '1' : undefined);
      }
      assert.equal(requestsFor(name).length, upstreamSees);
      await healed();
      assert.equal(requestsFor(name).length, upstreamSees, 'nothing went there later');
      await assertAckedFirst(requestsFor(name));
    });
  }
}

test('a masking worker that is gone before the request body is masked: nothing goes upstream', async () => {
  await sluice.kill('masking');
  const { name, path, body } = newCall();
  const answered = await sluice.call('POST', path, body);
  assert.equal(reasonCode(answered), 'MaskingUnavailable');
  assert.equal(requestsFor(name).length, 0);
  await healed();
});

test('every call has exactly one outcome when all is healed', async () => {
  const rows = await until('every outcome', async () => {
    const found = await sluice.calls();
    return found.length > 0 && found.every(({ outcome }) => outcome !== null) && found;
  });
  for (const { id } of rows.slice(0, 40)) {
    const frames = await sluice.frames(id);
    assert.equal(frames.filter(({ kind }) => kind === 'outcome').length, 1, id);
    assert.equal(frames.filter(({ kind }) => kind === 'call').length, 1, id);
  }
});

test('the cluster breaks off before it answers: the effect is unknown, and no Retry-After', async () => {
  const { name, path, body } = newCall();
  const failing = upstream.cluster.arm({ kind: 'reset-before-response', target: path });
  const answered = await sluice.call('POST', path, body);
  failing.release();
  assert.equal(answered.status, 502);
  assert.equal(reasonCode(answered), 'EffectUnknown');
  assert.equal(answered.headers['retry-after'], undefined);
  assert.equal(requestsFor(name).length, 1);
});

test('a kept-alive connection that closes as it is used again costs a read nothing', async () => {
  const path = '/api/v1/namespaces/shop/configmaps/web';
  assert.equal((await sluice.call('GET', path)).status, 200, 'there is a connection to use again');
  const before = requestsFor(path).length;
  const failing = upstream.cluster.arm({ kind: 'reset-before-response', target: path });
  void failing.reached.then(() => failing.release());
  assert.equal((await sluice.call('GET', path)).status, 200);
  const [first, second] = requestsFor(path).slice(before);
  assert.equal(first?.auditId, second?.auditId, 'one call, recorded once');
  await assertAckedFirst(requestsFor(path).slice(before));
});

test('the cluster breaks off in the middle of its answer: the rest is not made up', async () => {
  const failing = upstream.cluster.arm({ kind: 'reset-after-first-byte', target: '/api/v1/namespaces/shop' });
  const answered = await sluice.call('GET', '/api/v1/namespaces/shop');
  failing.release();
  assert.equal(answered.status, 502);
  assert.equal(reasonCode(answered), 'ResponseWithheld');
});

test('the cluster answers in a type that cannot be masked: the answer is withheld', async () => {
  const failing = upstream.cluster.arm({ kind: 'wrong-content-type', target: '/secrets' });
  const answered = await sluice.call('GET', '/api/v1/namespaces/shop/secrets');
  failing.release();
  assert.equal(answered.status, 502);
  assert.equal(reasonCode(answered), 'ResponseWithheld');
  assert.ok(!answered.body.includes(Buffer.from('demo-password-of-nobody').toString('base64')));
});

test('what is not canonical reaches neither policy nor the cluster', async () => {
  const before = upstream.cluster.log.length;
  for (const path of [
    '/api/v1/namespaces/a/pods/p%2fexec',
    '/api/v1/../v1/pods',
    '//evil/api',
    '/api/v1/pods?watch=0&watch=1',
  ]) {
    const answered = await sluice.call('GET', path);
    assert.equal(answered.status, 400, path);
  }
  assert.equal(upstream.cluster.log.length, before);
});

test('headers of the agent cannot become anybody in the cluster', async () => {
  const headers = {
    'impersonate-user': 'system:admin',
    'impersonate-group': 'system:masters',
    'x-remote-user': 'root',
    'audit-id': 'forged',
    connection: 'impersonate-user, authorization, audit-id',
  };
  const answered = await sluice.call('GET', '/api/v1/namespaces/kube-system', '', headers);
  assert.equal(answered.status, 200);
  const [request] = requestsFor('/namespaces/kube-system');
  assert.equal(request?.headers['impersonate-user'], 'sluice:tier:demo');
  assert.equal(request?.headers['impersonate-group'], 'sluice:demo');
  assert.equal(request?.headers['impersonate-extra-sluice-agent'], 'demo');
  assert.equal(request?.headers['x-remote-user'], undefined);
  assert.match(request?.auditId ?? '', /^[0-9a-f-]{36}$/);
});

test('a body over the limit is refused before the cluster sees it', async () => {
  const { name, path } = newCall();
  const body = JSON.stringify({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name },
    data: { a: 'x'.repeat(3 * 1024 * 1024) },
  });
  const answered = await sluice.call('POST', path, body);
  assert.equal(reasonCode(answered), 'BodyTooLarge');
  assert.equal(requestsFor(name).length, 0);
});

test('an agent that leaves in the middle of its request: nothing goes upstream, and the record says so', async () => {
  const { name, path } = newCall();
  const socket = await sluice.socket();
  const head = [
    `POST ${path}?fieldManager=${name} HTTP/1.1`,
    'Host: sluice',
    `Authorization: Bearer ${sluice.token()}`,
  ];
  socket.write([...head, 'Content-Length: 1000', '', '{"half":'].join('\r\n'));
  await new Promise((resolve) => setTimeout(resolve, 100));
  socket.destroy();
  const row = await until('its outcome', async () =>
    (await sluice.calls('--effect', 'deny')).find(
      ({ reasonCode: code, outcome }) => code === 'BodyNotReadable' && outcome !== null,
    ),
  );
  assert.equal(row.outcome, 'aborted');
  assert.equal(requestsFor(name).length, 0);
});

for (const [what, lines] of Object.entries({
  'two Authorization lines': ['Host: sluice', 'Authorization: Bearer x'],
  'two Host lines': ['Host: sluice', 'Host: evil'],
  'a body on a GET': ['Host: sluice', 'Content-Length: 2'],
  'two Transfer-Encoding lines': ['Host: sluice', 'Transfer-Encoding: identity', 'Transfer-Encoding: chunked'],
})) {
  test(`${what}: 400, and the cluster sees nothing`, async () => {
    const before = upstream.cluster.log.length;
    const socket = await sluice.socket();
    socket.write(['GET /version HTTP/1.1', ...lines, `Authorization: Bearer ${sluice.token()}`, '', ''].join('\r\n'));
    const [answer] = (await once(socket, 'data')) as [Buffer];
    socket.destroy();
    assert.match(answer.toString(), /^HTTP\/1\.1 400 /);
    assert.equal(upstream.cluster.log.length, before);
  });
}
