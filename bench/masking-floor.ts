// The floor of masking workers: opens the same messages, looks into none, and answers with the same bytes, sealed.
import { decodeParts, encodeHead, type MaskRequest, queueGroups, subjects } from '@sluice/model';
import { createLogger, loadKey, openBroker } from '@sluice/runtime';
import { openSeal, seal, sealNonce } from '@sluice/runtime/raw';

const key = loadKey(process.env, 'raw');
const broker = await openBroker(process.env, 'test floor', createLogger('floor', '/dev/null'));
broker.respond(subjects.mask, queueGroups.masking, (sealed) => {
  const { head, parts } = decodeParts<MaskRequest>(openSeal(key, { kind: 'request' }, sealed));
  const reply = { kind: 'masked', lengths: head.lengths, masks: 0, carry: '', held: 0 } as const;
  return seal(key, { kind: 'reply', to: sealNonce(sealed) }, [encodeHead(reply), ...parts]);
});
process.on('disconnect', () => process.exit(0));
process.send?.({ kind: 'ready', facts: {} });
