// From a Secret that was shown masked, or that a pod mounts, to what a command in the pod prints of it.
import assert from 'node:assert/strict';
import { createSecretKey } from 'node:crypto';
import { test } from 'node:test';
import { Fingerprints } from './fingerprint.ts';
import { innerValues } from './inner-values.ts';
import { KnownSet } from './known-set.ts';
import { createMasker } from './mask.ts';
import { type FindMore, maskText } from './text.ts';

const key = createSecretKey(Buffer.alloc(32, 4));
const prints = new Fingerprints(key);
const password = 'Gx7-né "quoted"\\and%long-enough';
const pullPassword = 'pulls-images-9';
const auth = Buffer.from(`robot:${pullPassword}`).toString('base64');
const config = JSON.stringify({ auths: { 'r.example': { username: 'robot', password: pullPassword, auth } } });
const kubeconfig = `apiVersion: v1\nkind: Config\nusers:\n- name: a\n  user:\n    token: kubeconfig-token-12345\n`;
const letter = Array.from({ length: 30 }, (_, line) => `Line ${line} of a letter: ${line * 7919} and so on.`).join(
  '\n',
);

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const secret = {
  kind: 'Secret',
  data: {
    password: base64(password),
    '.dockerconfigjson': base64(config),
    config: base64(kubeconfig),
    letter: base64(letter),
  },
};

/** As the service does it for `form: 'object'`, `direction: 'shown'`. */
function learned(): KnownSet {
  const agent = { issuer: 'i', name: 'a' };
  const request = {
    agent,
    apiGroup: '',
    resource: 'secrets',
    subresource: '',
    form: 'object',
    direction: 'shown',
  } as const;
  const { secrets } = createMasker(key).mask({ ...request, rules: [] }, Buffer.from(JSON.stringify(secret)));
  return new KnownSet(secrets.flatMap((value) => [value, ...innerValues(value)]).flatMap((value) => prints.of(value)));
}

const known = learned();
const find: FindMore = (text, { isEnd }) => prints.find(text, known, isEnd);

function printed(text: string, pieceBytes: number): string {
  const bytes = Buffer.from(text);
  let carry = Buffer.alloc(0);
  const out: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    const flush = at + pieceBytes >= bytes.length;
    const done = maskText(() => '«mask»', [find], { carry, bytes: bytes.subarray(at, at + pieceBytes), flush });
    carry = Buffer.from(done.carry);
    out.push(done.bytes);
  }
  return Buffer.concat(out).toString();
}

const lines = (text: string, characters: number): string =>
  `${text.replaceAll(new RegExp(`.{${characters}}`, 'g'), '$&\n')}\n`;

/** What a command prints, and what of that must not come out. */
const commands: Readonly<Record<string, readonly [text: string, secret: string]>> = {
  'cat password': [password, password.slice(3)],
  'cat password | base64': [lines(base64(`${password}\n`), 76), base64(password).slice(4, 36)],
  env: [`A=1\nPLAIN=${password}\nB=2\n`, password.slice(3)],
  'a log in JSON': [`{"msg":${JSON.stringify(`sent ${password}`)}}\n`, JSON.stringify(password).slice(4, -1)],
  curl: [`GET /?q=${encodeURIComponent(password)} 200\n`, encodeURIComponent(password).slice(3)],
  'xxd -p': [`${Buffer.from(password).toString('hex')}\n`, Buffer.from(password).toString('hex').slice(3)],
  'cat letter': [letter, 'of a letter'],
  'grep 7919 letter': ['Line 1 of a letter: 7919 and so on.\n', 'of a letter'],
  'base64 letter': [lines(base64(letter), 76), base64(letter).slice(4, 1300).slice(80, 150)],
  'openssl base64 -in letter': [lines(base64(letter), 64), base64(letter).slice(70, 120)],
  'tar c | base64': [
    lines(base64(`${'header'.repeat(20)}x${password}${'0'.repeat(90)}`), 76),
    base64(`x${password}`).slice(8, 36),
  ],
  'jq .auths': [`{"username": "robot", "pw": ${JSON.stringify(pullPassword)}}\n`, pullPassword.slice(3)],
  'base64 -d of auth': [`robot:${pullPassword}\n`, pullPassword.slice(3)],
  'kubectl config view, the token alone': ['kubeconfig-token-12345\n', 'config-token-12345'],
};

for (const [command, [text, secretPart]] of Object.entries(commands)) {
  test(`${command}: masked, also split by dd bs=1 and in odd pieces`, () => {
    assert.ok(
      text.replaceAll('\n', '').includes(secretPart.replaceAll('\n', '')),
      'the test looks for what is not there',
    );
    // Byte by byte a long text takes its time.
    for (const size of [text.length, text.length < 600 ? 1 : 5, 7, 100]) {
      const out = printed(text, size);
      assert.ok(out.includes('«mask»'), out);
      assert.ok(!out.replaceAll('\n', '').includes(secretPart.replaceAll('\n', '')), out);
    }
  });
}
