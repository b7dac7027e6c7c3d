// Finds many short texts in bytes at once, in one pass that looks at pairs of bytes and stops where one may begin. Pure.

/** A text to be found: three bytes and more. */
export interface Anchor<T> {
  readonly text: string;
  /** ASCII letters match in either case. */
  readonly ignoreCase: boolean;
  readonly value: T;
}

/** Kinds of pairs: the first and second byte of an anchor, or its second and third. */
const first = 1;
const second = 2;

/**
 * Of three bytes in a row two stand at an even place and the one behind it, so one look at each second place passes no
 * anchor by. Where a pair may be of one, a tree of all anchors says which. Anchors that tell the case apart are found by
 * comparing once their folded form is.
 */
export class Anchors<T> {
  /** What a pair of bytes may be. */
  readonly #pairs = new Uint8Array(1 << 16);
  readonly #classOf = new Uint8Array(256);
  /** The tree: a node is the place of its row, and 0, the root's, says that nothing goes on like this. */
  readonly #next: Uint16Array;
  readonly #classes: number;
  /** What ends at a node. */
  readonly #ends: readonly (readonly { readonly exact: Buffer | null; readonly value: T }[])[];
  readonly #longest: number;

  constructor(anchors: readonly Anchor<T>[]) {
    const folded = anchors.map(({ text }) => Buffer.from(text.toLowerCase(), 'latin1'));
    let classes = 1;
    for (const byte of folded.flatMap((one) => [...one])) {
      if (this.#classOf[byte] === 0) this.#classOf[byte] = classes++;
    }
    for (let upper = 0x41; upper <= 0x5a; upper++) this.#classOf[upper] = this.#classOf[upper + 0x20] as number;
    this.#classes = classes;
    this.#longest = Math.max(...folded.map(({ length }) => length));

    const nodes: Map<number, number>[] = [new Map()];
    const ends: { exact: Buffer | null; value: T }[][] = [[]];
    for (const [index, bytes] of folded.entries()) {
      const { text, ignoreCase, value } = anchors[index] as Anchor<T>;
      let node = 0;
      for (const byte of bytes) {
        const cls = this.#classOf[byte] as number;
        let next = nodes[node]?.get(cls);
        if (next === undefined) {
          next = nodes.length;
          nodes.push(new Map());
          ends.push([]);
          nodes[node]?.set(cls, next);
        }
        node = next;
      }
      ends[node]?.push({ exact: ignoreCase ? null : Buffer.from(text, 'latin1'), value });
      this.#mark(text, ignoreCase);
    }
    this.#ends = ends;
    this.#next = new Uint16Array(nodes.length * classes);
    for (const [node, children] of nodes.entries())
      for (const [cls, child] of children) this.#next[node * classes + cls] = child;
  }

  #mark(text: string, ignoreCase: boolean): void {
    const cases = (at: number): number[] => {
      const letter = text[at] ?? '';
      return (ignoreCase ? [letter.toLowerCase(), letter.toUpperCase()] : [letter]).map((one) => one.charCodeAt(0));
    };
    for (const [at, kind] of [first, second].entries())
      for (const one of cases(at))
        for (const other of cases(at + 1))
          this.#pairs[(one << 8) | other] = (this.#pairs[(one << 8) | other] ?? 0) | kind;
  }

  /** Calls `onAnchor` for each anchor, in the order of their beginnings. */
  search(bytes: Buffer, onAnchor: (value: T, start: number, end: number) => void): void {
    const pairs = this.#pairs;
    const last = bytes.length - 1;
    let at = 0;
    for (; at < last; at += 2) {
      const kind = pairs[((bytes[at] as number) << 8) | (bytes[at + 1] as number)] as number;
      if (kind === 0) continue;
      if ((kind & second) !== 0 && at > 0) this.#follow(bytes, at - 1, onAnchor);
      if ((kind & first) !== 0) this.#follow(bytes, at, onAnchor);
    }
  }

  /** How many of the last bytes may be the beginning of an anchor. */
  pending(bytes: Buffer): number {
    for (let start = Math.max(0, bytes.length - this.#longest + 1); start < bytes.length; start++)
      if (this.#follow(bytes, start, () => undefined)) return bytes.length - start;
    return 0;
  }

  /** Whether the bytes from there on end inside an anchor. */
  #follow(bytes: Buffer, start: number, onAnchor: (value: T, start: number, end: number) => void): boolean {
    const classes = this.#classes;
    let node = 0;
    for (let at = start; at < bytes.length; at++) {
      node = this.#next[node * classes + (this.#classOf[bytes[at] as number] as number)] as number;
      if (node === 0) return false;
      for (const { exact, value } of this.#ends[node] as readonly { exact: Buffer | null; value: T }[])
        if (exact === null || exact.equals(bytes.subarray(start, at + 1))) onAnchor(value, start, at + 1);
    }
    return true;
  }
}
