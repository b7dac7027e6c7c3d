// Texts with secrets anywhere, cut anywhere: no planted value survives, the rest stays byte for byte, and the pieces come
// out as the whole does. `SLUICE_FUZZ_RUNS` makes it go on for longer.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { maskText } from './text.ts';

const numRuns = Number(process.env['SLUICE_FUZZ_RUNS'] ?? 400);
const mask = (): string => '«mask»';

/** Forms in which `value` is a secret: text before it, text behind. */
const core = fc
  .stringMatching(/^[A-Za-z0-9]{16,60}$/)
  .filter((text) => /\d/.test(text) && !/sk|eyj|AKIA|ASIA/i.test(text));
const jwt = core.map((value) => {
  const part = (text: string): string => Buffer.from(text).toString('base64url');
  return { text: `${part('{"alg":"RS256"}')}.${part(`{"sub":"${value}"}`)}.${value}`, values: [value] };
});
const placed = (before: string, after: string): fc.Arbitrary<{ text: string; values: string[] }> =>
  core.map((value) => ({ text: `${before}${value}${after}`, values: [value] }));
const pem = fc.array(core, { minLength: 1, maxLength: 30 }).map((lines) => ({
  text: ['-----BEGIN EC PRIVATE KEY-----', ...lines, '-----END EC PRIVATE KEY-----'].join('\n'),
  values: lines,
}));
const planted = fc.oneof(
  jwt,
  pem,
  placed('DB_PASSWORD=', ' '),
  placed('password: "', '"'),
  placed('{"token":"', '"}'),
  placed('{\\"token\\":\\"', '\\"}'),
  placed('--token ', '\n'),
  placed('{"name":"API_KEY","value":"', '"}'),
  placed('Authorization: Bearer ', '\r\n'),
  placed('postgres://user:', '@host/db'),
  placed('{"auth":"', '"}'),
  placed('client-key-data: ', '\n'),
  core.map((value) => ({ text: `ghp_${value}${'x'.repeat(40)}`, values: [value] })),
  core.map((value) => ({
    text: Buffer.from(`-----BEGIN PRIVATE KEY-----\n${value}${value}`).toString('base64'),
    values: [Buffer.from(`xx${value}`).toString('base64').slice(4, 16)],
  })),
);
const plain = fc.oneof(
  fc.constantFrom(
    'GET /api 200\n',
    'user=7 level=info ',
    'é✓ ',
    '{"a":1,"b":[true]} ',
    'secret/web created\n',
    'eyJ ',
    'pass ',
    '-----',
  ),
  fc.stringMatching(/^[a-z ]{0,20}\n$/),
);
const pieces = fc.array(
  fc.oneof(
    plain.map((text) => ({ text, values: [] as string[] })),
    planted,
  ),
  { maxLength: 8 },
);
const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 40 });

function inPieces(bytes: Buffer, shares: readonly number[]): string {
  const places = [...shares.map((share) => Math.floor(share * bytes.length)).sort((a, b) => a - b), bytes.length];
  const out: Buffer[] = [];
  let carry = Buffer.alloc(0);
  let at = 0;
  for (const [index, place] of places.entries()) {
    const done = maskText(mask, [], {
      carry,
      bytes: bytes.subarray(at, place),
      flush: index === places.length - 1,
    });
    out.push(done.bytes);
    carry = Buffer.from(done.carry);
    assert.ok(carry.length <= 4096 + 2048, `a carry of ${carry.length} bytes`);
    at = place;
  }
  return Buffer.concat(out).toString();
}

test('no planted value survives, at whatever places the text is cut', () => {
  fc.assert(
    fc.property(pieces, cuts, (parts, where) => {
      const bytes = Buffer.from(parts.map(({ text }) => `${text} \n`).join(''));
      const masked = inPieces(bytes, where);
      for (const value of parts.flatMap(({ values }) => values)) assert.ok(!masked.includes(value), masked);
    }),
    { numRuns },
  );
});

test('in pieces of any size a text comes out as it does at once', () => {
  fc.assert(
    fc.property(pieces, cuts, (parts, where) => {
      const bytes = Buffer.from(parts.map(({ text }) => `${text} \n`).join(''));
      assert.equal(inPieces(bytes, where), inPieces(bytes, []));
    }),
    { numRuns },
  );
});

test('byte by byte, too', () => {
  fc.assert(
    fc.property(pieces, (parts) => {
      const bytes = Buffer.from(parts.map(({ text }) => `${text} \n`).join(''));
      const every = Array.from(bytes, (_, index) => index / bytes.length);
      assert.equal(inPieces(bytes, every), inPieces(bytes, []));
    }),
    { numRuns: Math.ceil(numRuns / 8) },
  );
});

test('what has no secret comes out as it was, and nothing of it is held at its end', () => {
  fc.assert(
    fc.property(fc.array(plain), cuts, (parts, where) => {
      assert.equal(inPieces(Buffer.from(parts.join('')), where), parts.join(''));
    }),
    { numRuns },
  );
});

test('a second time changes nothing', () => {
  const real = (): string => 'sluice-mask:v1:01234567:AAAAAAAAAAAAAAAA';
  const once = (text: string): string =>
    maskText(real, [], { carry: Buffer.alloc(0), bytes: Buffer.from(text), flush: true }).bytes.toString();
  fc.assert(
    fc.property(pieces, (parts) => {
      const masked = once(parts.map(({ text }) => `${text} \n`).join(''));
      assert.equal(once(masked), masked);
    }),
    { numRuns },
  );
});

test('a value of any length is one mask, and holds no more than 4 KiB back', () => {
  const value = 'k3'.repeat(50_000);
  const masked = inPieces(
    Buffer.from(`password=${value} after`),
    Array.from({ length: 100 }, (_, i) => i / 100),
  );
  assert.equal(masked, 'password=«mask» after');
});

test('a secret that pauses half way is masked where it paused, and its rest goes out no more', () => {
  const first = maskText(mask, [], {
    carry: Buffer.alloc(0),
    bytes: Buffer.from('password=hunt'),
    flush: true,
  });
  const second = maskText(mask, [], { carry: first.carry, bytes: Buffer.from('er22 ok'), flush: true });
  assert.equal(Buffer.concat([first.bytes, second.bytes]).toString(), 'password=«mask» ok');
});

test('ordinary typing is not held', () => {
  assert.equal(
    maskText(mask, [], { carry: Buffer.alloc(0), bytes: Buffer.from('ls -l /var/42'), flush: false }).held,
    0,
  );
});

test('a carry that is none is refused', () => {
  for (const carry of [Buffer.from([9]), Buffer.from([1, 200, 0, 0]), Buffer.from([1, 0, 9, 9])])
    assert.throws(() => maskText(mask, [], { carry, bytes: Buffer.alloc(0), flush: false }), RangeError);
});
