// Sets of bytes, and runs of them. Pure.

export type ByteClass = Uint8Array;

/** The bytes of a set written as in a regular expression: `A-Za-z0-9_`. A `-` that means itself stands last. */
export function byteClass(set: string): ByteClass {
  const table = new Uint8Array(256);
  for (let at = 0; at < set.length; at++) {
    const first = set.charCodeAt(at);
    const isRange = set[at + 1] === '-' && at + 2 < set.length;
    const last = isRange ? set.charCodeAt(at + 2) : first;
    table.fill(1, first, last + 1);
    if (isRange) at += 2;
  }
  return table;
}

/** Every byte but these, and NUL: it ends a text in environments of processes, and fills up the blocks of a tar. */
export function allBut(set: string): ByteClass {
  return byteClass(`\0${set}`).map((isIn) => 1 - isIn);
}

/** Where a run of such bytes that begins at `from` ends, at `limit` at the latest. */
export function runEnd(bytes: Buffer, from: number, set: ByteClass, limit = bytes.length): number {
  const last = Math.min(limit, bytes.length);
  let at = from;
  while (at < last && set[bytes[at] as number] === 1) at++;
  return at;
}

export const base64Bytes = byteClass('A-Za-z0-9+/=_-');
export const wordBytes = byteClass('A-Za-z0-9_-');
export const nameBytes = byteClass('A-Za-z0-9_.-');
export const spaceBytes = byteClass(' \t');
