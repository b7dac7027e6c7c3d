import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ArchivedFiles, archiveOf } from './archive.ts';

test('what kubectl cp runs is an archive on stdout or stdin', () => {
  assert.equal(archiveOf(['tar', 'cf', '-', '/var/log']), 'stdout');
  assert.equal(archiveOf(['sh', '-c', 'tar cf - /var/log | tail -c+17']), 'stdout');
  assert.equal(archiveOf(['tar', '-xmf', '-', '-C', '/tmp']), 'stdin');
  assert.equal(archiveOf(['/bin/tar', 'xf', '-']), 'stdin');
  for (const command of [['cat', 'cf'], ['tar', 'tf', '-'], ['sh', '-c', 'echo tar cf - x'], []]) {
    assert.equal(archiveOf(command), null, command.join(' '));
  }
});

test('the files of an archive are named, however it is cut', (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'sluice-archive-'));
  t.after(() => rmSync(dir, { recursive: true }));
  writeFileSync(join(dir, 'one.log'), 'x'.repeat(1_000));
  writeFileSync(join(dir, 'two.log'), '');
  const archive = execFileSync('tar', ['cf', '-', '-C', dir, 'one.log', 'two.log']);
  for (const size of [1, 511, 4_096]) {
    const files = new ArchivedFiles();
    for (let from = 0; from < archive.length; from += size) files.push(archive.subarray(from, from + size));
    assert.deepEqual(files.files, [
      { name: 'one.log', bytes: 1_000 },
      { name: 'two.log', bytes: 0 },
    ]);
  }
});
