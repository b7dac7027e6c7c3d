// The masking worker: raw bytes in, masked ones out, both sealed. Any worker can take any message: what it has to know of
// the ones before comes with the message, or is in the broker.
import { JsonError } from '@sluice/kube';
import {
  decodeParts,
  encodeHead,
  type MaskReply,
  type MaskRequest,
  maxValueBytes,
  queueGroups,
  shown,
  subjects,
} from '@sluice/model';
import { loadKey, openBroker, openLastValues, runService } from '@sluice/runtime';
import { openSeal, seal, sealNonce } from '@sluice/runtime/raw';
import { createMasker } from './mask.ts';
import { createMaskValues } from './mask-values.ts';
import { findPatterns } from './patterns.ts';
import { ShownValues } from './shown-values.ts';
import { Surroundings } from './surroundings.ts';
import { type FindMore, maskText } from './text.ts';

/** A reply, before it is sealed. */
type Answer = readonly [head: MaskReply, ...parts: Buffer[]];

runService('masking', process.env, async ({ env, log }) => {
  const sealKey = loadKey(env, 'raw');
  const masksKey = loadKey(env, 'masks');
  const masker = createMasker(masksKey);
  const maskValues = createMaskValues(masksKey);
  const broker = await openBroker(env, 'masking', log);
  const memory = new ShownValues(await openLastValues(broker, shown.stream), masksKey, sealKey);

  const answer = async (head: MaskRequest, parts: readonly Buffer[]): Promise<Answer> => {
    const { agent, form, direction, carry = '', flush = false, typing = false, keepLength = false } = head;
    if (form === 'text') {
      // What an agent writes was not shown to it this second.
      const known = await memory.of(agent, { isFirst: carry === '' && direction === 'shown' });
      const findKnown: FindMore = (text, { isEnd }) => memory.prints.find(text, known, isEnd);
      const { patterns } = new Surroundings(head);
      const find = patterns.length === 0 ? [findKnown] : [findKnown, findPatterns(patterns)];
      const piece = { carry: Buffer.from(carry, 'base64'), bytes: parts[0] ?? Buffer.alloc(0), flush };
      const how = { isTyped: typing, keepsLength: keepLength };
      const { bytes, isUnchanged, ...done } = maskText(maskValues(agent), find, { ...piece, ...how });
      const reply = {
        kind: 'masked',
        masks: done.masks,
        held: done.held,
        carry: done.carry.toString('base64'),
      } as const;
      // Nearly all of what commands print: it need not go back.
      if (isUnchanged) return [{ ...reply, lengths: [], isUnchanged }];
      return [{ ...reply, lengths: [bytes.length] }, bytes];
    }
    try {
      const masked = parts.map((part) => masker.mask(head, part));
      // Before the agent sees the masks: what they stand for may come in its next log.
      if (direction === 'shown')
        await memory.learn(
          agent,
          masked.flatMap(({ secrets }) => secrets),
        );
      // Masks are longer than most values.
      if (masked.reduce((sum, { bytes }) => sum + bytes.length, 0) > maxValueBytes) return [{ kind: 'tooLarge' }];
      const lengths = masked.map(({ bytes }) => bytes.length);
      const masks = masked.reduce((sum, one) => sum + one.masks, 0);
      return [{ kind: 'masked', lengths, masks }, ...masked.map(({ bytes }) => bytes)];
    } catch (error) {
      if (!(error instanceof JsonError)) throw error;
      return [{ kind: 'unreadable' }];
    }
  };

  broker.respond(subjects.mask, queueGroups.masking, async (sealed) => {
    const { head, parts } = decodeParts<MaskRequest>(openSeal(sealKey, { kind: 'request' }, sealed));
    const [reply, ...bytes] = await answer(head, parts);
    return seal(sealKey, { kind: 'reply', to: sealNonce(sealed) }, [encodeHead(reply), ...bytes]);
  });
  return { drain: () => broker.drain() };
});
