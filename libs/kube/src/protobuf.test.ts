import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { BodyError } from './body-error.ts';
import { type DecodedProtobuf, decodeProtobuf, maxProtobufDepth } from './protobuf.ts';

interface Vector {
  readonly from: 'server' | 'kubectl' | 'go';
  readonly name: string;
  /** Base64. */
  readonly body: string;
  /** What those who wrote the body write for the same object as JSON; numbers are their text. */
  readonly json: unknown;
}

const vectorFile = readFileSync(new URL('./protobuf-vectors.json', import.meta.url), 'utf8');
const { vectors } = exactly(vectorFile) as { readonly vectors: readonly Vector[] };

/** Parses JSON with numbers as they are written, since some are beyond 2^53. */
function exactly(text: string): unknown {
  return JSON.parse(text, (_key, value: unknown, context?: { readonly source?: string }) =>
    typeof value === 'number' ? { number: context?.source } : value,
  );
}

/** Go's types used to write a creation time that is zero as null; those the table is made from leave it out. */
function withoutZeroCreation(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutZeroCreation);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key, member]) => key !== 'creationTimestamp' || member !== null)
      .map(([key, member]) => [key, withoutZeroCreation(member)]),
  );
}

function varint(value: bigint): Buffer {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, value);
  for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  return Buffer.from([...bytes, Number(rest)]);
}

/** A field with a length, or with a varint. */
function field(number: number, value: string | bigint | Buffer | readonly Buffer[]): Buffer {
  if (typeof value === 'bigint') return Buffer.concat([varint(BigInt(number * 8)), varint(value)]);
  const bytes = Array.isArray(value) ? Buffer.concat(value) : Buffer.from(value as string | Buffer);
  return Buffer.concat([varint(BigInt(number * 8 + 2)), varint(BigInt(bytes.length)), bytes]);
}

function envelope(apiVersion: string, kind: string, ...rest: readonly Buffer[]): Buffer {
  return Buffer.concat([Buffer.from('k8s\0'), field(1, [field(1, apiVersion), field(2, kind)]), ...rest]);
}

function body(apiVersion: string, kind: string, ...fields: readonly Buffer[]): Buffer {
  return envelope(apiVersion, kind, field(2, fields));
}

function jsonOf(decoded: DecodedProtobuf): string {
  assert.ok(decoded.kind === 'json', JSON.stringify(decoded));
  return decoded.json.toString();
}

function decode(apiVersion: string, kind: string, ...fields: readonly Buffer[]): Record<string, unknown> {
  return exactly(jsonOf(decodeProtobuf(body(apiVersion, kind, ...fields)))) as Record<string, unknown>;
}

const [zero, one, two] = ['0', '1', '2'].map((number) => ({ number }));

for (const { from, name, body, json } of vectors) {
  test(`reads ${name} as ${from} writes it in JSON`, () => {
    const decoded = exactly(jsonOf(decodeProtobuf(Buffer.from(body, 'base64'))));
    assert.deepEqual(decoded, withoutZeroCreation(json));
  });
}

test('there are vectors from an API server, from kubectl and from Go', () => {
  const count = (from: Vector['from']): number => vectors.filter((vector) => vector.from === from).length;
  assert.ok(count('server') >= 40 && count('kubectl') >= 20 && count('go') >= 20);
});

test('apiVersion and kind come first, and each once', () => {
  const json = jsonOf(decodeProtobuf(body('v1', 'Secret', field(1, [field(1, 's')]))));
  assert.match(json, /^\{"apiVersion":"v1","kind":"Secret","metadata":\{/);
  assert.equal(json.match(/"(apiVersion|kind)"/g)?.length, 2);
});

test('options are a kind of every group version, also of one without a table', () => {
  const options = decode('things.example/v3', 'DeleteOptions', field(1, 0n));
  assert.deepEqual(options, { apiVersion: 'things.example/v3', kind: 'DeleteOptions', gracePeriodSeconds: zero });
});

test('a kind that the table does not have is opaque', () => {
  assert.deepEqual(decodeProtobuf(body('things.example/v1', 'Thing', field(9, 'x'))), {
    kind: 'opaque',
    why: 'no-table',
    apiVersion: 'things.example/v1',
    objectKind: 'Thing',
  });
  assert.equal(decodeProtobuf(body('', '')).kind, 'opaque');
});

const unknown = { kind: 'opaque', why: 'unknown-fields', apiVersion: 'v1', objectKind: 'Pod' };
const unknownCases: readonly (readonly [what: string, body: Buffer])[] = [
  ['an object', body('v1', 'Pod', field(77, 'x'))],
  ['a message inside', body('v1', 'Pod', field(2, [field(2, [field(99, 0n)])]))],
  ['the entry of a map', body('v1', 'Pod', field(1, [field(11, [field(1, 'k'), field(3, 'v')])]))],
  ['a time', body('v1', 'Pod', field(1, [field(8, [field(3, 1n)])]))],
  ['the envelope', envelope('v1', 'Pod', field(2, ''), field(5, 'x'))],
];
for (const [what, bytes] of unknownCases) {
  test(`a field that the table does not have, in ${what}, makes the body opaque`, () => {
    assert.deepEqual(decodeProtobuf(bytes), unknown);
  });
}

test('of a scalar that is there twice the last counts, and a later zero does too', () => {
  const { metadata } = decode('v1', 'ConfigMap', field(1, [field(1, 'a'), field(1, 'b'), field(3, 'n'), field(3, '')]));
  assert.deepEqual(metadata, { name: 'b' });
});

test('a message that is there twice is merged', () => {
  const { spec } = decode(
    'v1',
    'Pod',
    field(2, [field(2, [field(1, 'a')])]),
    field(2, [field(2, [field(1, 'b')]), field(11, 1n)]),
  );
  const containers = ['a', 'b'].map((name) => ({ name, resources: {} }));
  assert.deepEqual(spec, { containers, hostNetwork: true });
});

test('of entries of a map with one key the last counts, and what is missing in an entry is empty', () => {
  const { data } = decode(
    'v1',
    'Secret',
    field(2, [field(1, 'k'), field(2, 'a')]),
    field(2, [field(2, 'b'), field(1, 'k')]),
    field(2, ''),
  );
  assert.deepEqual(data, { k: 'Yg==', '': '' });
});

test('a list of integers may be packed or not, or both', () => {
  const groups = [field(4, 1n), field(4, [varint(2n), varint(-1n)]), field(4, ''), field(4, 0n)];
  const { spec } = decode('v1', 'Pod', field(2, [field(14, groups)]));
  assert.deepEqual(spec, {
    containers: null,
    securityContext: { supplementalGroups: [one, two, { number: '-1' }, zero] },
  });
});

test('integers are exact, and cut to their size', () => {
  const revision = (value: bigint): unknown => decode('apps/v1', 'ControllerRevision', field(3, value))['revision'];
  assert.deepEqual(revision(2n ** 63n - 1n), { number: '9223372036854775807' });
  assert.deepEqual(revision(-(2n ** 63n)), { number: '-9223372036854775808' });
  const { value } = decode('scheduling.k8s.io/v1', 'PriorityClass', field(2, 2n ** 31n));
  assert.deepEqual(value, { number: '-2147483648' });
});

test('a pointer to nothing much is not nothing', () => {
  const { spec: policy } = decode(
    'networking.k8s.io/v1',
    'NetworkPolicy',
    field(2, [field(3, [field(1, [field(2, '')])])]),
  );
  assert.deepEqual(policy, { podSelector: {}, egress: [{ ports: [{ port: zero }] }] });
  const { spec } = decode('v1', 'Pod', field(2, [field(1, [field(1, 'v'), field(2, [field(2, '')])]), field(21, 0n)]));
  assert.deepEqual(spec, {
    containers: null,
    volumes: [{ name: 'v', emptyDir: {} }],
    automountServiceAccountToken: false,
  });
});

test('the zero time is null, and an empty message is it; the epoch is a time', () => {
  const times = (...time: readonly Buffer[]): readonly unknown[] => {
    const { firstTimestamp, eventTime } = decode('v1', 'Event', field(6, time), field(10, time));
    return [firstTimestamp, eventTime];
  };
  assert.deepEqual(times(), [null, null]);
  assert.deepEqual(times(field(1, -62_135_596_800n)), [null, null]);
  assert.deepEqual(times(field(1, 0n)), ['1970-01-01T00:00:00Z', '1970-01-01T00:00:00.000000Z']);
  const beforeEpoch = times(field(1, -1n), field(2, 999_999_999n));
  assert.deepEqual(beforeEpoch, ['1969-12-31T23:59:59Z', '1969-12-31T23:59:59.999999Z']);
});

/** A number in the schema of a CustomResourceDefinition, by its bits. */
function maximum(bits: bigint): Buffer {
  const double = Buffer.alloc(9, 0x49);
  double.writeBigUInt64LE(bits, 1);
  return body(
    'apiextensions.k8s.io/v1',
    'CustomResourceDefinition',
    field(2, [field(7, [field(4, [field(1, double)])])]),
  );
}

test('a double is written as Go writes it', () => {
  const doubles = [
    [0x3ff8000000000000n, '1.5'],
    [0x8000000000000000n, '-0'],
    [0x444b1ae4d6e2ef50n, '1e+21'],
    [0x3e7ad7f29abcaf48n, '1e-7'],
  ] as const;
  for (const [bits, text] of doubles) {
    assert.match(jsonOf(decodeProtobuf(maximum(bits))), new RegExp(`"maximum":${text.replace('+', '\\+')}}`));
  }
});

test('a quantity that is there and says nothing is 0', () => {
  const { spec } = decode('v1', 'ResourceQuota', field(2, [field(1, [field(1, 'cpu'), field(2, '')])]));
  assert.deepEqual(spec, { hard: { cpu: '0' } });
});

test('of two objects in one envelope the last counts, and they are not merged', () => {
  const twice = envelope('v1', 'Secret', field(2, [field(3, 'Opaque')]), field(2, [field(1, [field(1, 's')])]));
  assert.deepEqual(exactly(jsonOf(decodeProtobuf(twice))), {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 's' },
  });
});

test('embedded JSON stays as it is written', () => {
  const data = '{"b":1.0, "a":9007199254740993}';
  const json = jsonOf(decodeProtobuf(body('apps/v1', 'ControllerRevision', field(2, [field(1, data)]))));
  assert.ok(json.includes(`"data":${data},"revision":0`));
});

test('contentType may say protobuf', () => {
  const said = envelope('v1', 'Binding', field(2, ''), field(4, 'application/vnd.kubernetes.protobuf'));
  assert.equal(decodeProtobuf(said).kind, 'json');
});

/** CustomResourceDefinition with a schema in a schema in a schema. */
function nestedSchemas(count: number): Buffer {
  let schema = field(5, 'object');
  for (let i = 1; i < count; i++) schema = field(28, schema);
  return body(
    'apiextensions.k8s.io/v1',
    'CustomResourceDefinition',
    field(2, [field(7, [field(4, [field(1, schema)])])]),
  );
}

test('messages may nest to the limit', () => {
  // The object, its spec, the version and its validation are four.
  const json = jsonOf(decodeProtobuf(nestedSchemas(maxProtobufDepth - 4)));
  assert.equal(json.match(/"not":/g)?.length, maxProtobufDepth - 5);
});

const refused: readonly (readonly [what: string, body: Buffer])[] = [
  ['nothing', Buffer.alloc(0)],
  ['JSON', Buffer.from('{"apiVersion":"v1","kind":"Pod"}')],
  ['the magic number alone', Buffer.from('k8s\0')],
  ['a contentEncoding', envelope('v1', 'Pod', field(2, ''), field(3, 'gzip'))],
  ['a foreign contentType', envelope('v1', 'Pod', field(2, ''), field(4, 'application/json'))],
  ['a number for a string', body('v1', 'Pod', field(1, [field(1, 1n)]))],
  ['a string for a number', body('apps/v1', 'ControllerRevision', field(3, '1'))],
  ['four bytes for a message', body('v1', 'Pod', Buffer.from([0x0d, 1, 2, 3, 4]))],
  ['a number for the key of a map', body('v1', 'ConfigMap', field(2, [field(1, 1n)]))],
  ['a group', body('v1', 'Pod', Buffer.from([0x0b, 0x0c]))],
  ['a group that is unknown', body('v1', 'Pod', Buffer.from([0xfb, 0x07, 0xfc, 0x07]))],
  ['the end of a group', body('v1', 'Pod', Buffer.from([0x0c]))],
  ['wire type 6', body('v1', 'Pod', Buffer.from([0x7e]))],
  ['field number 0', body('v1', 'Pod', Buffer.from([0x02, 0]))],
  [
    'a field number that Go would cut to 1',
    body('v1', 'Pod', Buffer.concat([varint(2n ** 35n + 10n), Buffer.from([0])])),
  ],
  ['a varint of eleven bytes', body('v1', 'Pod', Buffer.from([0x78, ...Array<number>(10).fill(0x80), 0]))],
  ['a message that ends in a tag', body('v1', 'Pod', Buffer.from([0x80]))],
  ['eight bytes that are seven', body('v1', 'Pod', Buffer.from([0x79, 1, 2, 3, 4, 5, 6, 7]))],
  ['a length past the end', body('v1', 'Pod', Buffer.from([0x0a, 1]))],
  ['a length that Go would read as negative', body('v1', 'Pod', Buffer.concat([Buffer.from([0x0a]), varint(-1n)]))],
  ['a name that is not UTF-8', body('v1', 'Pod', field(1, [field(1, Buffer.from([0xff]))]))],
  [
    'a key that is half a surrogate pair',
    body('v1', 'ConfigMap', field(2, [field(1, Buffer.from([0xed, 0xa0, 0x80]))])),
  ],
  ['embedded text that is not JSON', body('apps/v1', 'ControllerRevision', field(2, [field(1, '{a:1}')]))],
  ['two embedded texts in one', body('apps/v1', 'ControllerRevision', field(2, [field(1, '{}{}')]))],
  [
    'a value neither integer nor string',
    body('apps/v1', 'DaemonSet', field(2, [field(3, [field(2, [field(1, [field(1, 2n)])])])])),
  ],
  ['a number that is none', maximum(0x7ff8000000000000n)],
  ['an infinite number', maximum(0xfff0000000000000n)],
  ['the year 10,000', body('v1', 'Event', field(6, [field(1, 253_402_300_800n)]))],
  ['the year 0', body('v1', 'Event', field(6, [field(1, -62_135_596_801n)]))],
  ['messages nested too deep', nestedSchemas(maxProtobufDepth - 3)],
  ['messages nested without end', nestedSchemas(20_000)],
  ['pods that would be more JSON than a body may have', body('v1', 'PodList', Buffer.alloc(200_000, field(2, '')))],
];
for (const [what, bytes] of refused) {
  test(`refuses ${what}`, () => assert.throws(() => decodeProtobuf(bytes), BodyError));
}

/** A linear congruential generator: the same mutations in every run. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

test('20,000 bodies that are broken in some way are refused, opaque or JSON, and nothing else', () => {
  const below = random(7);
  const bodies = vectors.map(({ body }) => Buffer.from(body, 'base64'));
  const outcomes = { json: 0, opaque: 0, refused: 0 };
  for (let i = 0; i < 20_000; i++) {
    const bytes = Buffer.from(bodies[below(bodies.length)] as Buffer);
    const other = bodies[below(bodies.length)] as Buffer;
    for (let changes = below(3); changes >= 0; changes--) bytes[below(bytes.length)] = below(256);
    const mutated = [bytes, bytes.subarray(0, below(bytes.length)), Buffer.concat([bytes, other.subarray(4)])][
      below(3)
    ] as Buffer;
    try {
      const decoded = decodeProtobuf(mutated);
      if (decoded.kind === 'json') JSON.parse(decoded.json.toString());
      outcomes[decoded.kind]++;
    } catch (error) {
      assert.ok(error instanceof BodyError, `body ${i}: ${String(error)}`);
      outcomes.refused++;
    }
  }
  // Each outcome is one that the mutations reach.
  assert.ok(Math.min(...Object.values(outcomes)) > 100, JSON.stringify(outcomes));
});
