import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AheadFrames } from '../record.ts';
import { ChannelsRecord } from './channels-record.ts';

const frames = { mark() {} } as unknown as AheadFrames;

test('the outcome of a port-forward has the bytes of its connections, and no hash of what is not masked', () => {
  const record = new ChannelsRecord(frames, frames);
  assert.deepEqual(record.summary().channels, []);
  const one = { channel: 'port', connection: 1, port: 8080 } as const;
  const two = { ...one, connection: 2, port: 22 } as const;
  record.port({ ...two, event: 'refused', reasonCode: 'NoRuleMatched', reason: 'no rule allows it' });
  assert.deepEqual(record.summary().channels, []);
  record.port({ ...one, event: 'opened' });
  record.port({ ...one, event: 'closed', inBytes: 79, outBytes: 186 });
  assert.deepEqual(record.summary().channels, [{ channel: 'port', bytes: 265, sha256: '' }]);
});
