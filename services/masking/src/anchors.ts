// Finds many short texts in bytes at once, in one pass (Aho and Corasick, 1975). Pure.

/** A text to be found. */
export interface Anchor<T> {
  readonly text: string;
  /** ASCII letters match in either case. */
  readonly ignoreCase: boolean;
  readonly value: T;
}

/** Where the search stands: 0 where nothing has begun. */
export type AnchorState = number;

/**
 * The automaton as one dense table: a step is two reads, whatever the anchors. Anchors that tell the case apart are found
 * by comparing once their folded form is.
 */
export class Anchors<T> {
  readonly #classOf = new Uint8Array(256);
  readonly #classes: number;
  readonly #next: Uint16Array;
  /** What ends in a state. */
  readonly #ends: readonly (readonly { readonly length: number; readonly exact: Buffer | null; readonly value: T }[])[];
  readonly #has: Uint8Array;
  readonly #depth: Uint16Array;

  constructor(anchors: readonly Anchor<T>[]) {
    const folded = anchors.map(({ text }) => Buffer.from(text.toLowerCase(), 'latin1'));
    let classes = 1;
    for (const byte of folded.flatMap((one) => [...one])) {
      if (this.#classOf[byte] === 0) this.#classOf[byte] = classes++;
    }
    for (let upper = 0x41; upper <= 0x5a; upper++) this.#classOf[upper] = this.#classOf[upper + 0x20] as number;
    this.#classes = classes;

    const goto: Map<number, number>[] = [new Map()];
    const depth = [0];
    const own: number[][] = [[]];
    for (const [index, bytes] of folded.entries()) {
      let state = 0;
      for (const byte of bytes) {
        const cls = this.#classOf[byte] as number;
        let next = goto[state]?.get(cls);
        if (next === undefined) {
          next = goto.length;
          goto.push(new Map());
          own.push([]);
          depth.push((depth[state] as number) + 1);
          goto[state]?.set(cls, next);
        }
        state = next;
      }
      own[state]?.push(index);
    }
    const count = goto.length;
    this.#next = new Uint16Array(count * classes);
    this.#depth = Uint16Array.from(depth);
    const fail = goto.map(() => 0);
    const all: number[][] = own.map((indexes) => [...indexes]);
    const queue = [0];
    for (let at = 0; at < queue.length; at++) {
      const state = queue[at] as number;
      for (let cls = 0; cls < classes; cls++) {
        const back = state === 0 ? 0 : (this.#next[(fail[state] as number) * classes + cls] as number);
        const target = goto[state]?.get(cls);
        this.#next[state * classes + cls] = target ?? back;
        if (target === undefined) continue;
        fail[target] = back;
        all[target]?.push(...(all[back] ?? []));
        queue.push(target);
      }
    }
    this.#ends = all.map((indexes) =>
      indexes.map((index) => {
        const { text, ignoreCase, value } = anchors[index] as Anchor<T>;
        return { length: text.length, exact: ignoreCase ? null : Buffer.from(text, 'latin1'), value };
      }),
    );
    this.#has = Uint8Array.from(this.#ends, (ends) => (ends.length > 0 ? 1 : 0));
  }

  /** Calls `onAnchor` for each anchor in `[from, bytes.length)`, in the order of their ends. */
  search(bytes: Buffer, from: number, onAnchor: (value: T, start: number, end: number) => void): AnchorState {
    const next = this.#next;
    const classOf = this.#classOf;
    const classes = this.#classes;
    const has = this.#has;
    let state = 0;
    for (let at = from; at < bytes.length; at++) {
      state = next[state * classes + (classOf[bytes[at] as number] as number)] as number;
      if (has[state] === 1) this.#found(bytes, state, at + 1, onAnchor);
    }
    return state;
  }

  /** How many of the last bytes may be the beginning of an anchor. */
  pending(state: AnchorState): number {
    return this.#depth[state] as number;
  }

  #found(bytes: Buffer, state: number, end: number, onAnchor: (value: T, start: number, end: number) => void): void {
    for (const { length, exact, value } of this.#ends[state] ?? []) {
      const start = end - length;
      if (exact === null || exact.equals(bytes.subarray(start, end))) onAnchor(value, start, end);
    }
  }
}
