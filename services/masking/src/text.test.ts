// Texts as streams have them: typed, in single bytes, with places that count.
import assert from 'node:assert/strict';
import { createSecretKey } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { Fingerprints } from './fingerprint.ts';
import { secretTexts } from './fixtures.ts';
import { KnownSet } from './known-set.ts';
import { type FindMore, type MaskedText, maskText, type TextPiece } from './text.ts';

const prints = new Fingerprints(createSecretKey(Buffer.alloc(32, 5)));
const known = new KnownSet(prints.of(Buffer.from('known-value-of-nobody')));
const findKnown: FindMore = (text, { isEnd }) => prints.find(text, known, isEnd);
const mask = (): string => 'sluice-mask:v1:01234567:AAAAAAAAAAAAAAAA';

type How = Pick<TextPiece, 'isTyped' | 'keepsLength'>;

function* inPieces(pieces: readonly Buffer[], how: How): Generator<MaskedText> {
  let carry = Buffer.alloc(0);
  for (const [index, bytes] of pieces.entries()) {
    const done = maskText(mask, [findKnown], { carry, bytes, flush: index === pieces.length - 1, ...how });
    carry = Buffer.from(done.carry);
    yield done;
  }
}

function masked(pieces: readonly Buffer[], how: How): Buffer {
  return Buffer.concat([...inPieces(pieces, how)].map(({ bytes }) => bytes));
}

function byteByByte(text: string | Buffer): Buffer[] {
  const bytes = Buffer.from(text);
  return Array.from(bytes, (_, at) => bytes.subarray(at, at + 1));
}

function cutAt(bytes: Buffer, shares: readonly number[]): Buffer[] {
  const places = [0, ...shares.map((share) => Math.floor(share * bytes.length)).sort((a, b) => a - b), bytes.length];
  return places.slice(1).map((place, index) => bytes.subarray(places[index], place));
}

/** What people type, and what it prints: nothing in it is, or gives, a secret. */
const lines: readonly string[] = [
  'ls -la /var/run/secrets/kubernetes.io/serviceaccount',
  'cat /etc/passwd | grep root',
  'kubectl get secrets -n shop -o wide',
  'kubectl get secret,configmap --all-namespaces',
  'kubectl create token builder',
  'kubectl describe secret web-tls',
  'cd ~/src/github.com/example/tokens && git status',
  'git commit -m "Rotate the password of the database, and the api-key"',
  'export PATH=$PATH:/usr/local/bin',
  'echo $DB_PASSWORD > /dev/null',
  'env | grep -i password',
  'pwd',
  'passwd -l bob',
  'sudo adduser --disabled-password bob',
  'psql -h db -U shop -c "select count(*) from tokens"',
  'curl -sS https://example.com/a/b?c=d',
  'curl http://api.shop.svc/healthz',
  'tail -n 100 -f /var/log/auth.log',
  'openssl rand -hex 16',
  'cat key.pem; echo -----',
  '-----BEGIN CERTIFICATE-----',
  'grep -rn "authorization" src | head',
  'the bearer of this letter, and the secret garden',
  'task-sk desk-top AKI eyJ gho hvs',
  'find . -name "*.key" -exec chmod 600 {} +',
  'for i in 1 2 3; do echo $i; done',
  'tar czf backup.tgz --exclude=credentials ./data',
  'token=$(cat /run/token)',
  'login as root: permission denied, password is required',
  'é✓ \x1b[32mgreen\x1b[0m \x1b[1;31msecret\x1b[m',
];

for (const line of lines) {
  test(`typing is not held: ${JSON.stringify(line)}`, () => {
    const pieces = byteByByte(`$ ${line}\r\n`);
    for (const [index, { bytes, held }] of [...inPieces(pieces, { isTyped: true })].entries()) {
      assert.equal(held, 0, `behind ${Buffer.concat(pieces.slice(0, index + 1)).toString()}`);
      assert.deepEqual(bytes, pieces[index]);
    }
  });
}

for (const [by, text, secret] of secretTexts) {
  for (const isTyped of [true, false]) {
    test(`${by} masks ${JSON.stringify(text).slice(0, 50)} ${isTyped ? 'as it is typed' : 'byte by byte'}`, () => {
      const out = masked(byteByByte(`${text}\n`), { isTyped }).toString('latin1');
      assert.ok(out.includes(mask()), out);
      const rest = out.replaceAll(mask(), '#');
      assert.ok(!rest.includes(secret), out);
      if (secret.length >= 7) assert.ok(!rest.includes(by === 'private-key' ? 'MIIB' : secret.slice(-5)), out);
      if (!isTyped) assert.equal(out, masked([Buffer.from(`${text}\n`)], {}).toString('latin1'));
    });
  }
}

test('of a password that is typed, and of a known value, three bytes pass', () => {
  assert.equal(masked(byteByByte('password=hunter22 ls'), { isTyped: true }).toString(), `password=hun${mask()} ls`);
  assert.equal(masked(byteByByte('x known-value-of-nobody y'), { isTyped: true }).toString(), `x kno${mask()} y`);
});

test('a piece with all of a secret is masked from its first byte, typed or not', () => {
  for (const isTyped of [true, false])
    assert.equal(masked([Buffer.from('password=hunter22 ls')], { isTyped }).toString(), `password=${mask()} ls`);
});

test('what is held is told exactly, so that raw bytes and masked ones can be paired', () => {
  for (const isTyped of [true, false]) {
    let carry = Buffer.alloc(0);
    let settled = 0;
    let masks = 0;
    const text = 'a password=hunter22 known-value-of-nobody .';
    for (const [index, bytes] of byteByByte(text).entries()) {
      const done = maskText(mask, [findKnown], { carry, bytes, flush: false, isTyped });
      assert.ok(index + 1 - done.held >= settled, 'what has been settled is held again');
      // A mask settles all bytes of its secret, any other byte itself.
      if (done.masks === 0) assert.equal(done.bytes.length, index + 1 - done.held - settled);
      settled = index + 1 - done.held;
      masks += done.masks;
      carry = Buffer.from(done.carry);
    }
    assert.deepEqual([settled, masks], [text.length, 2]);
  }
});

test('a secret of which something went out with a pause is masked from there on, and nothing comes twice', () => {
  const first = maskText(mask, [], { carry: Buffer.alloc(0), bytes: Buffer.from('ghp_aB3'), flush: true });
  const rest = Buffer.from(`${'aB3'.repeat(12)} ok`);
  const second = maskText(mask, [], { carry: first.carry, bytes: rest.subarray(0, 36), flush: false });
  const third = maskText(mask, [], { carry: second.carry, bytes: rest.subarray(36), flush: true });
  assert.equal(second.held, 36);
  assert.equal(Buffer.concat([first.bytes, second.bytes, third.bytes]).toString(), `ghp_aB3${mask()} ok`);
});

const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 30 });

test('where places count, as many bytes come out as went in, and the others stay in their places', () => {
  const part = fc.oneof(
    fc.constantFrom(...secretTexts.map(([, text, secret]) => ({ text, secret }))),
    fc.stringMatching(/^[a-z ]{0,30}$/).map((text) => ({ text, secret: '' })),
    fc.integer({ min: 3_000, max: 9_000 }).map((size) => {
      const secret = 'k3'.repeat(size);
      return { text: `password=${secret}`, secret };
    }),
  );
  fc.assert(
    fc.property(fc.array(part, { maxLength: 6 }), cuts, (parts, where) => {
      const bytes = Buffer.from(parts.map(({ text }) => `${text} \n`).join(''), 'latin1');
      const out = masked(cutAt(bytes, where), { keepsLength: true });
      assert.equal(out.length, bytes.length);
      let at = 0;
      for (const { text, secret } of parts) {
        const place = text.indexOf(secret);
        const piece = out.toString('latin1', at, at + text.length);
        assert.equal(piece.slice(0, place), text.slice(0, place));
        assert.equal(piece.slice(place + secret.length), text.slice(place + secret.length));
        if (secret.length > 6) assert.ok(piece.slice(place).startsWith(mask().slice(0, secret.length)), piece);
        at += text.length + 2;
      }
    }),
    { numRuns: 200 },
  );
});

test('a mask is cut to a short secret, and filled up to a long one, however far it goes', () => {
  const value = 'k3'.repeat(10_000);
  const text = `password=abcdef1 token=${value} after`;
  for (const cut of [1, 20, 30, 5_000, 9_000]) {
    const bytes = Buffer.from(text);
    const out = masked([bytes.subarray(0, cut), bytes.subarray(cut, cut + 3_000), bytes.subarray(cut + 3_000)], {
      keepsLength: true,
    });
    assert.equal(out.toString(), `password=sluice- token=${mask()}${'*'.repeat(value.length - mask().length)} after`);
  }
});
