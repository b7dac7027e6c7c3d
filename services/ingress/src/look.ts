// Sluice's own look at an object, before a reviewer is asked about a change of it: the change is bound to what was there.
import { impersonationHeaders, type Target } from '@sluice/kube';
import type { Agent, Impersonation, RequestAttributes, ReviewedObject } from '@sluice/model';
import type { Get } from './get.ts';
import { Refusal } from './refusal.ts';

/** What is looked at, for which call, as whom. */
export interface Looking {
  readonly target: string;
  readonly call: string;
  readonly agent: Agent;
  readonly impersonate: Impersonation;
}

/** Reads uid and version of an object. Throws `Refusal` (`ClusterUnreachable`). */
export type Look = (looking: Looking) => Promise<ReviewedObject>;

const accept = 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json';

/** The target of the object that a call changes; `null` where it changes no single one that is there. */
export function lookTarget(attributes: RequestAttributes, target: Target): string | null {
  if (attributes.kind !== 'resource' || attributes.name === '') return null;
  const { verb, subresource } = attributes;
  const isEviction = verb === 'create' && subresource === 'eviction';
  if (verb !== 'update' && verb !== 'patch' && verb !== 'delete' && !isEviction) return null;
  const [path = ''] = target.canonical.split('?', 1);
  const whole = path.replace(/\/$/, '');
  return subresource === '' ? whole : whole.slice(0, whole.lastIndexOf('/'));
}

export function createLook(get: Get): Look {
  return async ({ target, call, agent, impersonate }) => {
    const headers = { accept, ...impersonationHeaders(impersonate, agent, call) };
    const { status, body } = await get({ target, call, headers }).catch(() => {
      throw new Refusal('ClusterUnreachable', 'the cluster cannot be asked what the change would change');
    });
    if (status === 404) return { kind: 'absent' };
    if (status !== 200) return { kind: 'unreadable', why: `the cluster answered ${status}` };
    return metadataIn(body) ?? { kind: 'unreadable', why: 'the cluster answered with something that is no object' };
  };
}

/** Nothing else of the object is kept. */
function metadataIn(body: Buffer): ReviewedObject | null {
  try {
    const { metadata } = JSON.parse(body.toString()) as { metadata?: Record<string, unknown> };
    const { uid, resourceVersion } = metadata ?? {};
    return typeof uid === 'string' && typeof resourceVersion === 'string'
      ? { kind: 'known', uid, resourceVersion }
      : null;
  } catch {
    return null;
  }
}
