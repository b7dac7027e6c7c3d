// The ways in which a text may write a value that is known. Pure.

/** Shorter values are not kept: they would be found in ordinary text. Bytes. */
export const minValueBytes = 8;
/** Longer values are kept in parts of this size: a multiple of 3, so that base64 has each part for itself. Bytes. */
export const partBytes = 1020;
const maxParts = 16;
/** A line of a value, which programs may print by itself. Bytes. */
const minLineBytes = 16;
const maxLines = 64;

/** Each part of a value in each way it may come again; none of one that is too short. */
export function formsOf(value: Buffer): Buffer[] {
  const forms = new Map<string, Buffer>();
  for (const part of partsOf(value)) {
    for (const form of written(part)) if (form.length >= minValueBytes) forms.set(form.toString('latin1'), form);
  }
  return [...forms.values()];
}

/** The value in parts, and its longer lines. */
function partsOf(value: Buffer): Buffer[] {
  const parts: Buffer[] = [];
  for (let at = 0; at < value.length && parts.length < maxParts; at += partBytes) {
    const part = value.subarray(at, at + partBytes);
    if (part.length >= minValueBytes) parts.push(part);
  }
  if (!value.includes(0x0a)) return parts;
  const lines = value
    .toString('latin1')
    .split(/\r?\n/)
    .filter((line) => line.length >= minLineBytes);
  return [...parts, ...lines.slice(0, maxLines).map((line) => Buffer.from(line.slice(0, partBytes), 'latin1'))];
}

/** As it is; base64 at each alignment, in both alphabets; hex; escaped as JSON and in URLs do. */
function written(part: Buffer): Buffer[] {
  const text = part.toString();
  const isText = Buffer.byteLength(text) === part.length;
  const base64 = [0, 1, 2].flatMap((shift) => {
    const encoded = Buffer.concat([Buffer.alloc(shift), part])
      .toString('base64')
      .replace(/=+$/, '');
    // The characters that the bytes beside it have no part in.
    const inner = encoded.slice(Math.ceil((shift * 4) / 3), Math.floor(((shift + part.length) * 4) / 3));
    return [inner, inner.replaceAll('+', '-').replaceAll('/', '_')];
  });
  const hex = part.toString('hex');
  const ways = [...base64, hex, hex.toUpperCase()];
  if (isText) ways.push(JSON.stringify(text).slice(1, -1), encodeURIComponent(text));
  return [part, ...ways.map((one) => Buffer.from(one))];
}
