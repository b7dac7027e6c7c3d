// Approval: the only writer of the authority, by which every decision goes. It decides no call itself.
import { randomUUID } from 'node:crypto';
import { openAuthorityStore, openBroker, runService } from '@sluice/runtime';
import { AuthorityWriter } from './writer.ts';

runService('approval', process.env, async ({ env, log }) => {
  const broker = await openBroker(env, 'approval', log);
  const store = await openAuthorityStore(broker);
  await AuthorityWriter.open({
    broker,
    store,
    instance: randomUUID(),
    log,
    onFenced() {
      log.error('another process writes the authority; this one ends');
      // Whoever asked still gets an answer.
      void broker.drain().finally(() => process.exit(1));
    },
  });
  return { drain: () => broker.drain() };
});
