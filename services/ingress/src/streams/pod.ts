// The pod of a stream: read by Sluice itself, uncached, for what is decided about; and the Secrets it refers to, so that masking
// knows them when they are printed.
import { createHmac, type KeyObject } from 'node:crypto';
import { impersonationHeaders, podSecrets, podWithoutStatus } from '@sluice/kube';
import type { Impersonation, MaskRule, StreamPod } from '@sluice/model';
import { raw } from '@sluice/runtime/raw';
import type { Call } from '../call.ts';
import type { Get } from '../get.ts';
import { type MaskClient, MaskError, type MaskSubject } from '../mask-client.ts';
import { Refusal } from '../refusal.ts';

/** What is known of the pod. `masked`: as policies see it, without its status. */
export type KnownPod =
  | { readonly kind: 'read'; readonly pod: StreamPod; readonly spec: string; readonly masked: Buffer }
  | { readonly kind: 'absent' | 'unreadable' };

/** Reads pods and their Secrets. */
export interface Pods {
  /** Throws `Refusal`: `ClusterUnreachable`, `MaskingUnavailable`. */
  read(call: Call): Promise<KnownPod>;
  /** Throws `Refusal` (`ObjectChanged`) where it is not the pod any more that was decided about. */
  assertSame(call: Call, known: KnownPod): Promise<void>;
  /**
   * Has masking remember the values of the Secrets that a pod refers to, as if the agent had been shown their masks. Those
   * that are not there, or that neither Sluice nor the agent's tier may read, stay unknown. Throws `Refusal`
   * (`MaskingUnavailable`), also where the cluster does not say which they are.
   */
  learnSecrets(call: Call, names: readonly string[], impersonate: Impersonation): Promise<void>;
  /** The same for a call on a log, of whose pod nothing else is asked. */
  learnSecretsOfLog(call: Call, impersonate: Impersonation): Promise<void>;
}

const json = { accept: 'application/json' } as const;
/** Answers that will be the same tomorrow: it may not be read, or is not there. A cluster that is busy is no reason to pass it. */
const withoutSecret: ReadonlySet<number> = new Set([403, 404]);
const unlearnt = 'the Secrets of the pod cannot be read now, so Sluice could not mask them';
/** No pod needs more, and who could add to them without end could hide one. */
const maxSecrets = 128;
/** Masked pods that are kept at hand. */
const maxKnown = 256;

export function createPods(get: Get, maskClient: MaskClient, digestKey: KeyObject): Pods {
  const readRaw = async (call: Call): Promise<{ status: number; body: Buffer }> =>
    get({ target: podTarget(call), call: call.record.id, headers: json }).catch(() => {
      throw new Refusal('ClusterUnreachable', 'the cluster cannot be asked which pod this is');
    });

  const parsed = (body: Buffer): { pod: StreamPod; spec: string } | null => {
    try {
      const object = JSON.parse(body.toString()) as {
        readonly metadata?: { readonly uid?: unknown; readonly resourceVersion?: unknown };
        readonly spec?: unknown;
      };
      const { uid, resourceVersion } = object.metadata ?? {};
      if (typeof uid !== 'string' || typeof resourceVersion !== 'string') return null;
      const spec = createHmac('sha256', digestKey).update(JSON.stringify(object.spec)).digest('hex');
      return { pod: { uid, resourceVersion, secrets: podSecrets(object) }, spec };
    } catch {
      return null;
    }
  };

  /** Masked pods, by the agent and what they were: an agent mostly comes again to a pod that is as it was. */
  const known = new Map<string, Buffer>();
  const maskedPod = async (call: Call, shown: Buffer): Promise<Buffer> => {
    try {
      const as = { form: 'object', direction: 'sent' } as const;
      const [masked = Buffer.alloc(0)] = await maskClient.values(subjectOf(call, 'pods'), as, [raw(shown)]);
      return masked;
    } catch (error) {
      throw maskingFailed(error);
    }
  };

  const learnSecrets: Pods['learnSecrets'] = async (call, names, impersonate) => {
    if (names.length === 0) return;
    if (names.length > maxSecrets)
      throw new Refusal(
        'PodNotReadable',
        `the pod refers to more than ${maxSecrets} Secrets, which Sluice cannot look for`,
      );
    const { id } = call.record;
    const tier = { ...json, ...impersonationHeaders(impersonate, call.agent, id) };
    const readSecret = async (name: string): Promise<Buffer | null> => {
      const target = `${podTarget(call).replace(/\/pods\/[^/]*$/, '/secrets/')}${encodeURIComponent(name)}`;
      for (const headers of [json, tier]) {
        const answer = await get({ target, call: id, headers }).catch(() => null);
        if (answer?.status === 200) return answer.body;
        if (answer === null || !withoutSecret.has(answer.status)) throw new Refusal('MaskingUnavailable', unlearnt);
      }
      return null;
    };
    const secrets = await Promise.all(names.map(readSecret));
    try {
      const as = { form: 'object', direction: 'shown' } as const;
      for (const secret of secrets) {
        if (secret !== null) await maskClient.values(subjectOf(call, 'secrets'), as, [raw(secret)]);
      }
    } catch (error) {
      throw maskingFailed(error);
    }
  };

  return {
    async read(call) {
      const { status, body } = await readRaw(call);
      if (status === 404) return { kind: 'absent' };
      const found = status === 200 ? parsed(body) : null;
      if (found === null) return { kind: 'unreadable' };
      const shown = podWithoutStatus(body);
      const { issuer, name } = call.agent;
      const hmac = createHmac('sha256', digestKey)
        .update(JSON.stringify([issuer, name]))
        .update(shown);
      const key = hmac.digest('base64');
      const masked = known.get(key) ?? (await maskedPod(call, shown));
      if (known.size >= maxKnown) known.clear();
      known.set(key, masked);
      return { kind: 'read', ...found, masked };
    },

    async assertSame(call, known) {
      if (known.kind !== 'read') return;
      const { status, body } = await readRaw(call);
      const now = status === 200 ? parsed(body) : null;
      if (now?.pod.uid === known.pod.uid && now.spec === known.spec) return;
      throw new Refusal('ObjectChanged', 'the pod is another one than was decided about', 'Make the same call again.');
    },

    learnSecrets,

    async learnSecretsOfLog(call, impersonate) {
      const { status, body } = await readRaw(call);
      if (status !== 200 && !withoutSecret.has(status)) throw new Refusal('MaskingUnavailable', unlearnt);
      const found = status === 200 ? parsed(body) : null;
      if (found !== null) await learnSecrets(call, found.pod.secrets, impersonate);
    },
  };
}
/** The pod of a call on one of its subresources. */
function podTarget(call: Call): string {
  const [path = ''] = call.canonical.target.canonical.split('?', 1);
  return path.replace(/\/[^/]+\/?$/, '');
}

const noRules: readonly MaskRule[] = [];

function subjectOf(call: Call, resource: string): MaskSubject {
  const { attributes } = call.canonical;
  if (attributes.kind !== 'resource') throw new TypeError('a stream is of a resource');
  return { agent: call.agent, attributes: { ...attributes, resource, subresource: '' }, rules: noRules };
}

function maskingFailed(error: unknown): unknown {
  if (!(error instanceof MaskError)) return error;
  return new Refusal('MaskingUnavailable', 'Sluice cannot mask the pod for the policies now, so the call was not made');
}
