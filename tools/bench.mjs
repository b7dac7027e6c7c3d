// npm run bench: fetches what is missing, then measures.
import { join } from 'node:path';
import { runChild } from './child.mjs';
import { ensurePackages, main, node, root, withServers } from './setup.mjs';

await main(async () => {
  await ensurePackages();
  return runChild(node(), [join(root, 'bench', 'run.ts')], await withServers());
});
