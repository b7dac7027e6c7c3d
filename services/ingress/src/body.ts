// Request bodies: each is read once, strictly, and what policy and record see is what the cluster gets.
import { BodyError, checkJson, decodeProtobuf, yamlToJson } from '@sluice/kube';
import type { BodyNote, RequestAttributes } from '@sluice/model';
import { type Raw, raw } from '@sluice/runtime/raw';
import { Refusal } from './refusal.ts';

/** A request body as it goes to the cluster. */
export interface Body {
  /**
   * `json`, `apply` (server-side apply) and `json-patch` are JSON. `opaque` is passed on as it came, and no rule can
   * look into it.
   */
  readonly kind: 'none' | 'json' | 'apply' | 'json-patch' | 'opaque';
  readonly bytes: Raw;
  readonly contentType: string;
  /** Why it is opaque. */
  readonly why?: BodyNote['opaque'];
}

const jsonTypes: Readonly<Record<string, 'json' | 'json-patch'>> = {
  'application/json': 'json',
  'application/merge-patch+json': 'json',
  'application/strategic-merge-patch+json': 'json',
  'application/json-patch+json': 'json-patch',
};

/**
 * Reads a body as the API server would, and makes JSON of it. Throws `Refusal`: `BodyNotReadable`,
 * `MediaTypeNotSupported`.
 */
export function readableBody(bytes: Raw, contentType: string, attributes: RequestAttributes): Body {
  if (bytes.length === 0) return { kind: 'none', bytes, contentType: '' };
  // Behind a proxy stands another server, and what it is sent is its own affair.
  if (attributes.kind === 'nonResource' || attributes.subresource === 'proxy' || attributes.verb === 'proxy')
    return { kind: 'opaque', bytes, contentType, why: 'free-form' };
  const type = contentType.split(';', 1)[0]?.trim().toLowerCase() || 'application/json';
  try {
    const kind = jsonTypes[type];
    if (kind !== undefined) return json(kind, bytes, type);
    switch (type) {
      case 'application/yaml':
        return { kind: 'json', bytes: raw(yamlToJson(bytes)), contentType: 'application/json' };
      case 'application/apply-patch+yaml':
        if (!isJson(bytes)) return { kind: 'apply', bytes: raw(yamlToJson(bytes)), contentType: type };
        checkJson(bytes);
        return { kind: 'apply', bytes: withoutYamlTraps(bytes), contentType: type };
      case 'application/vnd.kubernetes.protobuf':
        return fromProtobuf(bytes, type);
    }
  } catch (error) {
    if (!(error instanceof BodyError)) throw error;
    throw new Refusal('BodyNotReadable', `the request body cannot be read: ${error.message}`);
  }
  throw new Refusal(
    'MediaTypeNotSupported',
    'Sluice cannot read a request body of this media type',
    'Send JSON, YAML or Kubernetes protobuf.',
  );
}

/** JSON with one meaning only goes on byte for byte. */
function json(kind: 'json' | 'json-patch', bytes: Raw, contentType: string): Body {
  checkJson(bytes);
  return { kind, bytes, contentType };
}

/**
 * The API server reads an apply as YAML, whose escapes are not all of JSON's: a slash needs none there, and a surrogate
 * pair is two characters that do not exist. Both become what they stand for.
 */
function withoutYamlTraps(bytes: Raw): Raw {
  if (!bytes.includes('\\/') && !bytes.includes('\\ud') && !bytes.includes('\\uD')) return bytes;
  const plain = bytes
    .toString()
    .replaceAll(/\\(?:(\/)|(u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|.)/gs, (escape, slash, pair) =>
      slash === undefined ? (pair === undefined ? escape : (JSON.parse(`"${escape}"`) as string)) : '/',
    );
  return raw(Buffer.from(plain));
}

function fromProtobuf(bytes: Raw, contentType: string): Body {
  const decoded = decodeProtobuf(bytes);
  if (decoded.kind === 'opaque') return { kind: 'opaque', bytes, contentType, why: decoded.why };
  // What it embeds came as JSON.
  return json('json', raw(decoded.json), 'application/json');
}

/** YAML's flow mappings begin likewise, but not with a quoted key. */
function isJson(bytes: Raw): boolean {
  return /^\s*\{\s*["}]/.test(bytes.toString('latin1', 0, 256));
}
