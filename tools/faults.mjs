// npm run faults [-- --experiment N --seeds 200 --seed S]: fetches what is missing, then breaks Sluice by plan.
import { join } from 'node:path';
import { runChild } from './child.mjs';
import { ensurePackages, main, node, root, withServers } from './setup.mjs';

await main(async () => {
  await ensurePackages();
  return runChild(node(), [join(root, 'e2e', 'faults', 'main.ts'), ...process.argv.slice(2)], await withServers());
});
