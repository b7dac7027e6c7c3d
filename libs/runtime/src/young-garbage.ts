import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Each byte that passes leaves several behind: in pieces, sealed, in frames. Bytes. */
const passedBytes = 3 * 1024 * 1024;
/** Smaller messages leave as much in objects, which V8 counts itself. Bytes. */
const minBytes = 16 * 1024;

let passed = 0;
let collect: ((options: { readonly type: 'minor' }) => void) | undefined;

/**
 * Says that a message of so many bytes has gone through this process.
 *
 * V8 collects its young objects when there are many, however much the buffers among them hold, which lies outside its heap.
 * Where bytes stream through, few objects hold much, and V8 then collects everything, again and again. A collection of the
 * young ones gives the same memory back for a fraction of the work, so it is asked for as bytes pass.
 */
export function passBytes(bytes: number): void {
  if (bytes < minBytes) return;
  passed += bytes;
  if (passed < passedBytes) return;
  passed = 0;
  collect ??= collector();
  collect({ type: 'minor' });
}

/** V8 shows its collector to contexts that are made while this flag is set. */
function collector(): NonNullable<typeof collect> {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as NonNullable<typeof collect>;
  setFlagsFromString('--no-expose-gc');
  return gc;
}
