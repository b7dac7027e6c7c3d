// npm run bench: fetches what is missing, then measures; `npm run bench -- recorder` that part alone.
import { join } from 'node:path';
import { runChild } from './child.mjs';
import { ensurePackages, main, node, root, withServers } from './setup.mjs';

await main(async () => {
  await ensurePackages();
  return runChild(node(), [join(root, 'bench', 'run.ts'), ...process.argv.slice(2)], await withServers());
});
