import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { StreamRequest } from '@sluice/model';
import { requestAttributes } from './request-info.ts';
import { parseStreamRequest } from './stream-request.ts';
import { parseTarget } from './target.ts';

function parse(subresource: string, query = ''): StreamRequest | null {
  const target = parseTarget(`/api/v1/namespaces/a/pods/p/${subresource}?${query}`);
  const attributes = requestAttributes('GET', target);
  assert.ok(attributes !== null);
  return parseStreamRequest(attributes, target);
}

const nothing = { command: [], container: '', stdin: false, stdout: false, stderr: false, tty: false, ports: [] };

test('an exec is its options: argv in order, and what is not named is false', () => {
  assert.deepEqual(parse('exec', 'command=sh&stdout=true&command=-c&container=c&stdin=1&command=a+b%26&stderr=True'), {
    ...nothing,
    kind: 'exec',
    command: ['sh', '-c', 'a b&'],
    container: 'c',
    stdin: true,
    stdout: true,
    stderr: true,
  });
  assert.deepEqual(parse('exec'), { ...nothing, kind: 'exec' });
  assert.deepEqual(parse('exec', 'command='), { ...nothing, kind: 'exec', command: [''] });
});

test('an attach has no command, a terminal no stderr', () => {
  assert.deepEqual(parse('attach', 'command=sh&tty=true&stdout=true&stderr=true&stdin=FALSE'), {
    ...nothing,
    kind: 'attach',
    stdout: true,
    tty: true,
  });
});

test('a flag that Go programs could read in two ways is refused', () => {
  for (const value of ['', 't', 'f', 'F', 'T', 'yes', 'no', 'tRUE', 'fALSE', 'fal%C5%BFe', '00', '1,0', '+true']) {
    assert.throws(() => parse('exec', `command=ls&tty=${value}`), { code: 'TargetNotCanonical' }, value);
  }
  assert.throws(() => parse('exec', 'stdin'), { code: 'TargetNotCanonical' });
  assert.throws(() => parse('attach', 'stdout=x'), { code: 'TargetNotCanonical' });
});

test('ports are repeated or a list', () => {
  assert.deepEqual(parse('portforward', 'ports=80&ports=443,65535'), {
    ...nothing,
    kind: 'portforward',
    ports: [80, 443, 65535],
  });
  assert.deepEqual(parse('portforward', 'stdin=true'), { ...nothing, kind: 'portforward' });
  for (const value of ['', '0', '080', '-1', '+80', '65536', '100000', '80,', '8_0', '0x50', 'http', '1e2', '80 ']) {
    assert.throws(
      () => parse('portforward', `ports=${encodeURIComponent(value)}`),
      { code: 'TargetNotCanonical' },
      value,
    );
  }
});

test('nothing else is a stream', () => {
  for (const subresource of ['log', 'proxy', 'status', 'execs']) assert.equal(parse(subresource, 'tty=x'), null);
  const target = parseTarget('/apis/x.io/v1/namespaces/a/pods/p/exec?tty=x');
  assert.equal(parseStreamRequest(requestAttributes('GET', target) ?? assert.fail(), target), null);
});
