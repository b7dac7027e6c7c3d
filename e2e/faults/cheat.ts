// Somebody who has stolen a place on the broker, and answers for policy.
import { createSecretKey, randomBytes } from 'node:crypto';
import { type Decision, decodeDecisionRequest, subjects } from '@sluice/model';
import { type Broker, signDecision } from '@sluice/runtime';
import { within } from '@sluice/testing';

/**
 * `forged`: an allow under a key of the thief's own. `replayed`: a true allow, of another call. `altered`: the same,
 * with the digest of this call in it.
 */
export const forgeries = ['forged', 'replayed', 'altered'] as const;
export type Forgery = (typeof forgeries)[number];

const macBytes = 32;
const decisionMs = 10_000;

/**
 * Answers every ask there is, whoever else does. `rule` is what its own decisions name. Resolves once it is at it;
 * `stop` returns how many answers it gave.
 */
export async function cheat(broker: Broker, forgery: Forgery, rule: string): Promise<{ stop(): number }> {
  const genuine = await genuineAllow(broker);
  const decision = JSON.parse(genuine.toString('utf8', macBytes)) as Decision;
  const thiefsKey = createSecretKey(randomBytes(32));
  const answerTo = (digest: string): Uint8Array => {
    const own = { ...decision, digest, rule, notAfter: Date.now() + decisionMs };
    switch (forgery) {
      case 'forged':
        return signDecision(thiefsKey, own);
      case 'replayed':
        return genuine;
      case 'altered':
        return Buffer.concat([genuine.subarray(0, macBytes), Buffer.from(JSON.stringify(own))]);
    }
  };
  let answers = 0;
  const listening = broker.nats.subscribe(subjects.decide, {
    callback: (error, message) => {
      if (error !== null || message.reply === undefined) return;
      answers++;
      broker.nats.publish(message.reply, answerTo(decodeDecisionRequest(Buffer.from(message.data)).request.digest));
    },
  });
  await broker.nats.flush();
  return {
    stop() {
      listening.unsubscribe();
      return answers;
    },
  };
}

/** Listens for a call that is surely allowed, and asks about it, too. */
async function genuineAllow(broker: Broker): Promise<Buffer> {
  const heard = Promise.withResolvers<Uint8Array>();
  const listening = broker.nats.subscribe(subjects.decide, {
    callback: (error, message) => {
      if (error !== null) return;
      const { attributes } = decodeDecisionRequest(Buffer.from(message.data)).request;
      if (attributes.verb === 'list') heard.resolve(message.data);
    },
  });
  const asked = await within('an ask', heard.promise);
  listening.unsubscribe();
  return Buffer.from(await broker.request(subjects.decide, asked, 5_000));
}
