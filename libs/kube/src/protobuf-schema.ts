import table from './protobuf-table.json' with { type: 'json' };
import type { WireType } from './protobuf-wire.ts';

/**
 * Types whose JSON is one value, with the wire type of each. Beside those of protobuf: `strings`, a Go list with a name
 * of its own, is a message around its items; `json` is a message around JSON text; the others are messages whose JSON is
 * a string, or a number.
 */
export const valueTypes = {
  bool: 0,
  int32: 0,
  int64: 0,
  double: 1,
  string: 2,
  bytes: 2,
  strings: 2,
  quantity: 2,
  time: 2,
  microTime: 2,
  intOrString: 2,
  json: 2,
} as const satisfies Record<string, WireType>;

export type ValueType = keyof typeof valueTypes;

export interface Field {
  readonly number: number;
  readonly name: string;
  /**
   * `member` has a name; the fields of an `inline` message stand among those around it; of a message's `choice` fields
   * JSON shows the value of the first that is there, or else of the last, without a name.
   */
  readonly role: 'member' | 'inline' | 'choice';
  readonly omitsZero: boolean;
  /** Keys of a map are strings. */
  readonly holds: 'value' | 'pointer' | 'list' | 'map';
  readonly type: ValueType | { readonly message: string };
  readonly wire: WireType;
}

export interface Message {
  /** In the order of the Go struct, which is that of its JSON. */
  readonly fields: readonly Field[];
  readonly byNumber: ReadonlyMap<number, Field>;
}

const messageLines: Readonly<Record<string, readonly string[]>> = table.messages;
const compiled = new Map<string, Message>();
const kinds = new Map(
  Object.entries(table.kinds).flatMap(([version, names]) =>
    names.map((name) => [`${version} ${name.slice(name.lastIndexOf('.') + 1)}`, name] as const),
  ),
);

/** The message of a kind; undefined if the table has none. */
export function messageOfKind(apiVersion: string, kind: string): Message | undefined {
  const name = kinds.get(`${apiVersion} ${kind}`) ?? kinds.get(`* ${kind}`);
  return name === undefined ? undefined : messageNamed(name);
}

/** A message that the table has. */
export function messageNamed(name: string): Message {
  let message = compiled.get(name);
  if (message === undefined) {
    message = compileMessage(messageLines[name] as readonly string[]);
    compiled.set(name, message);
  }
  return message;
}

/**
 * A message from its lines, one a field: `NUMBER NAME TYPE`. The name ends in `?` where Go leaves zero out, and is `.` for
 * an inline message and `|` for a choice. The type follows `*` for a pointer, `[]` for a list, `{}` for a map.
 */
export function compileMessage(lines: readonly string[]): Message {
  const fields = lines.map(compileField);
  return { fields, byNumber: new Map(fields.map((field) => [field.number, field])) };
}

const roles: Readonly<Record<string, Field['role']>> = { '.': 'inline', '|': 'choice' };
const holders = { '': 'value', '*': 'pointer', '[]': 'list', '{}': 'map' } as const;

function compileField(line: string): Field {
  const [, number, name = '', omits, holder, type = ''] = /^(\d+) (\S+?)(\??) (\*|\[\]|\{\}|)(\S+)$/.exec(line) ?? [];
  const holds = holders[holder as keyof typeof holders];
  return {
    number: Number(number),
    name,
    role: roles[name] ?? 'member',
    omitsZero: omits === '?',
    holds,
    type: isValueType(type) ? type : { message: type },
    wire: holds !== 'map' && isValueType(type) ? valueTypes[type] : 2,
  };
}

function isValueType(type: string): type is ValueType {
  return Object.hasOwn(valueTypes, type);
}
