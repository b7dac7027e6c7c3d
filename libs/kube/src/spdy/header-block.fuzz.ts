import assert from 'node:assert/strict';
import { constants, deflateSync } from 'node:zlib';
import type { FuzzTarget } from '@sluice/testing/fuzz';
import { headerDictionary } from './dictionary.ts';
import { SpdyError } from './frames.ts';
import { HeaderReader, HeaderWriter, type SpdyHeaders } from './header-block.ts';

/** Low, so that inputs reach them. */
const limits = { maxHeaderBytes: 100, maxHeaders: 4 };

/** The input is a header block before compression, then one after it. */
export const headerBlock: FuzzTarget = {
  name: 'header-block',
  corpus: new URL('../../fuzz-corpus/header-block/', import.meta.url),
  words: [
    Buffer.from('\0\0\0\x01\0\0\0\x04name\0\0\0\x05value'),
    Buffer.from('\0\0\0\0'),
    Buffer.from('78bbe3c6a7c2', 'hex'),
  ],
  run(input) {
    const compressed = deflateSync(input, { dictionary: headerDictionary, finishFlush: constants.Z_SYNC_FLUSH });
    return `${read(compressed, input)} ${read(input)}`;
  },
};

function read(block: Buffer, plain?: Buffer): string {
  let headers: SpdyHeaders;
  try {
    headers = new HeaderReader(limits).read(block);
  } catch (error) {
    if (!(error instanceof SpdyError)) throw error;
    return error.message.replaceAll(/\d+/g, 'n');
  }
  assert.ok(headers.size <= limits.maxHeaders);
  const bytes = [...headers].reduce((sum, [name, value]) => sum + 8 + name.length + value.length, 4);
  assert.ok(bytes <= limits.maxHeaderBytes);
  if (plain !== undefined) assert.deepEqual([headers.size, bytes], [plain.readUInt32BE(0), plain.length]);
  for (const name of headers.keys()) assert.equal(name, name.toLowerCase());
  // What was read can be written, and is read again as it was.
  assert.deepEqual(new HeaderReader(limits).read(new HeaderWriter().write(headers)), headers);
  return `${headers.size} headers`;
}
