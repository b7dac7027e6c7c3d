import { isMap, isNode, isScalar, isSeq, type Node, type Scalar, type YAMLMap } from 'yaml';

const durationForm = /^(0|[1-9]\d{0,5})([smh])$/;
const unitsMs: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000 };

/** Reads a YAML tree as a form with known fields, and says of every fault where it stands. */
export class FormReader {
  readonly #source: string;
  readonly #report: (offset: number, message: string) => void;
  #failed = false;

  /** `source`: the text that the tree is of. `report` takes the fault's offset in it. */
  constructor(source: string, report: (offset: number, message: string) => void) {
    this.#source = source;
    this.#report = report;
  }

  /** Whether anything was at fault so far. */
  get failed(): boolean {
    return this.#failed;
  }

  /** A mapping with known keys only. */
  map(node: unknown, known: readonly string[], what: string): YAMLMap | null {
    if (!isMap(node)) {
      this.fault(node, `${what} is a mapping of ${known.join(', ')}`);
      return null;
    }
    for (const { key } of node.items) {
      const name = isScalar(key) ? String(key.value) : '';
      if (!known.includes(name)) this.fault(key, `unknown field "${name}" in ${what}; known here: ${known.join(', ')}`);
    }
    return node;
  }

  member(map: YAMLMap, key: string, known: readonly string[]): YAMLMap | null {
    const node = this.need(map, key);
    return node === undefined ? null : this.map(node, known, key);
  }

  need(map: YAMLMap, key: string): Node | undefined {
    const node = map.get(key, true) as Node | undefined;
    if (node === undefined) this.fault(map, `${key} is missing`);
    return node;
  }

  constant(map: YAMLMap, key: string, value: string): void {
    const node = this.need(map, key);
    if (node !== undefined && this.text(node) !== value) this.fault(node, `${key} must be ${value}`);
  }

  /** One of a few words; the first of them where the field is missing or wrong. */
  word<T extends string>(map: YAMLMap, key: string, words: readonly [T, ...T[]]): T {
    const node = map.get(key, true);
    const text = node === undefined ? words[0] : this.text(node);
    const found = words.find((word) => word === text);
    if (found === undefined) this.fault(node, `${key} is ${words.join(' or ')}`);
    return found ?? words[0];
  }

  text(node: unknown): string {
    if (isScalar(node) && typeof node.value === 'string' && node.value !== '') return node.value;
    // What is missing has been reported where it should stand.
    if (node !== undefined) this.fault(node, 'a text is wanted here; put quotes around a number or a YAML word');
    return '';
  }

  /** The text of a field; empty where it is left out. */
  optionalText(map: YAMLMap, key: string): string {
    return map.has(key) ? this.text(map.get(key, true)) : '';
  }

  list<T>(node: unknown, read: (item: Node, index: number) => T): T[] {
    if (node === undefined) return [];
    if (isSeq(node) && node.items.length > 0) return node.items.map((item, index) => read(item as Node, index));
    this.fault(node, 'a list with at least one entry is wanted here');
    return [];
  }

  texts(node: unknown): string[] {
    return this.list(node, (item) => this.text(item));
  }

  /** A list of texts, each in the form that is meant; `message` says which that is. */
  forms(node: unknown, fits: (text: string) => boolean, message: string): string[] {
    return this.list(node, (item) => {
      const text = this.text(item);
      if (text !== '' && !fits(text)) this.fault(item, message);
      return text;
    });
  }

  /**
   * How long, written 30s, 10m or 2h: milliseconds, within limits; `null` where the field is left out or at fault.
   * `message` says what is meant.
   */
  duration(
    map: YAMLMap,
    key: string,
    { shortestMs, longestMs }: { readonly shortestMs: number; readonly longestMs: number },
    message: string,
  ): number | null {
    const written = this.optionalText(map, key);
    if (written === '') return null;
    const [, count = '', unit = ''] = durationForm.exec(written) ?? [];
    const ms = Number(count) * (unitsMs[unit] ?? 0);
    if (unit !== '' && ms >= shortestMs && ms <= longestMs) return ms;
    this.fault(map.get(key, true), message);
    return null;
  }

  /** `within`: of a text, the character that is at fault. */
  fault(node: unknown, message: string, within?: number): void {
    this.#failed = true;
    const start = isNode(node) ? (node.range?.[0] ?? 0) : 0;
    const inside = within === undefined || !isScalar(node) ? 0 : this.#offsetIn(node, within);
    this.#report(start + inside, message);
  }

  /**
   * Where in its source a character of a text stands. Quotes, escapes, indentation and folded lines put only blanks,
   * quotes and backslashes between characters that follow each other, so each is the next of its kind.
   */
  #offsetIn({ value, range, type }: Scalar, within: number): number {
    const text = String(value);
    const source = this.#source.slice(range?.[0], range?.[1]);
    const isBlock = type === 'BLOCK_LITERAL' || type === 'BLOCK_FOLDED';
    let at = isBlock ? source.indexOf('\n') : type === 'PLAIN' ? -1 : 0;
    const skipTo = (character: string): void => {
      if (character.trim() !== '') at = Math.max(at, source.indexOf(character, at + 1));
    };
    for (const character of text.slice(0, within)) skipTo(character);
    // What stops short is at fault behind its end.
    const [faulty = ' '] = text.slice(within);
    if (faulty.trim() === '') return at + 1;
    skipTo(faulty);
    return at;
  }
}
