import { type RequestAttributes } from '@sluice/model';
import { isSession } from './derived.ts';
import type { HeldCall } from './held-call.ts';
import { JsonCursor, openBrace, openBracket, quote } from './json.ts';
import { type Path, type Volatile, volatileAt, volatileKeys } from './volatile.ts';

/** What stays the same from one try of a command to the next. */
export interface Shape {
  /** The same for two tries of one command, and another for each other call. It holds what the call holds, unmasked. */
  readonly text: Buffer;
  /** JSONPaths of the values of this body that the text leaves out, as they stand in it. */
  readonly mayDiffer: readonly string[];
}

/**
 * The shape of a call. It leaves out what `volatiles` lists, how a JSON body is written (the order of keys, white space,
 * escapes; a number stays as it is, digit by digit) and for how long a client waits for its answer. Throws `JsonError`
 * when the body is not JSON though its kind says so. An exec, an attach and a port-forward are the same over a WebSocket,
 * which begins with GET, and over SPDY, which begins with POST: kubectl tries one after the other.
 */
export function shapeOf(call: HeldCall): Shape {
  const { attributes, method, target, kind, contentType, body } = call;
  const query = target.query.filter(([name]) => !waits.has(name) || !isOwnQuery(attributes));
  const mayDiffer: string[] = [];
  const isJson = kind === 'json' || kind === 'apply' || kind === 'json-patch';
  const content = isJson ? new ShapeWriter(call, mayDiffer).write() : body;
  const parts = [
    isSession(attributes) ? 'stream' : method,
    target.path,
    String(query.length),
    ...query.flat(),
    kind,
    contentType,
    content,
  ];
  return { text: Buffer.concat(parts.flatMap(framed)), mayDiffer };
}

/** Parameters that say how long a call may take. */
const waits: ReadonlySet<string> = new Set(['timeout', 'timeoutSeconds']);

/** Behind a proxy, and besides resources, a query may mean anything. */
function isOwnQuery(attributes: RequestAttributes): boolean {
  return attributes.kind === 'resource' && attributes.verb !== 'proxy' && attributes.subresource !== 'proxy';
}

/** A part behind its length, so that no two rows of parts are the same bytes. */
function framed(part: string | Buffer): Buffer[] {
  const bytes = Buffer.from(part);
  return [Buffer.from(`${bytes.length}:`), bytes];
}

/** Stands for what is left out. JSON has it inside of strings only. */
const leftOut = '?';

/** Writes JSON anew, its keys in order, without what is volatile. */
class ShapeWriter {
  readonly #cursor: JsonCursor;
  readonly #call: HeldCall;
  readonly #mayDiffer: string[];
  /** Where the cursor stands in the body. */
  readonly #path: (string | number)[] = [];
  /** Where in the object the body, or the value of a patch's operation, goes; `null` in what goes nowhere. */
  #root: Path | null = [];
  /** How much of the path leads to that value. */
  #rootDepth = 0;

  constructor(call: HeldCall, mayDiffer: string[]) {
    this.#cursor = new JsonCursor(call.body);
    this.#call = call;
    this.#mayDiffer = mayDiffer;
  }

  write(): string {
    const isPatch = this.#call.kind === 'json-patch' && this.#cursor.peek() === openBracket;
    const text = isPatch ? this.#array(() => this.#operation()) : this.#value();
    this.#cursor.end();
    return text;
  }

  /** An operation of RFC 6902: its value goes where its path says, whichever comes first. */
  #operation(): string {
    const cursor = this.#cursor;
    this.#root = null;
    if (cursor.peek() !== openBrace) return this.#value();
    const start = cursor.at;
    let place: Path | null = null;
    cursor.object((key) => {
      if (key === 'path' && cursor.peek() === quote) place = placeOf(cursor.text(cursor.string()));
      else cursor.skip();
    });
    cursor.at = start;
    this.#rootDepth = this.#path.length + 1;
    return this.#object((key) => {
      this.#root = key === 'value' ? place : null;
      return this.#value();
    });
  }

  #value(): string {
    const text = this.#inner();
    const found = this.#rule()?.value.exec(text);
    if (found === undefined || found === null) return text;
    this.#mayDiffer.push(jsonPath(this.#path));
    const [, kept] = found;
    return kept === undefined ? leftOut : `${kept}"${leftOut}`;
  }

  #rule(): Volatile | undefined {
    const { attributes } = this.#call;
    const root = this.#root;
    if (root === null || attributes.kind !== 'resource') return undefined;
    const isRoot = this.#path.length === this.#rootDepth;
    // Most values are told apart by their key: no place is made for them.
    if (!volatileKeys.has(isRoot ? root.at(-1) : this.#path.at(-1))) return undefined;
    return volatileAt([...root, ...this.#path.slice(this.#rootDepth)], attributes);
  }

  #inner(): string {
    const cursor = this.#cursor;
    switch (cursor.peek()) {
      case openBrace:
        return this.#object(() => this.#value());
      case openBracket:
        return this.#array(() => this.#value());
      case quote:
        return JSON.stringify(cursor.text(cursor.string()));
      default: {
        const { start, end } = cursor.scalar();
        return cursor.bytes.toString('latin1', start, end);
      }
    }
  }

  #object(value: (key: string) => string): string {
    const members: (readonly [key: string, text: string])[] = [];
    this.#cursor.object((key) => {
      this.#path.push(key);
      members.push([key, value(key)]);
      this.#path.pop();
    });
    members.sort(([a], [b]) => (a < b ? -1 : 1));
    return `{${members.map(([key, text]) => `${JSON.stringify(key)}:${text}`).join(',')}}`;
  }

  #array(value: () => string): string {
    const elements: string[] = [];
    this.#cursor.array(() => {
      this.#path.push(elements.length);
      elements.push(value());
      this.#path.pop();
    });
    return `[${elements.join(',')}]`;
  }
}

/** The keys of a JSON pointer (RFC 6901). */
function placeOf(pointer: string): Path {
  return pointer
    .split('/')
    .slice(1)
    .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'))
    .map((key) => (/^(?:0|[1-9]\d{0,8})$/.test(key) ? Number(key) : key));
}

function jsonPath(path: Path): string {
  const steps = path.map((key) =>
    typeof key === 'string' && /^[A-Za-z_]\w*$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`,
  );
  return `$${steps.join('')}`;
}
