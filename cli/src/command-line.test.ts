import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import type { StreamRequest } from '@sluice/model';
import { kubectlLine, shellLine } from './command-line.ts';

const argv = [
  'sh',
  '-c',
  'echo "$HOME"; rm -rf /data',
  "it's",
  '',
  '*',
  'a\nb\tc\rd',
  '\\n',
  '\u001b[2J\u202egnp.exe\u200b',
  'no\u00a0break',
  'tag\u{e0041}',
  "\u0007'\\",
  'Zürich 🔑',
];

test('a command is one line that holds nothing unseen, and a shell reads it as the same words', () => {
  const line = shellLine(argv);
  assert.doesNotMatch(line, /[\p{Cc}\p{Cf}\u00a0]/u);
  // The record is UTF-8, whatever the machine has.
  const env = { ...process.env, LC_ALL: 'C.UTF-8' };
  const words = execFileSync('bash', ['-c', `printf '%s\\0' ${line}`], { env })
    .toString()
    .split('\0')
    .slice(0, -1);
  assert.deepEqual(words, argv);
});

test('what needs no quotes has none', () => {
  assert.equal(shellLine(['ls', '-la', '/var/log/*.log', 'a=b']), "ls -la '/var/log/*.log' a=b");
});

const stream: StreamRequest = {
  kind: 'exec',
  command: ['sh', '-c', 'id; ls'],
  container: 'main',
  stdin: true,
  stdout: true,
  stderr: true,
  tty: true,
  ports: [],
};

test('a stream is told as one would type it', () => {
  assert.equal(kubectlLine('shop', 'web', stream), "kubectl exec web -n shop -c main -i -t -- sh -c 'id; ls'");
  const attach: StreamRequest = { ...stream, kind: 'attach', command: [], container: '', tty: false };
  assert.equal(kubectlLine('shop', 'web', attach), 'kubectl attach web -n shop -i');
  const forward: StreamRequest = { ...attach, kind: 'portforward', ports: [80, 443] };
  assert.equal(kubectlLine('shop', 'web', forward), 'kubectl port-forward web -n shop 80 443');
});
