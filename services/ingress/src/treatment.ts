// What becomes of an answer, by what the cluster says it is. Pure.
import type { IncomingHttpHeaders } from 'node:http';
import type { RequestAttributes, ResourceAttributes } from '@sluice/model';
import { Refusal } from './refusal.ts';

/**
 * `mask`: JSON. `text`: masked as it comes. `plain`: carries no values. `substitute`: an error in words that cannot be
 * masked; a `Status` takes its place. `unmasked`: what only a proxied server knows how to read; the agent gets it as it is.
 */
export type Treatment = 'mask' | 'plain' | 'text' | 'substitute' | 'unmasked';

/** The head of an answer. */
interface Head {
  readonly statusCode?: number | undefined;
  readonly headers: IncomingHttpHeaders;
}

/** Answers of these paths carry no values of objects. */
const valueFree = /^\/(api|apis|version|openapi|healthz|livez|readyz|\.well-known\/openid-configuration)(\/|$)/;

/** In others a secret is spelt in other bytes, and no detector would know it. */
const readableCharsets: ReadonlySet<string> = new Set(['', 'utf-8', 'utf8', 'us-ascii', 'iso-8859-1']);

/** Throws `Refusal` (`ResponseWithheld`) for what can be neither masked nor replaced. */
export function treatmentOf(attributes: RequestAttributes, { statusCode: status = 502, headers }: Head): Treatment {
  if (status >= 300 && status < 400)
    throw withheld('the cluster answered with a redirect, which Sluice does not follow or pass on');
  if ((headers['content-encoding'] ?? 'identity') !== 'identity')
    throw withheld('the cluster compressed its answer although it was asked not to');
  if (attributes.kind === 'nonResource' && valueFree.test(attributes.path)) return 'plain';
  const { type, charset } = mediaType(headers['content-type'] ?? '');
  if (type === 'application/json' || headers['content-length'] === '0' || status === 204) return 'mask';
  const isProxied = attributes.kind === 'resource' && isProxy(attributes);
  if (attributes.kind === 'resource' && status >= 400 && !isProxied) return 'substitute';
  if (isText(attributes, type) && readableCharsets.has(charset)) return 'text';
  if (isProxied) return 'unmasked';
  if (status >= 400) return 'substitute';
  throw withheld('the cluster answered in a media type that Sluice cannot mask');
}

/** Behind a proxy stands another server, which answers in whatever it likes. */
function isProxy({ verb, subresource }: ResourceAttributes): boolean {
  return verb === 'proxy' || subresource === 'proxy';
}

/** Of resources only logs, and what comes through a proxy, are texts: anything else was asked for as JSON. */
function isText(attributes: RequestAttributes, type: string): boolean {
  if (attributes.kind === 'nonResource' || isProxy(attributes))
    return type.startsWith('text/') || type === 'application/openmetrics-text';
  const { apiGroup, resource, subresource } = attributes;
  return apiGroup === '' && resource === 'pods' && subresource === 'log' && type === 'text/plain';
}

function mediaType(value: string): { readonly type: string; readonly charset: string } {
  const [type = '', ...parameters] = value.split(';').map((part) => part.trim().toLowerCase());
  const charset = parameters.find((parameter) => parameter.startsWith('charset='))?.slice('charset='.length) ?? '';
  return { type, charset: charset.replaceAll('"', '') };
}

function withheld(message: string): Refusal {
  return new Refusal('ResponseWithheld', message);
}
