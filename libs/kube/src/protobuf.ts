import { BodyError } from './body-error.ts';
import { ProtobufReader } from './protobuf-reader.ts';
import {
  compileMessage,
  type Field,
  type Message,
  messageNamed,
  messageOfKind,
  type ValueType,
} from './protobuf-schema.ts';
import type { Span } from './protobuf-wire.ts';

export type DecodedProtobuf =
  | {
      readonly kind: 'json';
      /** The object as JSON text, `apiVersion` and `kind` first. */
      readonly json: Buffer;
    }
  | {
      readonly kind: 'opaque';
      /** Its kind is not in the table; or it has fields that the table does not have, as of a newer Kubernetes. */
      readonly why: 'no-table' | 'unknown-fields';
      readonly apiVersion: string;
      readonly objectKind: string;
    };

/** Nesting of messages. No Kubernetes object comes near, and recursion must end. */
export const maxProtobufDepth = 64;

/**
 * Longest JSON, in UTF-16 units. The API server takes no longer body; two bytes of protobuf can stand for a hundred of
 * JSON, so there must be an end.
 */
export const maxProtobufJsonLength = 3 * 1024 * 1024;

/** What bodies begin with: `k8s` and a zero byte. */
const magic = Buffer.from('k8s\0');
const contentTypes: readonly string[] = ['', 'application/vnd.kubernetes.protobuf'];

const envelope = compileMessage([
  '1 typeMeta bytes',
  '2 raw bytes',
  '3 contentEncoding string',
  '4 contentType string',
]);
const typeMeta = compileMessage(['1 apiVersion string', '2 kind string']);
const mapEntry = compileMessage(['1 key string', '2 value bytes']);

/**
 * Reads a request body of type `application/vnd.kubernetes.protobuf`. The JSON is what Go's encoder writes for the same
 * object: of a field that is there more than once the last counts, messages are merged, integers are exact. Two things
 * are left as they came, for whoever reads the JSON: embedded JSON text, and a quantity that is not in its shortest form.
 * Work grows with the length of the body, and there is no more JSON than `maxProtobufJsonLength`.
 *
 * Throws `BodyError` where the API server would refuse the body or take less from it than is there: no magic number,
 * truncated, a wrong wire type, a group, `contentEncoding`, a foreign `contentType`, invalid UTF-8, embedded JSON that is
 * none, a time outside the years 1 to 9999, nested deeper than `maxProtobufDepth`.
 */
export function decodeProtobuf(body: Buffer): DecodedProtobuf {
  if (!body.subarray(0, magic.length).equals(magic) || body.length === magic.length) {
    throw new BodyError('it does not begin as a Kubernetes protobuf body');
  }
  return new Decoder(body).decode();
}

const absent: readonly Span[] = [];
/** What a map holds at a key whose entry has no value. */
const empty: Span = { wire: 2, start: 0, end: 0 };

/** The JSON of what Go leaves out with `omitempty`, and of a zero time. */
const zeroes: ReadonlySet<string> = new Set(['""', '0', 'false', 'null']);

/** Writes JSON while it reads. */
class Decoder {
  readonly #body: Span;
  readonly #reader: ProtobufReader;
  #json = '';
  #depth = 0;

  constructor(bytes: Buffer) {
    this.#body = { wire: 2, start: magic.length, end: bytes.length };
    this.#reader = new ProtobufReader(bytes);
  }

  decode(): DecodedProtobuf {
    const reader = this.#reader;
    const outer = reader.read(envelope, [this.#body]);
    const type = reader.read(typeMeta, outer.get(1) ?? absent);
    const [apiVersion, objectKind] = [reader.text(type.get(1)), reader.text(type.get(2))];
    if (reader.text(outer.get(3)) !== '') throw new BodyError('it has a contentEncoding');
    if (!contentTypes.includes(reader.text(outer.get(4)))) throw new BodyError('its contentType is not protobuf');
    const message = messageOfKind(apiVersion, objectKind);
    if (message === undefined) return { kind: 'opaque', why: 'no-table', apiVersion, objectKind };
    this.#write(`{"apiVersion":${JSON.stringify(apiVersion)},"kind":${JSON.stringify(objectKind)}`);
    this.#members(message, outer.get(2)?.slice(-1) ?? absent, ',');
    this.#write('}');
    if (reader.hasUnknownFields) return { kind: 'opaque', why: 'unknown-fields', apiVersion, objectKind };
    return { kind: 'json', json: Buffer.from(this.#json) };
  }

  /** Writes the members of an object; returns the separator that the next one needs. */
  #members(message: Message, spans: readonly Span[], separator: string): string {
    if (++this.#depth > maxProtobufDepth) throw new BodyError(`it is nested deeper than ${maxProtobufDepth}`);
    const values = this.#reader.read(message, spans);
    for (const field of message.fields) {
      const found = values.get(field.number) ?? absent;
      if (field.role === 'inline') {
        separator = this.#members(messageOf(field), found, separator);
      } else if (!field.omitsZero || !this.#isZero(field, found)) {
        this.#write(`${separator}${JSON.stringify(field.name)}:`);
        this.#field(field, found);
        separator = ',';
      }
    }
    this.#depth--;
    return separator;
  }

  #isZero({ holds, type }: Field, found: readonly Span[]): boolean {
    if (found.length === 0) return true;
    // Go never leaves out a struct.
    return holds === 'value' && typeof type === 'string' && zeroes.has(this.#reader.value(type, found));
  }

  #field(field: Field, found: readonly Span[]): void {
    if (field.holds === 'value') this.#one(field, found);
    else if (found.length === 0) this.#write('null');
    else if (field.holds === 'pointer') this.#one(field, found);
    else if (field.holds === 'list') this.#list(field, found);
    else this.#map(field, found);
  }

  #one(field: Field, found: readonly Span[]): void {
    if (typeof field.type === 'string') {
      this.#write(this.#reader.value(field.type, found));
      return;
    }
    const message = messageOf(field);
    if (message.fields[0]?.role === 'choice') {
      this.#choice(message, found);
      return;
    }
    this.#write('{');
    this.#members(message, found, '');
    this.#write('}');
  }

  #choice(message: Message, found: readonly Span[]): void {
    const values = this.#reader.read(message, found);
    const last = message.fields.at(-1);
    const field = message.fields.find((field) => field === last || values.has(field.number));
    if (field !== undefined) this.#field(field, values.get(field.number) ?? absent);
  }

  #list(field: Field, found: readonly Span[]): void {
    let separator = '[';
    for (const item of found) {
      this.#write(separator);
      this.#one(field, [item]);
      separator = ',';
    }
    this.#write(']');
  }

  #map(field: Field, found: readonly Span[]): void {
    const entries = new Map<string, Span>();
    for (const span of found) {
      const entry = this.#reader.read(mapEntry, [span]);
      entries.set(this.#reader.text(entry.get(1)), entry.get(2)?.at(-1) ?? empty);
    }
    let separator = '{';
    for (const [key, value] of entries) {
      this.#write(`${separator}${JSON.stringify(key)}:`);
      this.#one(field, [value]);
      separator = ',';
    }
    this.#write('}');
  }

  #write(text: string): void {
    this.#json += text;
    if (this.#json.length > maxProtobufJsonLength) throw new BodyError('its JSON is too long');
  }
}

function messageOf({ type }: Field): Message {
  return messageNamed((type as Exclude<Field['type'], ValueType>).message);
}
