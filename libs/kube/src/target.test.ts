import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseTarget, TargetError } from './target.ts';

const refused = [
  ['a relative target', 'api/v1/pods'],
  ['a target of more than 16 KiB', `/api/v1/pods?labelSelector=${'x'.repeat(16 * 1024)}`],
  ['an absolute-form target', 'https://evil/api/v1/pods'],
  ['a double slash at the start', '//evil/api/v1/pods'],
  ['a double slash inside', '/api/v1//pods'],
  ['two slashes at the end', '/api/v1/pods//'],
  ['a dot segment', '/api/v1/./pods'],
  ['a dot-dot segment', '/api/v1/../v1/pods'],
  ['an encoded dot-dot segment', '/api/v1/%2e%2e/pods'],
  ['a half-encoded dot-dot segment', '/api/v1/.%2E/pods'],
  ['an encoded slash', '/api/v1/namespaces/a/pods/p%2fexec'],
  ['an encoded backslash', '/api/v1/pods%5Cx'],
  ['a double encoding', '/api/v1/%252e%252e/pods'],
  ['an encoded zero byte', '/api/v1/pods/%00'],
  ['an encoded line feed in the path', '/api/v1/pods/a%0ab'],
  ['a truncated encoding', '/api/v1/pods/%2'],
  ['an encoding of no hex digits', '/api/v1/pods?x=%zz'],
  ['invalid UTF-8 in the path', '/api/v1/pods/%ff'],
  ['invalid UTF-8 in the query', '/api/v1/pods?x=%ff'],
  ['an overlong slash', '/api/v1/pods/%c0%af'],
  ['a backslash', '/api/v1\\pods'],
  ['a fragment', '/api/v1/pods#x'],
  ['a semicolon in the path', '/api/v1/pods;x=1'],
  ['a semicolon in the query', '/api/v1/pods?watch=1;x'],
  ['a space', '/api/v1/pods a'],
  ['a byte outside ASCII', '/api/v1/pods/\u00e9'],
  ['a scalar parameter twice', '/api/v1/pods?watch=false&watch=true'],
  ['a parameter twice, once encoded', '/api/v1/pods?watch=false&wat%63h=true'],
] as const;

for (const [what, target] of refused) {
  test(`${what} is refused`, () => assert.throws(() => parseTarget(target), TargetError));
}

test('a target is rebuilt from its parse', () => {
  const target = parseTarget('/api/v1/namespaces/a/pods/p?fieldSelector=metadata.name%3dx&watch&container=a+b');
  assert.deepEqual(target.segments, ['api', 'v1', 'namespaces', 'a', 'pods', 'p']);
  assert.deepEqual(target.query, [
    ['fieldSelector', 'metadata.name=x'],
    ['watch', ''],
    ['container', 'a b'],
  ]);
  assert.equal(target.canonical, '/api/v1/namespaces/a/pods/p?fieldSelector=metadata.name%3Dx&watch=&container=a%20b');
});

test('names with a colon stay readable', () => {
  const path = '/apis/rbac.authorization.k8s.io/v1/clusterroles/system:node';
  assert.equal(parseTarget(path).canonical, path);
});

test('list parameters may repeat and keep their order', () => {
  const { query } = parseTarget('/api/v1/x/y/z?command=sh&command=-c&command=ls%20-l');
  assert.deepEqual(
    query.map(([, value]) => value),
    ['sh', '-c', 'ls -l'],
  );
});

test('an argument of a command may have lines, and nothing else in a query may', () => {
  const { query, canonical } = parseTarget('/api/v1/x/y/z?command=sh&command=-c&command=ls%0d%0Aid');
  assert.deepEqual(query.at(-1), ['command', 'ls\r\nid']);
  assert.equal(canonical, '/api/v1/x/y/z?command=sh&command=-c&command=ls%0D%0Aid');
  for (const refused of ['container=a%0ab', 'command=a%00b', 'commands=a%0ab', 'labelSelector=a%0d'])
    assert.throws(() => parseTarget(`/api/v1/x/y/z?${refused}`), TargetError, refused);
});

test('the root and a trailing slash are kept', () => {
  assert.equal(parseTarget('/').canonical, '/');
  assert.equal(parseTarget('/api/').canonical, '/api/');
});
