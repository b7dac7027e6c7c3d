import { isUtf8 } from 'node:buffer';
import { BodyError } from './body-error.ts';
import { compileMessage, type Message, type ValueType } from './protobuf-schema.ts';
import { eachField, integer, type Span, unpacked } from './protobuf-wire.ts';

/** The values of each field of a message, in their order. */
export type Values = ReadonlyMap<number, readonly Span[]>;

const timestamp = compileMessage(['1 seconds int64', '2 nanos int32']);
const intOrString = compileMessage(['1 type int64', '2 intVal int32', '3 strVal string']);
const quantity = compileMessage(['1 string string']);
const embeddedJson = compileMessage(['1 raw bytes']);
const stringItems = compileMessage(['1 items []string']);

const microsPerSecond = 1_000_000n;
/** The first second of the year 1, which is Go's zero time, and of the year 10,000, which RFC 3339 cannot write. */
const zeroTimeMicros = BigInt(Date.parse('0001-01-01T00:00:00Z')) * 1000n;
const year10000Micros = BigInt(Date.parse('9999-12-31T23:59:59Z') + 1000) * 1000n;

/**
 * Finds the fields of messages, and reads the values in them. The bytes of two messages one after the other are the bytes
 * of both merged (the encoding is made so): a message is the list of the spans it was found in. What a later value
 * replaces is not looked into. Every method throws `BodyError`.
 */
export class ProtobufReader {
  /** Whether `read` met a field that its message does not have. */
  hasUnknownFields = false;
  readonly #bytes: Buffer;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  read(message: Message, spans: readonly Span[]): Values {
    const values = new Map<number, Span[]>();
    for (const span of spans) {
      eachField(this.#bytes, span, (number, value) => {
        const field = message.byNumber.get(number);
        if (field === undefined) {
          this.hasUnknownFields = true;
          return;
        }
        const found = values.get(number) ?? [];
        values.set(number, found);
        if (value.wire === field.wire) found.push(value);
        else if (value.wire === 2 && field.wire === 0 && field.holds === 'list') {
          for (const item of unpacked(this.#bytes, value)) found.push(item);
        } else throw new BodyError(`wire type ${value.wire} for ${field.name}`);
      });
    }
    return values;
  }

  /** The JSON of a value that is none of the table's messages; of zero where nothing was found. */
  value(type: ValueType, found: readonly Span[]): string {
    const last = found.at(-1);
    switch (type) {
      case 'bool':
        return String(this.#integer(found, 64) !== 0n);
      case 'int32':
        return String(this.#integer(found, 32));
      case 'int64':
        return String(this.#integer(found, 64));
      case 'double':
        return this.#double(last);
      case 'string':
        return JSON.stringify(this.text(found));
      case 'bytes':
        return last === undefined ? 'null' : `"${this.#bytes.toString('base64', last.start, last.end)}"`;
      case 'strings':
        return last === undefined ? 'null' : this.#strings(this.read(stringItems, found).get(1));
      case 'quantity':
        return JSON.stringify(this.text(this.read(quantity, found).get(1), '0'));
      case 'time':
      case 'microTime':
        return last === undefined || last.start === last.end ? 'null' : this.#time(type, last);
      case 'intOrString':
        return this.#intOrString(this.read(intOrString, found));
      case 'json':
        return this.#embeddedJson(this.read(embeddedJson, found).get(1));
    }
  }

  #integer(found: readonly Span[] | undefined, bits: 32 | 64): bigint {
    const last = found?.at(-1);
    return last === undefined ? 0n : integer(this.#bytes, last, bits);
  }

  #double(span: Span | undefined): string {
    const value = span === undefined ? 0 : this.#bytes.readDoubleLE(span.start);
    if (!Number.isFinite(value)) throw new BodyError(`JSON has no ${value}`);
    return Object.is(value, -0) ? '-0' : String(value);
  }

  /** The last of these strings. */
  text(found: readonly Span[] | undefined, otherwise = ''): string {
    const last = found?.at(-1);
    if (last === undefined) return otherwise;
    if (!isUtf8(this.#bytes.subarray(last.start, last.end))) throw new BodyError(`not UTF-8 at byte ${last.start}`);
    return this.#bytes.toString('utf8', last.start, last.end);
  }

  #strings(items: readonly Span[] = []): string {
    return `[${items.map((item) => JSON.stringify(this.text([item]))).join(',')}]`;
  }

  /** Go's `Time` drops fractions of a second, its `MicroTime` those of a microsecond; the zero of both is `null`. */
  #time(type: 'time' | 'microTime', span: Span): string {
    const values = this.read(timestamp, [span]);
    const nanos = type === 'time' ? 0n : this.#integer(values.get(2), 32);
    const micros = this.#integer(values.get(1), 64) * microsPerSecond + nanos / 1000n;
    if (micros === zeroTimeMicros) return 'null';
    if (micros < zeroTimeMicros || micros >= year10000Micros)
      throw new BodyError(`a time at byte ${span.start} is out of range`);
    const fraction = (micros - zeroTimeMicros) % microsPerSecond;
    const seconds = new Date(Number((micros - fraction) / 1000n)).toISOString().slice(0, -'.000Z'.length);
    return type === 'time' ? `"${seconds}Z"` : `"${seconds}.${String(fraction).padStart(6, '0')}Z"`;
  }

  #intOrString(values: Values): string {
    const type = this.#integer(values.get(1), 64);
    if (type === 0n) return String(this.#integer(values.get(2), 32));
    if (type === 1n) return JSON.stringify(this.text(values.get(3)));
    throw new BodyError('a value is neither integer nor string');
  }

  #embeddedJson(found: readonly Span[] | undefined): string {
    const text = this.text(found);
    if (text === '') return 'null';
    try {
      JSON.parse(text);
    } catch {
      throw new BodyError('it embeds what is not JSON');
    }
    return text;
  }
}
