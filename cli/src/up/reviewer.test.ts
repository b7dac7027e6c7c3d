import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { localReviewer } from './reviewer.ts';

test('the reviewer is the account that Sluice runs under, and has its groups', async () => {
  const { name, groups } = await localReviewer();
  assert.equal(name, `local:${execFileSync('id', ['-un'], { encoding: 'utf8' }).trim()}`);
  const own = execFileSync('id', ['-gn'], { encoding: 'utf8' }).trim();
  assert.ok(groups.includes(own), `${own} is among ${groups.join(', ')}`);
});
