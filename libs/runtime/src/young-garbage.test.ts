import assert from 'node:assert/strict';
import { constants, PerformanceObserver } from 'node:perf_hooks';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { passBytes } from './young-garbage.ts';

test('the buffers of bytes that passed are given back without a collection of everything', async () => {
  const kinds: unknown[] = [];
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries() as readonly { readonly detail?: { readonly kind?: number } }[])
      kinds.push(entry.detail?.kind);
  });
  observer.observe({ entryTypes: ['gc'] });
  const before = process.memoryUsage().arrayBuffers;
  const pieceBytes = 256 * 1024;
  for (let piece = 0; piece < 160; piece++) {
    Buffer.alloc(pieceBytes);
    passBytes(pieceBytes);
  }
  const left = process.memoryUsage().arrayBuffers - before;
  await sleep(10);
  observer.disconnect();
  assert.ok(left < 16 * 1024 * 1024, `${left} bytes are left of 40 MiB`);
  assert.ok(kinds.filter((kind) => kind === constants.NODE_PERFORMANCE_GC_MINOR).length >= 10);
});
