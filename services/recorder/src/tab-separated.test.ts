import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Connection } from './database.ts';
import { tabSeparated } from './tab-separated.ts';

test('what ends a value or a row is escaped, in text and in bytes', () => {
  const encoded = tabSeparated([
    ['a\tb\nc\rd\\e', 7, Buffer.from('a\tb\nc\rd\\e')],
    ['ü€😀', -1, Buffer.from([0, 0xff])],
    ['', 9_007_199_254_740_991, new Uint8Array(0)],
  ]);
  assert.equal(
    encoded.toString('latin1'),
    `a\\tb\\nc\\rd\\\\e\t7\ta\\tb\\nc\\rd\\\\e\n${Buffer.from('ü€😀').toString('latin1')}\t-1\t\0\xff\n\t9007199254740991\t\n`,
  );
});

test('each byte that must be escaped is, wherever it stands alone', () => {
  const encoded = tabSeparated([['\t', '\n', '\r', '\\'].map((byte) => Buffer.from(byte))]);
  assert.equal(encoded.toString(), '\\t\t\\n\t\\r\t\\\\\n');
});

test('the database reads back what was written, whatever the bytes', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'sl-'));
  const database = new Connection({ kind: 'embedded', dir });
  t.after(async () => {
    await database.close();
    rmSync(dir, { recursive: true });
  });
  await database.command('CREATE TABLE pairs (n UInt64, text String, bytes String) ENGINE = MergeTree ORDER BY n');
  const everyPair = Buffer.from(
    Array.from({ length: 256 * 256 * 2 }, (_, i) => (i % 2 === 0 ? i >> 9 : (i >> 1) & 0xff)),
  );
  const rows = [
    { n: 1, text: '\\N', bytes: everyPair },
    { n: 2, text: '{"a":"\\n\\"ü"}', bytes: Buffer.from('\r') },
    { n: 9_007_199_254_740_991, text: '\r\n\t', bytes: Buffer.from('no escape at all, and no end\0') },
  ];
  await database.insert('pairs', rows);
  const read = await database.select<{ n: number; text: string; hex: string }>(
    'SELECT n, text, hex(bytes) AS hex FROM pairs ORDER BY n',
  );
  assert.deepEqual(
    read,
    rows.map(({ n, text, bytes }) => ({ n, text, hex: bytes.toString('hex').toUpperCase() })),
  );
});

test('an insert that the database refuses throws what the database said', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'sl-'));
  const database = new Connection({ kind: 'embedded', dir });
  t.after(async () => {
    await database.close();
    rmSync(dir, { recursive: true });
  });
  await assert.rejects(database.insert('nowhere', [{ n: 1 }]), { code: '60', type: 'UNKNOWN_TABLE' });
});
