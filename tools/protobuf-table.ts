// Makes the table by which protobuf bodies are read (libs/kube/src/protobuf-table.json) from the definitions that
// Kubernetes publishes. `npm run protobuf-table` fetches the packages that hold them and runs this:
//
//   node tools/protobuf-table.ts FOLDER       FOLDER: where the packages are unpacked
//
// Only facts are taken over: kinds, messages, and of each field its number, its name in JSON and its type. The form of
// the table is described where it is read, in libs/kube/src/protobuf-schema.ts.
import { globSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { gunzipSync } from 'node:zlib';

export interface ProtobufTable {
  /** The packages, with their versions. */
  readonly madeFrom: readonly string[];
  /** By group version, and `*` for any: the messages of its kinds. A message has the name of its kind. */
  readonly kinds: Readonly<Record<string, readonly string[]>>;
  readonly messages: Readonly<Record<string, readonly string[]>>;
}

/** Messages whose JSON is written by hand in Go: the decoder has a name for each such form. */
const writtenByHand: Readonly<Record<string, string>> = {
  'k8s.io.apimachinery.pkg.api.resource.Quantity': 'quantity',
  'k8s.io.apimachinery.pkg.apis.meta.v1.FieldsV1': 'json',
  'k8s.io.apimachinery.pkg.apis.meta.v1.MicroTime': 'microTime',
  'k8s.io.apimachinery.pkg.apis.meta.v1.Time': 'time',
  'k8s.io.apimachinery.pkg.runtime.RawExtension': 'json',
  'k8s.io.apimachinery.pkg.util.intstr.IntOrString': 'intOrString',
  'k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1.JSON': 'json',
  'k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1beta1.JSON': 'json',
};

/** Messages of which JSON shows one field alone: the last that is there. */
const oneOfItsFields = /\.apiextensions\.v1(beta1)?\.JSONSchemaPropsOr(Array|Bool|StringArray)$/;

/** What was taken out of a message and old clients still send: they write this name always, and it is empty. */
const removedFields: Readonly<Record<string, readonly string[]>> = {
  'k8s.io.apimachinery.pkg.apis.meta.v1.ObjectMeta': ['15 clusterName? string'],
};

/** Kinds that every group version has. */
const ofAnyVersion = [
  'CreateOptions',
  'DeleteOptions',
  'GetOptions',
  'ListOptions',
  'PatchOptions',
  'UpdateOptions',
] as const;
const metaPackage = 'k8s.io.apimachinery.pkg.apis.meta.v1';

/** Scalars that occur in the definitions. */
const scalars: ReadonlySet<string> = new Set(['string', 'bytes', 'bool', 'int32', 'int64', 'double']);

/** Makes the table from the packages unpacked under `folder`. Throws where they hold what the decoder does not know. */
export function makeTable(folder: string): ProtobufTable {
  const packages = globSync('**/generated.proto', { cwd: folder })
    .filter((file) => !file.includes('testapigroup'))
    .toSorted()
    .map((file) => readPackage(join(folder, dirname(file))));
  const definitions = new Map(packages.flatMap(({ messages }) => messages.map((message) => [message.name, message])));
  const kinds = kindsOf(packages, definitions);
  const messages = new Map<string, readonly string[]>();
  const pending = [...kinds.values()].flat();
  for (const name of pending) {
    if (messages.has(short(name))) continue;
    const { lines, mentions } = linesOf(defined(definitions, name), definitions);
    messages.set(short(name), [...lines, ...(removedFields[name] ?? [])]);
    pending.push(...mentions);
  }
  return {
    madeFrom: packageVersions(folder),
    kinds: sorted([...kinds].map(([version, names]) => [version, names.map(short).toSorted()])),
    messages: sorted([...messages]),
  };
}

/** JSON of one kind or message a line, so that a new version can be compared with the last. */
export function printTable({ madeFrom, kinds, messages }: ProtobufTable): string {
  const rows = (record: object, indent: string): string =>
    Object.entries(record)
      .map(([name, value]) => `${indent}${JSON.stringify(name)}: ${JSON.stringify(value)}`)
      .join(',\n');
  return `{
  "madeFrom": ${JSON.stringify(madeFrom)},
  "kinds": {\n${rows(kinds, '    ')}\n  },
  "messages": {\n${rows(messages, '    ')}\n  }
}\n`;
}

interface Message {
  /** Fully qualified, without the leading dot. */
  readonly name: string;
  readonly fields: ReadonlyMap<number, ProtoField>;
  /** The fields of the Go struct of the same name, or the message whose struct it shares; undefined where it is none. */
  readonly struct: readonly GoField[] | string | undefined;
  /** Whether the Go type has JSON of its own making. */
  readonly writesJson: boolean;
}

interface ProtoField {
  readonly repeated: boolean;
  readonly map: boolean;
  /** A scalar, or the full name of a message; of a map, that of its values. */
  readonly type: string;
}

interface GoField {
  readonly number: number;
  readonly pointer: boolean;
  readonly embedded: boolean;
  /** Of its `json` tag; undefined where it has none. */
  readonly json: { readonly name: string; readonly options: readonly string[] } | undefined;
}

interface Package {
  readonly name: string;
  readonly groupVersion: string | undefined;
  readonly registered: readonly string[];
  readonly messages: readonly Message[];
}

function readPackage(folder: string): Package {
  const proto = withoutComments(readFileSync(join(folder, 'generated.proto'), 'utf8'));
  const name = matched(/^package ([\w.]+);/m, proto);
  const go = globSync('*.go', { cwd: folder, exclude: ['*_test.go', 'generated*', 'zz_generated*'] })
    .toSorted()
    .map((file) => withoutComments(readFileSync(join(folder, file), 'utf8')))
    .join('\n');
  const structs = new Map(
    [...go.matchAll(/^type (\w+) struct ?\{(?:\}|\n(.*?)^\})/gms)].map(([, own = '', body = '']) => [own, body]),
  );
  const messages = [...proto.matchAll(/^message (\w+) \{\n(.*?)^\}/gms)].map(([, own = '', body = '']): Message => {
    const struct = structs.get(own);
    return {
      name: `${name}.${own}`,
      fields: new Map([...body.matchAll(protoField)].map((field) => readProtoField(field, name))),
      struct: struct === undefined ? sharedStruct(own, go) : [...struct.matchAll(goField)].map(readGoField),
      writesJson: new RegExp(`^func \\(\\w+ \\*?${own}\\) MarshalJSON\\(\\)`, 'm').test(go),
    };
  });
  const group = /GroupName\s*=\s*"(.*)"/.exec(go)?.[1];
  return {
    name,
    groupVersion: group === undefined ? undefined : [...(group === '' ? [] : [group]), basename(folder)].join('/'),
    registered: [
      ...go.matchAll(/^\s+(?:scheme\.AddKnownTypes\(SchemeGroupVersion, )?&((?:metav1\.)?\w+)\{\}[,)]/gm),
    ].map(([, kind = '']) => kind),
    messages,
  };
}

/** The message of another package whose Go type this one is made from. */
function sharedStruct(type: string, go: string): string | undefined {
  const [, alias, other] = new RegExp(`^type ${type} (\\w+)\\.(\\w+)$`, 'm').exec(go) ?? [];
  if (alias === undefined) return undefined;
  const path = matched(new RegExp(`^\\s*(?:import )?${alias} "(.*)"$`, 'm'), go);
  return `${path.replaceAll('/', '.').replaceAll('-', '_')}.${other}`;
}

const protoField = /^ {2}(optional |repeated |map<string, ([\w.]+)> )(?:([\w.]+) )?\w+ = (\d+);/gm;

function readProtoField(match: RegExpExecArray, from: string): [number, ProtoField] {
  const [, label = '', ofMap, ofField = ''] = match;
  const type = ofMap ?? ofField;
  const full = scalars.has(type) ? type : type.startsWith('.') ? type.slice(1) : `${from}.${type}`;
  return [Number(match[4]), { repeated: label === 'repeated ', map: ofMap !== undefined, type: full }];
}

const goField = /^\t(?:(\w+)[ \t]+)?([^\s`]+)[ \t]+`(.*protobuf:"\w+,(\d+)[,"].*)`/gm;

function readGoField([, name, type = '', tags = '', number]: RegExpExecArray): GoField {
  const json = /json:"([^"]*)"/.exec(tags)?.[1]?.split(',');
  return {
    number: Number(number),
    pointer: type.startsWith('*'),
    embedded: name === undefined,
    json: json === undefined ? undefined : { name: json[0] as string, options: json.slice(1) },
  };
}

/** By group version: the full names of the messages of its kinds. */
function kindsOf(packages: readonly Package[], definitions: ReadonlyMap<string, Message>): Map<string, string[]> {
  const kinds = new Map([['*', ofAnyVersion.map((kind) => `${metaPackage}.${kind}`)]]);
  for (const { name, groupVersion, registered } of packages) {
    if (groupVersion === undefined) continue;
    const messages = registered
      .map((type) => (type.startsWith('metav1.') ? type.replace('metav1', metaPackage) : `${name}.${type}`))
      // A kind without a message (Table) has no protobuf.
      .filter((message) => definitions.has(message));
    kinds.set(groupVersion, messages);
  }
  return kinds;
}

/** A message as the table has it, and the messages it speaks of. */
function linesOf(message: Message, definitions: ReadonlyMap<string, Message>): { lines: string[]; mentions: string[] } {
  const mentions: string[] = [];
  const isOneOf = oneOfItsFields.test(message.name);
  if (message.writesJson && !isOneOf) refuse(message.name, 'has JSON of its own making');
  const known = structOf(message, definitions).filter(({ number }) => message.fields.has(number));
  if (known.length !== message.fields.size) refuse(message.name, 'has fields that the struct lacks');
  // The last that is there comes first.
  const ordered = isOneOf ? known.toSorted((left, right) => right.number - left.number) : known;
  const lines = ordered.map((field) => {
    const proto = message.fields.get(field.number) as ProtoField;
    const form = formOf(proto.type, definitions);
    if (form === undefined) mentions.push(proto.type);
    const name = isOneOf ? '|' : jsonName(message, field, proto);
    const holder = proto.map ? '{}' : proto.repeated ? '[]' : field.pointer ? '*' : '';
    return `${field.number} ${name} ${holder}${form ?? short(proto.type)}`;
  });
  return { lines, mentions };
}

function structOf({ name, struct }: Message, definitions: ReadonlyMap<string, Message>): readonly GoField[] {
  if (typeof struct === 'string') return structOf(defined(definitions, struct), definitions);
  return struct ?? refuse(name, 'is not a struct');
}

/** The decoder's word for a type that is no message of the table. */
function formOf(type: string, definitions: ReadonlyMap<string, Message>): string | undefined {
  if (scalars.has(type)) return type;
  const byHand = writtenByHand[type];
  if (byHand !== undefined) return byHand;
  const { struct, fields } = defined(definitions, type);
  // A Go list with a name of its own is a message with `items`.
  const items = fields.get(1);
  if (struct === undefined && fields.size === 1 && items?.repeated && items.type === 'string') return 'strings';
  return undefined;
}

/** The name; `.` for the fields of a message that stand among those around it; with `?` where zero is left out. */
function jsonName(message: Message, { json, embedded, pointer }: GoField, proto: ProtoField): string {
  if (json === undefined || json.name === '-') return refuse(message.name, 'has a field that JSON does not show');
  if (json.name === '') return embedded && !pointer ? '.' : refuse(message.name, 'has a field without a name');
  // Of a struct Go leaves out none with `omitempty`, and a zero one with `omitzero`.
  const isStruct = !scalars.has(proto.type) && !pointer && !proto.repeated && !proto.map;
  const omitsZeroStruct = json.options.includes('omitzero');
  if (omitsZeroStruct && writtenByHand[proto.type] !== 'time') refuse(message.name, 'omits a zero struct');
  const omitsZero = isStruct ? omitsZeroStruct : json.options.includes('omitempty');
  if (json.options.includes('string')) refuse(message.name, 'quotes a number');
  return omitsZero ? `${json.name}?` : json.name;
}

/** `core.v1.Pod`: nothing in the table shares its last three parts with another. */
function short(name: string): string {
  return name.split('.').slice(-3).join('.');
}

function sorted<Value>(entries: readonly (readonly [string, Value])[]): Record<string, Value> {
  return Object.fromEntries(entries.toSorted(([left], [right]) => (left < right ? -1 : 1)));
}

function defined(definitions: ReadonlyMap<string, Message>, name: string): Message {
  return definitions.get(name) ?? refuse(name, 'is not defined');
}

function packageVersions(folder: string): string[] {
  return globSync('**/usr/share/doc/*/changelog.Debian.gz', { cwd: folder })
    .toSorted()
    .map((file) => {
      const version = matched(/^\S+ \((\S+)\)/, gunzipSync(readFileSync(join(folder, file))).toString());
      return `${basename(dirname(file))} ${version}`;
    });
}

function withoutComments(text: string): string {
  return text.replaceAll(/\/\*.*?\*\//gs, '').replaceAll(/^\s*\/\/.*$/gm, '');
}

function matched(pattern: RegExp, text: string): string {
  return pattern.exec(text)?.[1] ?? refuse('a definition', `lacks ${pattern.source}`);
}

function refuse(name: string, why: string): never {
  throw new Error(`${name} ${why}`);
}

if (import.meta.main) {
  const folder = process.argv[2];
  if (folder === undefined) throw new Error('usage: node tools/protobuf-table.ts FOLDER');
  const table = makeTable(folder);
  const file = join(import.meta.dirname, '../libs/kube/src/protobuf-table.json');
  writeFileSync(file, printTable(table));
  console.log(`${Object.keys(table.messages).length} messages from ${table.madeFrom.join(', ')}`);
}
