import assert from 'node:assert/strict';
import type { FuzzTarget } from '@sluice/testing/fuzz';
import {
  ChannelError,
  chooseWebSocketProtocol,
  decodeChannelMessage,
  encodeChannelData,
  encodeChannelEnd,
} from './channels.ts';

const offers = ['v5.channel.k8s.io', 'v4.channel.k8s.io', 'base64.channel.k8s.io'];

/** The input is one message, read under each kind of protocol, from each side. */
export const channelMessage: FuzzTarget = {
  name: 'channels',
  corpus: new URL('../fuzz-corpus/channels/', import.meta.url),
  words: [Buffer.of(0), Buffer.of(255, 0), Buffer.of(3), Buffer.from('0aGk='), Buffer.from('=='), Buffer.from('\n')],
  run(data) {
    const outcomes = offers.flatMap((offer) => {
      const protocol = chooseWebSocketProtocol([offer]) ?? assert.fail();
      return (['client', 'server'] as const).map((side) => {
        try {
          const read = decodeChannelMessage(protocol, { data, isBinary: !protocol.isBase64 }, side);
          if (read.kind === 'ignored') return 'ignored';
          assert.ok(['stdin', 'resize'].includes(read.channel) === (side === 'client'));
          const again =
            read.kind === 'end'
              ? encodeChannelEnd(protocol, read.channel)
              : encodeChannelData(protocol, read.channel, read.bytes);
          assert.ok(again !== undefined);
          const message = { data: Buffer.from(again.data as string), isBinary: again.isBinary };
          assert.deepEqual(decodeChannelMessage(protocol, message, side), read);
          // The last character of base64 may have bits that mean nothing.
          if (protocol.isBase64) assert.equal(message.data.length, data.length);
          else assert.ok(message.data.equals(data));
          return `${read.kind} ${read.channel}`;
        } catch (error) {
          if (!(error instanceof ChannelError)) throw error;
          return error.message;
        }
      });
    });
    return outcomes.join(', ');
  },
};
