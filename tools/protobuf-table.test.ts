import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { makeTable, type ProtobufTable, printTable } from './protobuf-table.ts';

const options = ['Create', 'Delete', 'Get', 'List', 'Patch', 'Update'].map((verb) => `${verb}Options`);

/** As little of meta.k8s.io as every table needs. */
const meta = {
  'k8s.io/apimachinery/pkg/apis/meta/v1/generated.proto': `package k8s.io.apimachinery.pkg.apis.meta.v1;
${options.map((name) => `message ${name} {\n}\n`).join('')}
message ObjectMeta {
  optional string name = 1;

  optional Time creationTimestamp = 8;
}
message Time {
  optional int64 seconds = 1;
}
`,
  'k8s.io/apimachinery/pkg/apis/meta/v1/types.go': `package v1
${options.map((name) => `type ${name} struct{}\n`).join('')}
type ObjectMeta struct {
	Name string \`json:"name,omitempty" protobuf:"bytes,1,opt,name=name"\`
	CreationTimestamp Time \`json:"creationTimestamp,omitempty,omitzero" protobuf:"bytes,8,opt,name=creationTimestamp"\`
}
func (t Time) MarshalJSON() ([]byte, error) {
`,
};

const register = `package v1
const GroupName = "shop.example"
	scheme.AddKnownTypes(SchemeGroupVersion,
		&Order{},
		&Table{},
	)
`;

/** The table of a group with these definitions, beside meta.k8s.io. */
function tableOf(proto: string, go: string): ProtobufTable {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-protobuf-table-'));
  try {
    const files: Readonly<Record<string, string>> = {
      ...meta,
      'k8s.io/api/shop/v1/generated.proto': `syntax = "proto2";\npackage k8s.io.api.shop.v1;\n${proto}`,
      'k8s.io/api/shop/v1/types.go': go,
      'k8s.io/api/shop/v1/register.go': register,
    };
    for (const [file, text] of Object.entries(files)) {
      mkdirSync(dirname(join(folder, file)), { recursive: true });
      writeFileSync(join(folder, file), text);
    }
    mkdirSync(join(folder, 'usr/share/doc/shop-dev'), { recursive: true });
    const changelog = gzipSync('shop (1.2-3) unstable; urgency=medium\n');
    writeFileSync(join(folder, 'usr/share/doc/shop-dev/changelog.Debian.gz'), changelog);
    return makeTable(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const orderProto = `
// An order; this message { is a comment }.
message Order {
  // Standard metadata.
  optional .k8s.io.apimachinery.pkg.apis.meta.v1.ObjectMeta metadata = 1;

  optional int32 count = 2;

  optional Address to = 3;

  optional Address from = 4;

  map<string, Tags> tags = 5;

  repeated .k8s.io.apimachinery.pkg.apis.meta.v1.Time times = 6;

  optional Source source = 7;
}
message Address {
  optional string street = 1;
}
message Source {
  optional bytes raw = 1;
}
message Tags {
  // items, if empty, will result in an empty slice
  repeated string items = 1;
}
message Unreached {
  optional string x = 1;
}
`;

const orderGo = `package v1
import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
type Order struct {
	metav1.TypeMeta \`json:",inline"\`
	// Standard metadata.
	metav1.ObjectMeta \`json:"metadata,omitempty" protobuf:"bytes,1,opt,name=metadata"\`
	From *Address \`json:"sender,omitempty" protobuf:"bytes,4,opt,name=from"\`
	Count int32 \`json:"count,omitempty" protobuf:"varint,2,opt,name=count"\`
	To Address \`json:"to,omitempty" protobuf:"bytes,3,opt,name=to"\`
	Tags map[string]Tags \`json:"tags" protobuf:"bytes,5,rep,name=tags"\`
	Times []metav1.Time \`json:"times,omitempty" protobuf:"bytes,6,rep,name=times"\`
	Source \`json:",inline" protobuf:"bytes,7,opt,name=source"\`
}
type Address struct {
	Street string \`json:"street" protobuf:"bytes,1,opt,name=street"\`
}
type Source struct {
	Raw []byte \`json:"raw,omitempty" protobuf:"bytes,1,opt,name=raw"\`
}
type Tags []string
`;

test('a message has its fields in the order of the Go struct, by their names in JSON', () => {
  assert.deepEqual(tableOf(orderProto, orderGo).messages['shop.v1.Order'], [
    '1 metadata meta.v1.ObjectMeta',
    '4 sender? *shop.v1.Address',
    '2 count? int32',
    '3 to shop.v1.Address',
    '5 tags {}strings',
    '6 times? []time',
    '7 . shop.v1.Source',
  ]);
});

test('a zero time is left out only where Go says omitzero', () => {
  const { messages } = tableOf(orderProto, orderGo);
  assert.deepEqual(messages['meta.v1.ObjectMeta'], [
    '1 name? string',
    '8 creationTimestamp? time',
    '15 clusterName? string',
  ]);
});

test('the table holds the kinds that are registered and have messages, and what they speak of', () => {
  const { kinds, messages, madeFrom } = tableOf(orderProto, orderGo);
  const ofAny = options.map((name) => `meta.v1.${name}`);
  assert.deepEqual(kinds, { '*': ofAny, 'shop.example/v1': ['shop.v1.Order'] });
  const named = [...ofAny, 'meta.v1.ObjectMeta', 'shop.v1.Address', 'shop.v1.Order', 'shop.v1.Source'];
  assert.deepEqual(Object.keys(messages), named.toSorted());
  assert.deepEqual(madeFrom, ['shop-dev 1.2-3']);
});

const refused: readonly (readonly [what: string, proto: string, go: string])[] = [
  ['a field that the Go struct lacks', orderProto.replace('street = 1', 'road = 9'), orderGo],
  ['JSON written by hand', orderProto, `${orderGo}func (a Address) MarshalJSON() ([]byte, error) {\n`],
  ['a message that is not defined', orderProto.replace('message Address', 'message Place'), orderGo],
  ['a number as a string', orderProto, orderGo.replace('count,omitempty', 'count,omitempty,string')],
  ['a zero struct that is left out', orderProto, orderGo.replace('to,omitempty', 'to,omitzero')],
  ['a field that JSON does not show', orderProto, orderGo.replace('json:"street"', 'json:"-"')],
];
for (const [what, proto, go] of refused) {
  test(`there is no table where definitions have ${what}`, () => {
    assert.throws(() => tableOf(proto, go), /^Error: k8s\.io\.api\.shop\.v1\.\w+ (has|is|omits|quotes)/);
  });
}

test('what is printed is the table, one message a line', () => {
  const table = tableOf(orderProto, orderGo);
  const text = printTable(table);
  assert.deepEqual(JSON.parse(text), table);
  assert.ok(text.split('\n').includes('    "shop.v1.Address": ["1 street string"],'));
});

test('the table that is in use mentions no message it does not have', () => {
  const file = join(import.meta.dirname, '../libs/kube/src/protobuf-table.json');
  const { kinds, messages } = JSON.parse(readFileSync(file, 'utf8')) as ProtobufTable;
  const lines = Object.values(messages).flat();
  const mentioned = lines
    .map((line) => line.replace(/^\d+ \S+ (?:\*|\[\]|\{\})?/, ''))
    .filter((type) => type.includes('.'));
  const missing = new Set([...Object.values(kinds).flat(), ...mentioned]).difference(new Set(Object.keys(messages)));
  assert.deepEqual([...missing], []);
  assert.ok(mentioned.length > 1000);
});
