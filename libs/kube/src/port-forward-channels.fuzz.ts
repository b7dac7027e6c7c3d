import assert from 'node:assert/strict';
import type { FuzzTarget } from '@sluice/testing/fuzz';
import { ChannelError } from './channels.ts';
import {
  choosePortForwardProtocol,
  decodePortForwardMessage,
  encodePortForwardMessage,
  maxForwardedPorts,
} from './port-forward-channels.ts';

/** The input is one message of a client that named one port, or as many as there can be. */
export const portForwardMessage: FuzzTarget = {
  name: 'port-forward-channels',
  corpus: new URL('../fuzz-corpus/port-forward-channels/', import.meta.url),
  run(data) {
    const outcomes = ['v4.channel.k8s.io', 'v4.base64.channel.k8s.io'].flatMap((offer) => {
      const protocol = choosePortForwardProtocol([offer]) ?? assert.fail();
      return [1, maxForwardedPorts(protocol)].map((ports) => {
        try {
          const message = { data, isBinary: !protocol.isBase64 };
          const read = decodePortForwardMessage(protocol, ports, message);
          if (read.kind === 'ignored') return 'ignored';
          assert.ok(read.place < ports && read.bytes.length > 0);
          const again = encodePortForwardMessage(protocol, read.place, 'data', read.bytes);
          if (!protocol.isBase64) assert.deepEqual(again, message);
          return 'data';
        } catch (error) {
          if (!(error instanceof ChannelError)) throw error;
          return error.message;
        }
      });
    });
    return outcomes.join(', ');
  },
};
