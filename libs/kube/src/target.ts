/** A request target, parsed once. Everything after this reads the parse, never the raw text. */
export interface Target {
  /** Decoded; ends with `/` where the target's path does. */
  readonly path: string;
  /** The path's segments, none empty. */
  readonly segments: readonly string[];
  /** Decoded, in order. Only the parameters in `repeatable` occur twice. */
  readonly query: readonly (readonly [name: string, value: string])[];
  /** What goes to the cluster and into the record: rebuilt from the parse. */
  readonly canonical: string;
}

/** Code `TargetNotCanonical`: the target can be read in more than one way. The message names the part. */
export class TargetError extends Error {
  readonly code = 'TargetNotCanonical';
}

/** Query parameters that Kubernetes reads as lists; every other one may occur once. */
const repeatable: ReadonlySet<string> = new Set(['command', 'ports', 'dryRun']);

/** Longer targets are refused: a record must hold them. Label selectors of real clients are far shorter. */
const maxTargetBytes = 16 * 1024;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Parses an origin-form target (RFC 9112, 3.2.1) strictly. Go decodes a path once and cleans nothing, Node
 * decodes nothing: whatever the two could read differently is refused. Throws `TargetError`.
 */
export function parseTarget(raw: string): Target {
  if (raw.length > maxTargetBytes) throw new TargetError(`the target is longer than ${maxTargetBytes} bytes`);
  if (!raw.startsWith('/')) throw new TargetError('the target must be a path (origin-form)');
  // Anything outside printable ASCII must come percent-encoded (RFC 3986, 2).
  if (!/^[\x21-\x7e]*$/.test(raw)) throw new TargetError('the target has a byte outside printable ASCII');
  if (/[#\\;]/.test(raw)) throw new TargetError('the target has a raw "#", "\\" or ";"');
  const mark = raw.indexOf('?');
  const path = mark === -1 ? raw : raw.slice(0, mark);
  const segments = parsePath(path);
  const query = parseQuery(mark === -1 ? '' : raw.slice(mark + 1));
  const slash = segments.length > 0 && path.endsWith('/') ? '/' : '';
  const encodedPath = `/${segments.map(encodeSegment).join('/')}${slash}`;
  return { path: `/${segments.join('/')}${slash}`, segments, query, canonical: withQuery(encodedPath, query) };
}

/** A path that is encoded already, with a query. */
export function withQuery(path: string, query: Target['query']): string {
  const tail = query.map(([name, value]) => `${encodeQuery(name)}=${encodeQuery(value)}`).join('&');
  return tail === '' ? path : `${path}?${tail}`;
}

/** The value of a parameter, or `undefined` when it is not there. */
export function queryValue(target: Target, name: string): string | undefined {
  return target.query.find(([known]) => known === name)?.[1];
}

function parsePath(path: string): string[] {
  const inner = path.slice(1).replace(/\/$/, '');
  if (inner === '') {
    if (path === '//') throw new TargetError('the path has an empty segment');
    return [];
  }
  return inner.split('/').map((raw) => {
    if (raw === '') throw new TargetError('the path has an empty segment');
    // %2f and %5c become separators on the other side, %25 hides a second encoding.
    if (/%(2f|5c|25)/i.test(raw)) throw new TargetError('the path has an encoded "/", "\\" or "%"');
    const segment = decode(raw, 'path');
    if (segment === '.' || segment === '..') throw new TargetError('the path has a dot segment');
    return segment;
  });
}

function parseQuery(raw: string): (readonly [string, string])[] {
  const seen = new Set<string>();
  const pairs: (readonly [string, string])[] = [];
  for (const pair of raw.split('&')) {
    if (pair === '') continue;
    const equals = pair.indexOf('=');
    const name = decode((equals === -1 ? pair : pair.slice(0, equals)).replaceAll('+', ' '), 'query');
    const value = equals === -1 ? '' : decode(pair.slice(equals + 1).replaceAll('+', ' '), partOf(name));
    if (seen.has(name) && !repeatable.has(name)) throw new TargetError('a query parameter occurs twice');
    seen.add(name);
    pairs.push([name, value]);
  }
  return pairs;
}

/** An argument of a command is any text: scripts have lines. */
function partOf(name: string): 'query' | 'argument' {
  return name === 'command' ? 'argument' : 'query';
}

/** What no part of its kind has. */
const controls = {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  path: /[\x00-\x1f\x7f]/,
  // biome-ignore lint/suspicious/noControlCharactersInRegex: likewise
  query: /[\x00\r\n]/,
  // biome-ignore lint/suspicious/noControlCharactersInRegex: likewise
  argument: /\x00/,
} as const;

function decode(raw: string, part: keyof typeof controls): string {
  if (!raw.includes('%')) return raw;
  if (/%(?![0-9a-f]{2})/i.test(raw)) throw new TargetError(`the ${part} has an invalid percent-encoding`);
  const bytes = Buffer.from(
    raw.replaceAll(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
    'latin1',
  );
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch {
    throw new TargetError(`the ${part} is not UTF-8`);
  }
  if (controls[part].test(text)) throw new TargetError(`the ${part} has a control character`);
  return text;
}

/** Keeps what RFC 3986 allows in a segment and Kubernetes names have: `system:node` stays readable. */
function encodeSegment(segment: string): string {
  return encodeURIComponent(segment).replaceAll(/%(3A|40|24|2C|3D|2B)/g, (encoded) => decodeURIComponent(encoded));
}

function encodeQuery(text: string): string {
  return encodeURIComponent(text).replaceAll(/%(3A|40|24|2C|2F)/g, (encoded) => decodeURIComponent(encoded));
}
