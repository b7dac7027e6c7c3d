import { type Document, isAlias, isMap, isScalar, isSeq, type Pair, parseAllDocuments, type Scalar } from 'yaml';
import { BodyError } from './body-error.ts';

/** Deeper nesting is refused, and with it an alias inside what it stands for. */
const maxDepth = 100;
/** Nodes with every alias written out: a few lines of aliases can stand for billions. */
const maxNodes = 200_000;

/**
 * Reads one YAML document as the API server does (sigs.k8s.io/yaml on go-yaml 2, YAML 1.1) and writes it as JSON.
 * Stricter than the server where a second meaning could hide: several documents, directives, keys that come twice, keys
 * that are no texts, whole numbers or booleans, tags other than those of plain values, and a merge after a key it
 * would change are refused. Throws `BodyError`, which never quotes a value.
 */
export function yamlToJson(body: Buffer): Buffer {
  const text = body.toString().replace(/^\ufeff/, '');
  if (text.includes('\ufffd')) throw new BodyError('it is not UTF-8');
  // YAML 1.1 ends a line with these, and its successors do not.
  if (/[\u0085\u2028\u2029]/.test(text)) throw new BodyError('it has line separators other than a line feed');
  if (/\\u[dD][89abAB]/.test(text)) throw new BodyError('a text has half of a surrogate pair');
  if (/^%/m.test(text)) throw new BodyError('YAML directives are not read');
  const documents = parseAllDocuments(text, { schema: 'failsafe', version: '1.1', uniqueKeys: false });
  const [document] = documents;
  if (document === undefined || !('contents' in document)) throw new BodyError('it is empty');
  if (documents.length > 1) throw new BodyError('it holds several YAML documents');
  const [error] = document.errors;
  // The message of the parser quotes the text.
  if (error !== undefined) throw new BodyError(`it is not YAML (${error.code} at character ${error.pos[0]})`);
  return Buffer.from(new Writer(document).value(document.contents, 0));
}

/** Values as JSON texts, so that numbers keep every digit. */
class Writer {
  readonly #document: Document.Parsed;
  #nodes = 0;

  constructor(document: Document.Parsed) {
    this.#document = document;
  }

  value(node: unknown, depth: number): string {
    if (++this.#nodes > maxNodes) throw new BodyError('its aliases stand for too much');
    if (depth > maxDepth) throw new BodyError(`it is nested deeper than ${maxDepth} levels`);
    if (isAlias(node)) return this.value(this.#target(node), depth + 1);
    if (isScalar(node)) return scalarJson(node);
    if (node === null || node === undefined) return 'null';
    refuseTag(node, isMap(node) ? 'map' : 'seq');
    if (isSeq(node)) return `[${node.items.map((item) => this.value(item, depth + 1)).join(',')}]`;
    if (isMap(node)) {
      const members = [...this.#members(node.items, depth)];
      return `{${members.map(([key, value]) => `${JSON.stringify(key)}:${value}`).join(',')}}`;
    }
    throw new BodyError('it holds something that is neither a value, a list nor a mapping');
  }

  #members(pairs: readonly Pair[], depth: number): Map<string, string> {
    const own = new Set<string>();
    const members = new Map<string, string>();
    for (const { key, value } of pairs) {
      if (isScalar(key) && key.type === 'PLAIN' && key.value === '<<') {
        for (const [name, merged] of this.#merged(value, depth + 1)) {
          // go-yaml 2 lets the merge win here, and every other reader the key.
          if (own.has(name)) throw new BodyError(`a merge changes the key ${shown(name)} that stands before it`);
          members.set(name, merged);
        }
        continue;
      }
      const name = keyOf(isAlias(key) ? this.#target(key) : key);
      if (own.has(name)) throw new BodyError(`the key ${shown(name)} occurs twice in one mapping`);
      own.add(name);
      members.set(name, this.value(value, depth + 1));
    }
    return members;
  }

  /** What `<<` takes in: a mapping, or a list of them, of which an earlier one wins. */
  #merged(node: unknown, depth: number): Map<string, string> {
    if (depth > maxDepth) throw new BodyError(`it is nested deeper than ${maxDepth} levels`);
    const source = isAlias(node) ? this.#target(node) : node;
    if (isMap(source)) return this.#members(source.items, depth);
    if (!isSeq(source)) throw new BodyError('a merge takes a mapping or a list of mappings');
    const merged = new Map<string, string>();
    for (const item of [...source.items].reverse()) {
      const mapping = isAlias(item) ? this.#target(item) : item;
      if (!isMap(mapping)) throw new BodyError('a merge takes a mapping or a list of mappings');
      for (const [name, value] of this.#members(mapping.items, depth + 1)) merged.set(name, value);
    }
    return merged;
  }

  #target(alias: { resolve(document: Document.Parsed): unknown }): unknown {
    const target = alias.resolve(this.#document);
    if (target === undefined) throw new BodyError('an alias has no anchor');
    return target;
  }
}

type Kind = 'str' | 'int' | 'float' | 'bool' | 'null';

/** What a scalar is, and how JSON writes it. */
function resolve({ type, value, tag }: Scalar): readonly [kind: Kind, json: string] {
  const text = typeof value === 'string' ? value : '';
  const found: readonly [Kind, string] =
    type === 'PLAIN' || value === null ? plain(text) : ['str', JSON.stringify(text)];
  const asked = tag?.replace('tag:yaml.org,2002:', '');
  if (asked === undefined || asked === found[0]) return found;
  if (asked === 'str') return ['str', JSON.stringify(text)];
  if (asked === 'float' && found[0] === 'int') return ['float', found[1]];
  throw new BodyError('a tag says that a value is something else than it looks');
}

function scalarJson(scalar: Scalar): string {
  const [, json] = resolve(scalar);
  if (json === notJson) throw new BodyError('JSON has no infinity, and nothing that is not a number');
  return json;
}

/** Keys of JSON are texts; the server writes whole numbers and booleans as such. */
function keyOf(node: unknown): string {
  if (!isScalar(node)) throw new BodyError('a key is a list, a mapping or empty');
  const [kind, json] = resolve(node);
  if (kind === 'str') return JSON.parse(json) as string;
  if (kind === 'int' || kind === 'bool') return json;
  throw new BodyError('a key is a number with a fraction, or null; put quotes around it');
}

const notJson = '';
const words: ReadonlyMap<string, readonly [Kind, string]> = new Map(
  (
    [
      [['bool', 'true'], 'y Y yes Yes YES true True TRUE on On ON'],
      [['bool', 'false'], 'n N no No NO false False FALSE off Off OFF'],
      [['null', 'null'], '~ null Null NULL'],
      [['float', notJson], '.nan .NaN .NAN .inf .Inf .INF +.inf +.Inf +.INF -.inf -.Inf -.INF'],
    ] as const
  ).flatMap(([resolved, spellings]) => spellings.split(' ').map((word) => [word, resolved] as const)),
);

/** A plain scalar, as go-yaml 2 resolves it. */
function plain(text: string): readonly [Kind, string] {
  if (text === '') return ['null', 'null'];
  const word = words.get(text);
  if (word !== undefined) return word;
  if (text.startsWith('.')) return isFloat(text) ? ['float', floatJson(text)] : ['str', JSON.stringify(text)];
  if (!/^[-+0-9]/.test(text)) return ['str', JSON.stringify(text)];
  const digits = text.replaceAll('_', '');
  const whole = integer(digits);
  // Beyond 64 bits the server makes a number with a fraction of it.
  if (whole !== null && (whole < leastInt || whole > mostInt)) return ['float', JSON.stringify(Number(whole))];
  if (whole !== null) return ['int', whole.toString()];
  return isFloat(digits) ? ['float', floatJson(digits)] : ['str', JSON.stringify(text)];
}

const [leastInt, mostInt] = [-(2n ** 63n), 2n ** 63n - 1n];

/** In the forms of Go's `strconv.ParseInt` with base 0. */
function integer(text: string): bigint | null {
  const [, sign = '', rest = ''] =
    /^([-+]?)(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9][0-9]*)$/.exec(text) ?? [];
  if (rest === '') return null;
  const isOctal = /^0[0-7]+$/.test(rest);
  const magnitude = BigInt(isOctal ? `0o${rest.slice(1)}` : rest);
  return sign === '-' ? -magnitude : magnitude;
}

function isFloat(text: string): boolean {
  return /^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$/.test(text);
}

function floatJson(text: string): string {
  const value = Number(text);
  return Number.isFinite(value) ? JSON.stringify(value) : notJson;
}

function refuseTag(node: unknown, kind: 'map' | 'seq'): void {
  const { tag } = node as { readonly tag?: string };
  if (tag !== undefined && tag !== `tag:yaml.org,2002:${kind}`)
    throw new BodyError('a tag says that a list or mapping is something else');
}

function shown(key: string): string {
  return JSON.stringify(key.slice(0, 64));
}
