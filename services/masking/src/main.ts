// The masking worker: raw JSON values in, masked ones out, both sealed. Stateless; any worker can take any message.
import { JsonError } from '@sluice/kube';
import { decodeParts, encodeHead, type MaskReply, type MaskRequest, queueGroups, subjects } from '@sluice/model';
import { loadKey, openBroker, runService } from '@sluice/runtime';
import { openSeal, seal, sealNonce } from '@sluice/runtime/raw';
import { createMasker } from './mask.ts';

runService('masking', process.env, async ({ env, log }) => {
  const sealKey = loadKey(env, 'raw');
  const masker = createMasker(loadKey(env, 'masks'));
  const broker = await openBroker(env, 'masking', log);
  broker.respond(subjects.mask, queueGroups.masking, (sealed) => {
    const { head, parts } = decodeParts<MaskRequest>(openSeal(sealKey, { kind: 'request' }, sealed));
    const reply = { kind: 'reply', to: sealNonce(sealed) } as const;
    try {
      const masked = parts.map((part) => masker.mask(head, part));
      const answer: MaskReply = {
        kind: 'masked',
        lengths: masked.map(({ bytes }) => bytes.length),
        masks: masked.reduce((sum, { masks }) => sum + masks, 0),
      };
      return seal(sealKey, reply, [encodeHead(answer), ...masked.map(({ bytes }) => bytes)]);
    } catch (error) {
      if (!(error instanceof JsonError)) throw error;
      return seal(sealKey, reply, [encodeHead({ kind: 'unreadable' })]);
    }
  });
  return { drain: () => broker.drain() };
});
