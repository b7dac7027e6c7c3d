// A reporter for Node's test runner: what came of the run, in numbers, as one JSON object. Suites are no tests.
import { relative, resolve } from 'node:path';

/** @param {AsyncIterable<{ type: string, data: any }>} events */
export default async function* totals(events) {
  const empty = [];
  let counts;
  for await (const { type, data } of events) {
    // The runner lets a file without tests pass, as a test named like the file.
    if (type === 'test:pass' && data.nesting === 0 && resolve(data.name) === data.file)
      empty.push(relative('.', data.file));
    if (type === 'test:summary' && data.file === undefined) counts = data.counts;
  }
  if (counts === undefined) return;
  yield JSON.stringify({
    passed: counts.passed - empty.length,
    failed: counts.failed + counts.cancelled + empty.length,
    skipped: counts.skipped + counts.todo,
    empty,
  });
}
