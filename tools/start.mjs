// npm start [-- FLAGS]: fetches the packages if they are missing, then `sluice up FLAGS`.
import { join } from 'node:path';
import { runChild } from './child.mjs';
import { ensurePackages, main, root } from './setup.mjs';

await main(async () => {
  await ensurePackages();
  return runChild(join(root, 'node_modules', '.bin', 'sluice'), ['up', ...process.argv.slice(2)], process.env);
});
