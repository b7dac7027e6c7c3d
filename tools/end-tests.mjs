// Loaded into every test process: a file that leaves something open ends all the same, some time after its last test. Not by
// the runner's own way to do that: it ends a process whose results are still on their way, and they are lost.
import { after } from 'node:test';

const lingerMs = 20_000;

after(() => {
  setTimeout(() => process.exit(), lingerMs).unref();
});
