// The floor of recorders: takes the same frames off the same streams, puts them into a table of its own, synced, and
// acknowledges them. It looks into none: no hash, no chain, no place in a ledger; what comes twice is there twice.
import { setTimeout as sleep } from 'node:timers/promises';
import { type JsMsg, jetstream } from '@nats-io/jetstream';
import { consumerOf, partitions, streams } from '@sluice/model';
import { createLogger, openBroker } from '@sluice/runtime';
import { Connection } from '../services/recorder/src/database.ts';

// As much at once as Sluice takes, so that the two differ in what they do and not in how many at once.
const [batchFrames, batchBytes, onTheWay, collectMs] = [5_000, 8 * 1024 * 1024, 200, 200] as const;

const [dir = ''] = process.argv.slice(2);
const { nats } = await openBroker(process.env, 'test floor', createLogger('floor', '/dev/null'));
const database = new Connection({ kind: 'embedded', dir });
await database.command(
  `CREATE TABLE frames (seq UInt64, message String)
   ENGINE = MergeTree ORDER BY seq SETTINGS fsync_after_insert = 1, fsync_part_directory = 1`,
);

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
  await database.insert(
    'frames',
    batch.map(({ seq, data }) => ({ seq, message: Buffer.from(data.buffer, data.byteOffset, data.byteLength) })),
  );
  for (const message of batch) message.ack();
}
