import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { certificateHolds, sealHolds, signHead } from '@sluice/model';
import { ConfigError } from './env.ts';
import { ensureKeys, loadKey, loadSealer } from './keys.ts';

const dir = mkdtempSync(join(tmpdir(), 'sl-'));
const env = { SLUICE_KEYS_DIR: dir };
const file = (name: string): string => join(dir, name);
ensureKeys(dir);
after(() => rmSync(dir, { recursive: true }));

function refusal(message: RegExp): (error: unknown) => boolean {
  return (error) => error instanceof ConfigError && message.test(error.message);
}

test('keys are made once, and are their owner\u2019s alone', () => {
  const before = readdirSync(dir).map((name) => readFileSync(file(name), 'latin1'));
  ensureKeys(dir);
  assert.deepEqual(
    readdirSync(dir).map((name) => readFileSync(file(name), 'latin1')),
    before,
  );
  for (const name of readdirSync(dir)) assert.equal(statSync(file(name)).mode & 0o777, 0o600, name);
});

test('a key that others may read is not used, and the line says what to do', () => {
  for (const mode of [0o640, 0o604, 0o660, 0o601]) {
    chmodSync(file('decisions.key'), mode);
    assert.throws(() => loadKey(env, 'decisions'), refusal(/may read (.*decisions\.key); run: chmod 600 \1$/));
    chmodSync(file('ingress.seal.key'), mode);
    assert.throws(() => loadSealer(env, 'ingress'), refusal(/may read (.*ingress\.seal\.key); run: chmod 600 \1$/));
  }
  for (const name of ['decisions.key', 'ingress.seal.key']) chmodSync(file(name), 0o600);
  assert.equal(loadKey(env, 'decisions').symmetricKeySize, 32);
});

test('a key that is missing, or too short, is a line', () => {
  rmSync(file('raw.key'));
  assert.throws(() => loadKey(env, 'raw'), refusal(/^cannot read .*raw\.key \(ENOENT\); `sluice up` makes it$/));
  writeFileSync(file('raw.key'), 'short', { mode: 0o600 });
  assert.throws(() => loadKey(env, 'raw'), refusal(/raw\.key holds 5 bytes; a key has 32$/));
});

test('a writer signs with a key that the root vouches for, after a change of either too', () => {
  const head = { ledger: 'l', seq: 1, hash: '00' };
  const roots = (): string[] => readFileSync(file('root.pub'), 'utf8').trim().split('\n');
  const first = loadSealer(env, 'recorder');
  assert.ok(sealHolds(first.key, head, signHead(first.privateKey, head)));
  assert.ok(certificateHolds(roots()[0] ?? '', first.key));

  rmSync(file('recorder.seal.key'));
  rmSync(file('recorder.seal.json'));
  ensureKeys(dir);
  const second = loadSealer(env, 'recorder');
  assert.notEqual(second.key.kid, first.key.kid);
  assert.ok(certificateHolds(roots()[0] ?? '', second.key));

  for (const name of ['root.key', 'recorder.seal.json', 'ingress.seal.json']) rmSync(file(name));
  ensureKeys(dir);
  const third = loadSealer(env, 'recorder');
  assert.equal(third.key.kid, second.key.kid);
  assert.equal(roots().length, 2);
  assert.deepEqual(
    roots().map((root) => [certificateHolds(root, second.key), certificateHolds(root, third.key)]),
    [
      [true, false],
      [false, true],
    ],
  );
});

test('a certificate of another key is not taken', () => {
  writeFileSync(file('ingress.seal.json'), readFileSync(file('recorder.seal.json')));
  assert.throws(() => loadSealer(env, 'ingress'), refusal(/ingress\.seal\.json is not about/));
});
