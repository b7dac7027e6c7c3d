// Replacements inside bytes, and inside texts that stand escaped in JSON. Pure.
import { backslash, type StringSpan } from '@sluice/kube';

/** One replacement: `text` goes where `[start, end)` was. */
export interface Splice {
  readonly start: number;
  readonly end: number;
  readonly text: string;
  /** For people: what made it one. */
  readonly why: string;
}

/** The bytes with replacements that do not overlap; themselves, where there are none. */
export function spliced(bytes: Buffer, splices: readonly Splice[]): Buffer {
  if (splices.length === 0) return bytes;
  const parts: Buffer[] = [];
  let at = 0;
  for (const { start, end, text } of [...splices].sort((a, b) => a.start - b.start)) {
    parts.push(bytes.subarray(at, start), Buffer.from(text));
    at = end;
  }
  parts.push(bytes.subarray(at));
  return Buffer.concat(parts);
}

/** A text as JSON has it between quotes. */
export function escaped(text: string): string {
  return JSON.stringify(text).slice(1, -1);
}

/** The text of a JSON string that was checked before, with the place of each of its bytes (UTF-8) in the string. */
export function unescaped(
  bytes: Buffer,
  { start, end }: StringSpan,
): { readonly text: Buffer; readonly places: Uint32Array } {
  const text = Buffer.allocUnsafe(end - start);
  const places = new Uint32Array(end - start + 1);
  let size = 0;
  let at = start;
  const put = (byte: number): void => {
    text[size] = byte;
    places[size++] = at;
  };
  while (at < end) {
    const byte = bytes[at] as number;
    if (byte !== backslash) {
      put(byte);
      at++;
      continue;
    }
    const length = bytes[at + 1] === 0x75 ? (isPair(bytes, at, end) ? 12 : 6) : 2;
    const character = JSON.parse(`"${bytes.toString('latin1', at, at + length)}"`) as string;
    for (const one of Buffer.from(character)) put(one);
    at += length;
  }
  places[size] = end;
  return { text: text.subarray(0, size), places };
}

/** Whether a surrogate pair stands there: two escapes, and one character. */
function isPair(bytes: Buffer, at: number, end: number): boolean {
  return at + 12 <= end && /^\\u[dD][89abAB]..\\u[dD][c-fC-F]../.test(bytes.toString('latin1', at, at + 12));
}
