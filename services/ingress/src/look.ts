// Sluice's own look at an object, before a reviewer is asked about a change of it: the change is bound to what was there.
import type { IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { buffer } from 'node:stream/consumers';
import { impersonationHeaders, type Target } from '@sluice/kube';
import type { Agent, Impersonation, RequestAttributes, ReviewedObject } from '@sluice/model';
import type { ClusterConnection } from '@sluice/runtime/cluster';
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

const answerMs = 10_000;
/** No object comes near. */
const maxBytes = 8 * 1024 * 1024;
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

export function createLook(connection: ClusterConnection): Look {
  const basePath = connection.server.pathname.replace(/\/$/, '');
  return async ({ target, call, agent, impersonate }) => {
    const credentials = await connection.credentials().catch((cause: Error) => {
      throw new Refusal('ClusterUnreachable', cause.message);
    });
    try {
      const answer = await new Promise<IncomingMessage>((resolve, reject) => {
        const outgoing = httpsRequest({
          agent: credentials.agent,
          hostname: connection.server.hostname,
          port: connection.server.port,
          method: 'GET',
          path: basePath + target,
          headers: {
            accept,
            'accept-encoding': 'identity',
            'audit-id': call,
            'user-agent': 'sluice',
            ...impersonationHeaders(impersonate, agent, call),
            ...credentials.headers,
          },
          signal: AbortSignal.timeout(answerMs),
        });
        outgoing.on('response', resolve);
        outgoing.on('error', reject);
        outgoing.end();
      });
      return await seen(answer);
    } catch {
      throw new Refusal('ClusterUnreachable', 'the cluster cannot be asked what the change would change');
    }
  };
}

async function seen(answer: IncomingMessage): Promise<ReviewedObject> {
  let bytes = 0;
  answer.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > maxBytes) answer.destroy(new Error('too much'));
  });
  const body = await buffer(answer);
  if (answer.statusCode === 404) return { kind: 'absent' };
  if (answer.statusCode !== 200) return { kind: 'unreadable', why: `the cluster answered ${answer.statusCode}` };
  const metadata = metadataIn(body);
  return metadata ?? { kind: 'unreadable', why: 'the cluster answered with something that is no object' };
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
