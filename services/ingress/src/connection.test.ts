import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';
import { Connection } from './connection.ts';
import { readLimits } from './limits.ts';
import type { Request, Response } from './request.ts';

const limits = readLimits({ SLUICE_LIMIT_HEADERS_MS: '1000', SLUICE_LIMIT_IDLE_MS: '5000' });

/** A connection over h1 whose clock and counters the test turns. */
class Rig {
  nowMs = 0;
  readonly wire = { bytesRead: 0, bytesWritten: 0, isCut: false, destroy: () => void (this.wire.isCut = true) };
  readonly connection = new Connection(this.wire, limits, () => this.nowMs);

  /** Lets a second pass in which so many bytes come. */
  second(bytes = 0): ReturnType<Connection['look']> {
    this.nowMs += 1_000;
    this.wire.bytesRead += bytes;
    return this.connection.look();
  }

  call(body: 'read' | 'on its way'): { readonly request: { complete: boolean }; readonly response: FakeResponse } {
    const request = { complete: body === 'read' };
    const response = new FakeResponse();
    assert.equal(this.connection.begin(request as Request, response as unknown as Response), 'taken');
    return { request, response };
  }
}

class FakeResponse extends EventEmitter {
  headersSent = false;
  writableEnded = false;
  readonly headers = new Map<string, string>();
  setHeader(name: string, value: string): void {
    this.headers.set(name, value);
  }
}

test('before its first request a connection has little time, afterwards more, with a call in hand all of it', () => {
  const rig = new Rig();
  assert.equal(rig.second(), undefined);
  assert.equal(rig.second(10), 'idle', 'bytes that make no request do not help');
  const { response } = rig.call('read');
  for (let n = 0; n < 100; n++) assert.equal(rig.second(), undefined);
  response.emit('close');
  for (let n = 0; n < 5; n++) assert.equal(rig.second(10), undefined);
  assert.equal(rig.second(10), 'idle');
});

test('bytes that belong to no request are noise, however long a call is in hand', () => {
  const rig = new Rig();
  rig.call('read');
  assert.equal(rig.second(limits.headerBytes), undefined);
  assert.equal(rig.second(limits.noiseBytesPerSecond), undefined);
  assert.equal(rig.second(limits.noiseBytesPerSecond + 1), 'noise');
});

test('the beginning of a request is none, even when a connection is looked at as soon as it is there', () => {
  const rig = new Rig();
  rig.nowMs += 1;
  rig.wire.bytesRead += limits.headerBytes;
  assert.equal(rig.connection.look(), undefined);
});

test('a body on its way is none, nor is its end, nor what acknowledges an answer', () => {
  const rig = new Rig();
  const { request } = rig.call('on its way');
  assert.equal(rig.second(limits.bodyBytes), undefined);
  request.complete = true;
  assert.equal(rig.second(limits.bodyBytes), undefined);
  rig.wire.bytesWritten += 16 * limits.noiseBytesPerSecond;
  assert.equal(rig.second(2 * limits.noiseBytesPerSecond), undefined);
  assert.equal(rig.second(2 * limits.noiseBytesPerSecond), 'noise');
});

test('over h1 a request behind another ends the connection with the answer in hand; a flood of them ends it at once', () => {
  const rig = new Rig();
  const { response } = rig.call('read');
  const early = (): string =>
    rig.connection.begin({ complete: true } as Request, new FakeResponse() as unknown as Response);
  for (let n = 0; n < limits.pipelinedRequests; n++) assert.equal(early(), 'early');
  assert.equal(response.headers.get('connection'), 'close');
  assert.equal(rig.wire.isCut, false);
  assert.equal(early(), 'early');
  assert.equal(rig.wire.isCut, true);
  response.emit('close');
  assert.equal(early(), 'early', 'a connection that pipelined once is not trusted again');
});

test('a request that follows a whole answer is taken, even before the answer is known to be sent', () => {
  const rig = new Rig();
  const { response } = rig.call('read');
  response.headersSent = true;
  response.writableEnded = true;
  rig.call('read');
  response.emit('close');
  assert.equal(rig.wire.isCut, false);
});

test('a request behind an answer whose head is out ends the connection with that answer', () => {
  const rig = new Rig();
  const { response } = rig.call('read');
  response.headersSent = true;
  assert.equal(rig.connection.begin({ complete: true } as Request, new FakeResponse() as unknown as Response), 'early');
  assert.equal(rig.wire.isCut, false);
  response.emit('close');
  assert.equal(rig.wire.isCut, true);
});
