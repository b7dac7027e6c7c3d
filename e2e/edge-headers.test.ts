// What a request's head can say, over h1 and h2, sent byte by byte. The cluster's own log is the judge: what is refused
// never arrives, and what arrives says what Sluice made of it.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { FrameMeta } from '@sluice/model';
import { Edge, filesUnder, type Lines, type Protocol, protocols, until } from '@sluice/testing';

let edge: Edge;

before(async () => {
  edge = await Edge.open();
});

after(() => edge?.close());

function onBoth(name: string, body: (protocol: Protocol) => Promise<void>): void {
  for (const protocol of protocols) test(`${name}, ${protocol}`, () => body(protocol));
}

const web = '/api/v1/namespaces/shop/configmaps/web';
const configMaps = '/api/v1/namespaces/default/configmaps';
let made = 0;

function newConfigMap(): string {
  const metadata = { name: `edge-${++made}` };
  return JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { a: 'b' } });
}

onBoth('case 2: a path that two readers could take for two is refused', async (protocol) => {
  const pod = '/api/v1/namespaces/shop/pods/p';
  const encoded = [
    '%2fexec',
    '%2Fexec',
    '%5cexec',
    '%252e',
    '%00',
    '%0a',
    '%',
    '%2',
    '%zz',
    '%ff',
    '%c0%ae',
    '%ed%a0%80',
  ];
  const raw = [
    '/..',
    '/.',
    '/../../secrets/s',
    '/%2e%2e',
    '/.%2E/x',
    '//',
    '//log',
    '\\exec',
    ';a=b',
    '\xe9',
    ' x',
    '\t',
    '\x01',
  ];
  for (const tail of [...encoded, ...raw]) await edge.refused(protocol, { target: pod + tail });
});

onBoth('case 3: where a request goes is never for the agent to say', async (protocol) => {
  const targets = [
    '//evil/api/v1/pods',
    'http://evil/api/v1/pods',
    'https://evil:443/../api',
    'evil:80',
    '*',
    '/version#frag',
    '',
  ];
  for (const target of targets) await edge.refused(protocol, { target });
  await edge.refused(protocol, { target: '/version', headers: [['Host', 'evil']].map(lowerOver(protocol)) });
  const { headers } = await edge.passes(protocol, { target: '/version' });
  assert.match(headers['host'] ?? '', /^127\.0\.0\.1:\d+$/, 'the host is the cluster\u2019s own');
});

onBoth('case 5: a query means the same to policy, record and cluster, or is refused', async (protocol) => {
  const queries = ['watch=1;x', 'command=id;rm', 'a=%zz', 'a=%', 'a=%ff', 'a=%00', 'a=%0d%0aHost:%20evil', 'a=1&a=2'];
  for (const query of queries) await edge.refused(protocol, { target: `${web}?${query}` });
  const target = `${configMaps}?fieldManager=a+b%2Bc%26d&&pretty=%74rue`;
  const { auditId, target: seen } = await edge.passes(protocol, {
    method: 'POST',
    target,
    body: newConfigMap(),
    headers: json,
  });
  assert.equal(new URL(seen, 'https://x').searchParams.get('fieldManager'), 'a b+c&d');
  assert.equal(new URL(seen, 'https://x').searchParams.get('pretty'), 'true');
  const recorded = await until('its record', async () => {
    const frames = await edge.sluice.frames(auditId).catch(() => []);
    return frames.find(({ kind }) => kind === 'call')?.meta as FrameMeta['call'] | undefined;
  });
  assert.equal(recorded.target, seen);
});

const json: Lines = [['content-type', 'application/json']];

/** Everything that Sluice sends with a read. */
const upstreamNames = [
  'accept',
  'accept-encoding',
  'audit-id',
  'connection',
  'host',
  'impersonate-extra-sluice-agent',
  'impersonate-extra-sluice-call',
  'impersonate-group',
  'impersonate-user',
  'user-agent',
];

onBoth('case 13: no header of the agent makes it anybody in the cluster', async (protocol) => {
  const forged: Lines = [
    ['Impersonate-User', 'system:admin'],
    ['impersonate-user', 'system:admin'],
    ['IMPERSONATE-GROUP', 'system:masters'],
    ['Impersonate-Group', 'g1, g2,system:masters'],
    ['Impersonate-Uid', '0'],
    ['Impersonate-Extra-Scopes', 'all'],
    ['X-Remote-User', 'root'],
    ['X-Remote-Group', 'system:masters'],
    ['X-Remote-Extra-A', 'b'],
    ['X-Forwarded-For', '127.0.0.1'],
    ['Forwarded', 'for=127.0.0.1'],
    ['Cookie', 'a=b'],
    ['Proxy-Authorization', 'Basic x'],
    ['Audit-ID', 'forged'],
    ['Origin', 'https://evil'],
  ];
  const { headers, auditId } = await edge.passes(protocol, { target: web, headers: forged.map(lowerOver(protocol)) });
  assert.deepEqual(Object.keys(headers).sort(), upstreamNames);
  assert.equal(headers['impersonate-user'], 'sluice:tier:demo');
  assert.equal(headers['impersonate-group'], 'sluice:demo');
  assert.match(auditId, /^[0-9a-f-]{36}$/);
  for (const name of ['impersonate_user', 'x_remote_user'])
    await edge.refused(protocol, { target: web, headers: [[name, 'root']] });
});

test('case 14, h1: a Connection header cannot take away the headers Sluice adds', async () => {
  const named = 'impersonate-user, impersonate-group, authorization, audit-id, accept-encoding';
  for (const value of [named, `close, ${named}`, `keep-alive, ${named}`]) {
    const { headers } = await edge.passes('h1', { target: web, headers: [['Connection', value]] });
    assert.deepEqual(Object.keys(headers).sort(), upstreamNames);
  }
  const twice: Lines = [
    ['Connection', 'keep-alive'],
    ['Connection', named],
  ];
  await edge.refused('h1', { target: web, headers: twice });
});

test('case 14, h2: a Connection header, which h2 does not have, is refused', async () => {
  for (const name of ['connection', 'proxy-connection', 'keep-alive', 'upgrade', 'transfer-encoding'])
    await edge.refused('h2', { target: web, headers: [[name, 'impersonate-user']] });
});

onBoth('case 16: a token in a subprotocol or in the query is refused and written down nowhere', async (protocol) => {
  const token = Buffer.from(edge.sluice.token()).toString('base64url');
  const exec = '/api/v1/namespaces/shop/pods/web/exec?command=id&stdout=true';
  const offers = [
    `base64url.bearer.authorization.k8s.io.${token}`,
    `v5.channel.k8s.io, Base64URL.bearer.authorization.k8s.io.${token}`,
  ];
  for (const offer of offers) {
    for (const target of [exec, web]) {
      await edge.refused(protocol, { target, headers: [['sec-websocket-protocol', offer]] });
      await edge.refused(protocol, { target, headers: [['sec-websocket-protocol', offer]], authorization: '' });
    }
    if (protocol === 'h2') continue;
    const upgrade: Lines = [
      ['Connection', 'Upgrade'],
      ['Upgrade', 'websocket'],
      ['Sec-WebSocket-Version', '13'],
      ['Sec-WebSocket-Key', 'AAAAAAAAAAAAAAAAAAAAAA=='],
    ];
    const two: Lines = [
      ['Sec-WebSocket-Protocol', 'v5.channel.k8s.io'],
      ['Sec-WebSocket-Protocol', offer],
    ];
    await edge.refused('h1', { target: exec, headers: [...upgrade, ...two] });
  }
  const given = `query-${token}`;
  for (const name of ['access_token', 'token', 'Token', '%74oken'])
    await edge.refused(protocol, { target: `${web}?${name}=${given}` });
  assert.deepEqual(filesWith(token), []);
  assert.ok(!edge.sluice.output.includes(token));
});

function filesWith(value: string): string[] {
  return filesUnder(edge.sluice.home)
    .filter(({ bytes }) => bytes.includes(value))
    .map(({ file }) => file)
    .toArray();
}

onBoth('case 17: headers that change what a request means elsewhere change nothing here', async (protocol) => {
  const odd: Lines = [
    ['X-HTTP-Method-Override', 'DELETE'],
    ['X-HTTP-Method', 'DELETE'],
    ['X-Method-Override', 'DELETE'],
    ['Range', 'bytes=0-0'],
    ['If-Match', '"x"'],
    ['If-None-Match', '*'],
    ['If-Modified-Since', 'Mon, 01 Jan 2035 00:00:00 GMT'],
    ['If-Range', '"x"'],
    ['TE', 'trailers'],
    ['Max-Forwards', '0'],
  ];
  const { method, headers } = await edge.passes(protocol, { target: web, headers: odd.map(lowerOver(protocol)) });
  assert.equal(method, 'GET');
  assert.deepEqual(Object.keys(headers).sort(), upstreamNames);
  const expecting: Lines = [...json, ['expect', '100-continue']];
  const write = await edge.passes(protocol, {
    method: 'POST',
    target: configMaps,
    body: newConfigMap(),
    headers: expecting,
  });
  assert.equal(write.headers['expect'], undefined);
});

/** Header names as they may stand: over h2 in lower case. */
function lowerOver(protocol: Protocol): (line: readonly string[]) => readonly [string, string] {
  return ([name = '', value = '']) => [protocol === 'h2' ? name.toLowerCase() : name, value];
}
