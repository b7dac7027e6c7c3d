// Helm keeps a release as base64 of base64 of gzip of JSON, in a Secret. It is masked from the inside, so that helm can
// still read it: what cannot be unpacked is masked as a whole. Pure.
import { gunzipSync, gzipSync } from 'node:zlib';

/** A release is a few MB at most: a Secret holds 1 MiB of it, packed. */
const maxUnpackedBytes = 32 * 1024 * 1024;
const gzipMagic = Buffer.from([0x1f, 0x8b, 0x08]);

/** The JSON of a release, from the `data` of its Secret; `null` where it is none. */
export function unpackRelease(data: string): Buffer | null {
  const packed = Buffer.from(Buffer.from(data, 'base64').toString('latin1'), 'base64');
  if (!packed.subarray(0, gzipMagic.length).equals(gzipMagic)) return null;
  try {
    return gunzipSync(packed, { maxOutputLength: maxUnpackedBytes });
  } catch {
    return null;
  }
}

export function packRelease(json: Buffer): string {
  return Buffer.from(gzipSync(json).toString('base64')).toString('base64');
}

/** The value of an entry in a Secret's manifest. Places are characters. */
export interface ManifestValue {
  readonly start: number;
  readonly end: number;
  readonly encoding: 'base64' | 'plain';
}

/** A value of a Secret in manifests. Places are bytes. */
export interface ManifestSecret extends ManifestValue {
  /** What it says, decoded. */
  readonly secret: Buffer;
}

/** The values of Secrets in manifests, but for those that are masks already. */
export function secretsOfManifests(text: Buffer): ManifestSecret[] {
  const whole = text.toString();
  return manifestValues(whole).flatMap(({ start, end, encoding }) => {
    const value = whole.slice(start, end);
    if (maskedValue.test(value)) return [];
    // Places in a text are characters; here they are bytes of it.
    const from = Buffer.byteLength(whole.slice(0, start));
    const bare = value.replaceAll(/^["']|["']$/g, '');
    const secret = encoding === 'base64' ? Buffer.from(bare, 'base64') : Buffer.from(bare);
    return [{ start: from, end: from + Buffer.byteLength(value), encoding, secret }];
  });
}

/** A mask, as it stands in a manifest. */
const maskedValue = /^["']?(sluice-mask:v1:|c2x1aWNlLW1hc2s6djE6)[^\s"']*["']?$/;

/**
 * Where Secrets in YAML manifests hold their values. Line by line, as templates write them; a Secret that is written in
 * another way is one value from its first line to its last.
 */
export function manifestValues(text: string): ManifestValue[] {
  const values: ManifestValue[] = [];
  let start = 0;
  for (const document of text.split(/^(?=---)/m)) {
    if (/^kind:[ \t]*["']?Secret["']?[ \t]*(#.*)?\r?$/m.test(document)) values.push(...valuesOf(document, start));
    else if (/kind["']?[ \t]*:[ \t]*["']?Secret\b/.test(document))
      values.push({ start, end: start + document.trimEnd().length, encoding: 'plain' });
    start += document.length;
  }
  return values;
}

function valuesOf(document: string, offset: number): ManifestValue[] {
  const values: ManifestValue[] = [];
  let section: ManifestValue['encoding'] | null = null;
  /** Indent of the section's entries; -1 before the first. */
  let indent = -1;
  let at = offset;
  let open: { start: number; end: number } | null = null;
  const close = (): void => {
    if (open !== null && section !== null && open.end > open.start) values.push({ ...open, encoding: section });
    open = null;
  };
  for (const line of document.split('\n')) {
    const trimmed = line.trimEnd();
    const depth = line.length - line.trimStart().length;
    const heading = /^["']?(data|stringData)["']?:[ \t]*(.*)$/.exec(trimmed);
    if (trimmed === '') {
      // Blank lines end nothing: a block may have them.
    } else if (depth === 0) {
      close();
      section = heading === null ? null : heading[1] === 'data' ? 'base64' : 'plain';
      indent = -1;
      const flow = heading?.[2] ?? '';
      if (flow !== '' && flow !== '{}') open = { start: at + trimmed.length - flow.length, end: at + trimmed.length };
    } else if (section !== null && (indent === -1 || depth <= indent)) {
      close();
      indent = depth;
      const [, name = '', value = ''] = /^(\s+(?:"[^"]*"|'[^']*'|[^\s:][^:]*):[ \t]*)(.*)$/.exec(trimmed) ?? [];
      const isBlock = /^[|>][+-]?\d*$/.test(value);
      const from = name === '' ? at + depth : at + name.length;
      open = isBlock || value === '' ? { start: -1, end: -1 } : { start: from, end: at + trimmed.length };
    } else if (open !== null) {
      const { start } = open as { start: number };
      open = { start: start === -1 ? at + depth : start, end: at + trimmed.length };
    }
    at += line.length + 1;
  }
  close();
  return values;
}
