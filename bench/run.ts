// `npm run bench`: what Sluice costs, side by side with what does the least that could be done, in one interleaved run.
// The machine's moods hit every row alike, so the ratios are what to read. Prints tables; writes
// bench/results/<part>.json. `npm run bench -- recorder` measures that part alone.
import { measureGate } from './gate.ts';
import { measureMasking } from './masking.ts';
import { measureRecorder } from './recorder.ts';
import { measureRules } from './rules.ts';
import { measureStreams } from './streams.ts';

const parts: Readonly<Record<string, () => Promise<void>>> = {
  gate: measureGate,
  streams: measureStreams,
  rules: measureRules,
  recorder: measureRecorder,
  masking: measureMasking,
};

const asked = process.argv.slice(2);
const unknown = asked.find((name) => parts[name] === undefined);
if (unknown === undefined) {
  for (const name of asked.length === 0 ? Object.keys(parts) : asked) await parts[name]?.();
} else {
  console.error(`sluice: the bench has no part ${unknown}; it has ${Object.keys(parts).join(', ')}`);
  process.exitCode = 1;
}
