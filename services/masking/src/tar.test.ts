// What `kubectl cp` brings out of a pod: the archive stays one, whatever is masked in its files.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { label } from './fixtures.ts';
import { maskText } from './text.ts';

const block = 512;

/** POSIX.1-1988, as every tar reads it. */
function member(name: string, content: string): Buffer {
  const header = Buffer.alloc(block);
  const size = content.length.toString(8).padStart(11, '0');
  const fields = [name.padEnd(99, '\0'), '0000644', '0000000', '0000000', size, '14700000000', '        0'];
  header.write(fields.join('\0'), 'latin1');
  header.write('ustar', 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return Buffer.concat([header, Buffer.from(content), Buffer.alloc((block - (content.length % block)) % block)]);
}

/** Throws where tar would. */
function members(archive: Buffer): [name: string, content: string][] {
  const found: [string, string][] = [];
  for (let at = 0; at < archive.length && archive[at] !== 0; ) {
    const header = Buffer.from(archive.subarray(at, at + block));
    const said = Number.parseInt(header.toString('latin1', 148, 154), 8);
    header.fill(' ', 148, 156);
    const sum = header.reduce((total, byte) => total + byte, 0);
    if (sum !== said) throw new Error('the checksum of a header is wrong');
    const size = Number.parseInt(header.toString('latin1', 124, 135), 8);
    const name = header.toString('latin1', 0, header.indexOf(0));
    found.push([name, archive.toString('latin1', at + block, at + block + size)]);
    at += block + Math.ceil(size / block) * block;
  }
  return found;
}

function masked(archive: Buffer, shares: readonly number[]): Buffer {
  const places = [
    0,
    ...shares.map((share) => Math.floor(share * archive.length)).sort((a, b) => a - b),
    archive.length,
  ];
  let carry = Buffer.alloc(0);
  const out = places.slice(1).map((place, index) => {
    const piece = { carry, bytes: archive.subarray(places[index], place), flush: place === archive.length };
    const done = maskText(() => 'sluice-mask:v1:01234567:AAAAAAAAAAAAAAAA', [], { ...piece, keepsLength: true });
    carry = Buffer.from(done.carry);
    return done.bytes;
  });
  return Buffer.concat(out);
}

const body = 'aB3dE6gH9'.repeat(100);
const files: readonly (readonly [name: string, before: string, secret: string, after: string])[] = [
  ['run/secrets/token', 'TOKEN=', body.slice(0, 40), ''],
  ['etc/password', 'password: "', body.slice(0, 30), ''],
  ['etc/tls.key', '', `-----BEGIN ${label}-----\n${body}\n-----END ${label}-----`, '\n'],
  ['etc/cut.key', '', `-----BEGIN ${label}-----\n${body}`, ''],
  ['root/.docker/config.json', '{"auths":{"r":{"auth":"', body.slice(0, 24), '"}}}'],
  ['etc/motd', 'welcome', '', ''],
];

test('names, sizes and checksums stay, and what is no secret, wherever the archive is cut', () => {
  const archive = Buffer.concat([
    ...files.map(([name, ...content]) => member(name, content.join(''))),
    Buffer.alloc(2 * block),
  ]);
  const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 30 });
  fc.assert(
    fc.property(cuts, (where) => {
      const out = masked(archive, where);
      assert.equal(out.length, archive.length);
      const found = members(out);
      assert.deepEqual(
        found.map(([name]) => name),
        files.map(([name]) => name),
      );
      for (const [index, [, before, secret, after]] of files.entries()) {
        const content = found[index]?.[1] ?? '';
        assert.ok(content.startsWith(before) && content.endsWith(after), content);
        assert.ok(secret === '' || !content.includes(secret.slice(-20)), content);
      }
    }),
    { numRuns: 100 },
  );
});

test('a file whose name is a secret makes an archive that tar refuses: better than the name', () => {
  const name = `glpat-${body.slice(0, 24)}`;
  const out = masked(member(name, 'x'), []);
  assert.ok(!out.includes(name));
  assert.throws(() => members(out), /checksum/);
});
