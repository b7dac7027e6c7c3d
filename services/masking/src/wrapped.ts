// Base64 in lines, as `base64` and `openssl` print it, made one line again: a value in it goes on over the line's end. Pure.
import { byteClass } from './byte-class.ts';

const alphabet = byteClass('A-Za-z0-9+/_-');
/** Shorter lines are no wrapped base64: PEM and openssl have 64 characters, base64 76. */
const minLine = 60;
const newline = 0x0a;
const carriageReturn = 0x0d;

/** A text without the ends of its wrapped lines. */
export interface Unwrapped {
  readonly bytes: Buffer;
  /** The place in the text of a byte of `bytes`. */
  place(at: number): number;
}

/** `null` where no line is wrapped: almost always. */
export function unwrapped(text: Buffer): Unwrapped | null {
  const parts: Buffer[] = [];
  /** Where each part begins, in the result and in the text. */
  const starts: number[] = [];
  const places: number[] = [];
  let from = 0;
  let size = 0;
  const take = (end: number, next: number): void => {
    parts.push(text.subarray(from, end));
    starts.push(size);
    places.push(from);
    size += end - from;
    from = next;
  };
  for (let at = text.indexOf(newline); at !== -1; at = text.indexOf(newline, at + 1)) {
    const end = text[at - 1] === carriageReturn ? at - 1 : at;
    // What follows may not be there yet.
    if (at + 1 < text.length && alphabet[text[at + 1] as number] === 0) continue;
    let begin = end;
    while (begin > from && end - begin < minLine && alphabet[text[begin - 1] as number] === 1) begin--;
    if (end - begin === minLine) take(end, at + 1);
  }
  if (parts.length === 0) return null;
  take(text.length, text.length);
  return {
    bytes: Buffer.concat(parts, size),
    place(at) {
      let low = 0;
      for (let high = starts.length - 1; low < high; ) {
        const middle = (low + high + 1) >> 1;
        if ((starts[middle] as number) <= at) low = middle;
        else high = middle - 1;
      }
      return (places[low] as number) + at - (starts[low] as number);
    },
  };
}
