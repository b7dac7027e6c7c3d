// The floor of recorders: takes the same frames off the same streams, puts them into a table of its own, synced, and
// acknowledges them. It looks into none: no hash, no chain, no place in a ledger; what comes twice is there twice.
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from '@clickhouse/client';
import { type JsMsg, jetstream } from '@nats-io/jetstream';
import { consumerOf, partitions, streams } from '@sluice/model';
import { createLogger, openBroker } from '@sluice/runtime';
import { createChdbConnection } from 'chdb/connection';

// As much at once as Sluice takes, so that the two differ in what they do and not in how many at once.
const [batchFrames, batchBytes, onTheWay, collectMs] = [5_000, 8 * 1024 * 1024, 200, 200] as const;

const [dir = ''] = process.argv.slice(2);
const { nats } = await openBroker(process.env, 'test floor', createLogger('floor', '/dev/null'));
const connection = createChdbConnection({ path: dir });
const database = createClient({ connection } as unknown as Parameters<typeof createClient>[0]);
await database.command({
  query: `CREATE TABLE frames (seq UInt64, b64 String EPHEMERAL, message String DEFAULT base64Decode(b64))
    ENGINE = MergeTree ORDER BY seq SETTINGS fsync_after_insert = 1, fsync_part_directory = 1`,
});

let waiting: JsMsg[] = [];
let waitingBytes = 0;
const isFull = (): boolean => waiting.length >= batchFrames || waitingBytes >= batchBytes;

const client = jetstream(nats);
for (const { name } of Object.values(streams)) {
  for (let partition = 0; partition < partitions; partition++) {
    const consumer = await client.consumers.get(name, consumerOf(partition));
    const messages = await consumer.consume({ max_messages: onTheWay });
    void (async () => {
      for await (const message of messages) {
        while (isFull()) await sleep(1);
        waiting.push(message);
        waitingBytes += message.data.byteLength;
      }
    })();
  }
}
process.on('disconnect', () => process.exit(0));
process.send?.({ kind: 'ready', facts: {} });

for (;;) {
  if (!isFull()) await sleep(waiting.length === 0 ? 1 : collectMs);
  if (waiting.length === 0) continue;
  const batch = waiting;
  waiting = [];
  waitingBytes = 0;
  await database.insert({
    table: 'frames',
    columns: ['seq', 'b64'],
    values: batch.map(({ seq, data }) => ({ seq, b64: Buffer.from(data).toString('base64') })),
    format: 'JSONEachRow',
    clickhouse_settings: { async_insert: 0 },
  });
  for (const message of batch) message.ack();
}
