import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { HeldCall } from './held-call.ts';
import { JsonError } from './json.ts';
import { requestAttributes } from './request-info.ts';
import { type Shape, shapeOf } from './shape.ts';
import { parseTarget } from './target.ts';

const web = '/apis/apps/v1/namespaces/shop/deployments/web';
const pods = '/api/v1/namespaces/shop/pods';
const widget = '/apis/rig.example/v1/namespaces/shop/widgets/a';
const restart = 'kubectl.kubernetes.io/restartedAt';
const morning = '2026-01-01T08:00:00Z';
const evening = '2026-01-01T20:00:00+01:00';

interface Try {
  readonly method?: string;
  readonly target?: string;
  readonly kind?: HeldCall['kind'];
  readonly contentType?: string;
  /** A text is the body itself; anything else, its value. */
  readonly body?: unknown;
}

function shape({ method = 'PUT', target: raw = web, kind = 'json', contentType = '', body = {} }: Try): Shape {
  const target = parseTarget(raw);
  const attributes = requestAttributes(method, target);
  assert.ok(attributes !== null);
  const bytes = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
  return shapeOf({ attributes, method, target, kind, contentType, body: bytes });
}

const annotated = (value: unknown): unknown => ({ metadata: { annotations: { [restart]: value } } });

/** Two tries of one command, and what differs between them. */
const same: readonly (readonly [name: string, one: Try, other: Try, mayDiffer: readonly string[]])[] = [
  ['the order of keys', { body: { a: 1, b: { c: 2, d: 3 } } }, { body: { b: { d: 3, c: 2 }, a: 1 } }, []],
  ['white space and escapes', { body: '{"a":"é/\\n"}' }, { body: ' { "a" : "\\u00e9\\/\\u000a" } ' }, []],
  [
    'what the server gives an object',
    {
      body: {
        metadata: {
          resourceVersion: '7',
          uid: 'a-1',
          generation: 1,
          creationTimestamp: morning,
          managedFields: [{ manager: 'x' }],
          selfLink: '/a',
        },
      },
    },
    {
      body: {
        metadata: {
          resourceVersion: '8',
          uid: 'b-2',
          generation: 2,
          creationTimestamp: evening,
          managedFields: [{ manager: 'y' }, {}],
          selfLink: '/b',
        },
      },
    },
    ['resourceVersion', 'uid', 'generation', 'creationTimestamp', 'managedFields', 'selfLink'].map(
      (field) => `$.metadata.${field}`,
    ),
  ],
  [
    'an exec over WebSocket and over SPDY',
    { method: 'GET', target: `${pods}/web/exec?command=ls&command=%2F`, kind: 'none', body: '' },
    { method: 'POST', target: `${pods}/web/exec?command=ls&command=%2F`, kind: 'none', body: '' },
    [],
  ],
  [
    'an attach over WebSocket and over SPDY',
    { method: 'GET', target: `${pods}/web/attach?stdin=true`, kind: 'none', body: '' },
    { method: 'POST', target: `${pods}/web/attach?stdin=true`, kind: 'none', body: '' },
    [],
  ],
  [
    'a port-forward over WebSocket and over SPDY',
    { method: 'GET', target: `${pods}/web/portforward`, kind: 'none', body: '' },
    { method: 'POST', target: `${pods}/web/portforward`, kind: 'none', body: '' },
    [],
  ],
  [
    'the time of a restart',
    { method: 'PATCH', body: { spec: { template: annotated(morning) } } },
    { method: 'PATCH', body: { spec: { template: annotated(evening) } } },
    [`$.spec.template.metadata.annotations["${restart}"]`],
  ],
  [
    'the time of a restart, on the object',
    { body: annotated(morning) },
    { body: annotated(evening) },
    [`$.metadata.annotations["${restart}"]`],
  ],
  [
    'the time of a restart, in the template of a job',
    { body: { spec: { jobTemplate: { spec: { template: annotated(morning) } } } } },
    { body: { spec: { jobTemplate: { spec: { template: annotated(evening) } } } } },
    [`$.spec.jobTemplate.spec.template.metadata.annotations["${restart}"]`],
  ],
  [
    'the status that a PUT of the whole sends back',
    { body: { status: { replicas: 1 } } },
    { body: { status: { replicas: 2, conditions: [] } } },
    ['$.status'],
  ],
  [
    'the end of the name that kubectl debug makes up for a pod on a node',
    { method: 'POST', target: pods, body: { metadata: { name: 'node-debugger-n-1-bcdfg' } } },
    { method: 'POST', target: pods, body: { metadata: { name: 'node-debugger-n-1-24567' } } },
    ['$.metadata.name'],
  ],
  [
    'the name that kubectl debug makes up for a container',
    {
      method: 'PATCH',
      target: `${pods}/a/ephemeralcontainers`,
      body: {
        spec: {
          '$setElementOrder/ephemeralContainers': [{ name: 'debugger-bcdfg' }],
          ephemeralContainers: [{ image: 'i', name: 'debugger-bcdfg' }],
        },
      },
    },
    {
      method: 'PATCH',
      target: `${pods}/a/ephemeralcontainers`,
      body: {
        spec: {
          '$setElementOrder/ephemeralContainers': [{ name: 'debugger-24567' }],
          ephemeralContainers: [{ image: 'i', name: 'debugger-24567' }],
        },
      },
    },
    ['$.spec["$setElementOrder/ephemeralContainers"][0].name', '$.spec.ephemeralContainers[0].name'],
  ],
  [
    'values in a JSON patch, whichever comes first of path and value',
    {
      method: 'PATCH',
      kind: 'json-patch',
      body: [
        { op: 'test', path: '/metadata/resourceVersion', value: '7' },
        { value: { [restart]: morning }, path: '/spec/template/metadata/annotations', op: 'add' },
      ],
    },
    {
      method: 'PATCH',
      kind: 'json-patch',
      body: [
        { path: '/metadata/resourceVersion', op: 'test', value: '8' },
        { op: 'add', path: '/spec/template/metadata/annotations', value: { [restart]: evening } },
      ],
    },
    ['$[0].value', `$[1].value["${restart}"]`],
  ],
  [
    'an annotation by a JSON pointer with an escape',
    {
      method: 'PATCH',
      kind: 'json-patch',
      body: [{ op: 'add', path: `/metadata/annotations/${restart.replace('/', '~1')}`, value: morning }],
    },
    {
      method: 'PATCH',
      kind: 'json-patch',
      body: [{ op: 'add', path: `/metadata/annotations/${restart.replace('/', '~1')}`, value: evening }],
    },
    ['$[0].value'],
  ],
  ['for how long the client waits', { target: `${web}?timeout=30s&a=b` }, { target: `${web}?a=b&timeout=1m` }, []],
  ['how the target is written', { target: `${web}?a=%62` }, { target: `${web}?a=b` }, []],
];

for (const [name, one, other, mayDiffer] of same) {
  test(`two tries may differ in ${name}`, () => {
    const shapes = [shape(one), shape(other)];
    assert.equal(shapes[0]?.text.toString(), shapes[1]?.text.toString());
    assert.deepEqual(shapes[0]?.mayDiffer.toSorted(), mayDiffer.toSorted());
    assert.deepEqual(shapes[1]?.mayDiffer.toSorted(), mayDiffer.toSorted());
  });
}

/** Calls that are not two tries of one. */
const different: readonly (readonly [name: string, one: Try, other: Try])[] = [
  ['the method', { method: 'PUT' }, { method: 'PATCH' }],
  [
    'the options of an exec',
    { method: 'GET', target: `${pods}/web/exec?command=ls`, kind: 'none', body: '' },
    { method: 'POST', target: `${pods}/web/exec?command=ls&tty=true`, kind: 'none', body: '' },
  ],
  [
    'the method behind a proxy',
    { method: 'GET', target: `${pods}/web/proxy`, kind: 'none', body: '' },
    { method: 'POST', target: `${pods}/web/proxy`, kind: 'none', body: '' },
  ],
  ['the path', { target: web }, { target: `${web}x` }],
  ['a slash at the end', { target: web }, { target: `${web}/` }],
  ['the kind of body', { kind: 'json' }, { kind: 'apply' }],
  ['the media type', { contentType: 'a' }, { contentType: 'b' }],
  ['a query parameter', { target: `${web}?fieldManager=a` }, { target: `${web}?fieldManager=b` }],
  ['dryRun', { target: `${web}?dryRun=All` }, { target: web }],
  [
    'the order of the words of a command',
    { method: 'POST', target: `${pods}/a/exec?command=a&command=b` },
    { method: 'POST', target: `${pods}/a/exec?command=b&command=a` },
  ],
  [
    'a timeout behind a proxy',
    { method: 'POST', target: `${pods}/a/proxy?timeout=1` },
    { method: 'POST', target: `${pods}/a/proxy?timeout=2` },
  ],
  ['a timeout of no resource', { target: '/x?timeout=1' }, { target: '/x?timeout=2' }],
  ['where the query begins', { target: '/x?a=b' }, { target: '/xa/b' }],
  ['one byte that cannot be read', { kind: 'opaque', body: 'ab' }, { kind: 'opaque', body: 'ab ' }],
  ['JSON that nobody looked into', { kind: 'opaque', body: '{"a":1}' }, { kind: 'opaque', body: '{"a": 1}' }],
  ['digits beyond 2^53', { body: '{"a":9007199254740993}' }, { body: '{"a":9007199254740992}' }],
  ['how a number is written', { body: '{"a":1}' }, { body: '{"a":1.0}' }],
  ['a number and a text', { body: '{"a":1}' }, { body: '{"a":"1"}' }],
  ['the order of a list', { body: { a: [1, 2] } }, { body: { a: [2, 1] } }],
  [
    'a version that is checked and none',
    { body: { metadata: { resourceVersion: '7' } } },
    { body: { metadata: { resourceVersion: '0' } } },
  ],
  ['a version that is there and none', { body: { metadata: { resourceVersion: '7' } } }, { body: { metadata: {} } }],
  [
    'managed fields that are taken away',
    { body: { metadata: { managedFields: [{ manager: 'a' }] } } },
    { body: { metadata: { managedFields: [{}] } } },
  ],
  [
    'another annotation',
    { body: { metadata: { annotations: { a: '1' } } } },
    { body: { metadata: { annotations: { a: '2' } } } },
  ],
  ['a time of a restart that is no time', { body: annotated('now') }, { body: annotated('ls') }],
  ['a time of a restart where none is', { body: { spec: annotated(morning) } }, { body: { spec: annotated(evening) } }],
  [
    'the status itself',
    { target: `${web}/status`, body: { status: { a: 1 } } },
    { target: `${web}/status`, body: { status: { a: 2 } } },
  ],
  [
    'the status in a patch',
    { method: 'PATCH', body: { status: { a: 1 } } },
    { method: 'PATCH', body: { status: { a: 2 } } },
  ],
  [
    'the status of a custom resource',
    { target: widget, body: { status: { a: 1 } } },
    { target: widget, body: { status: { a: 2 } } },
  ],
  [
    'the version in the preconditions of a delete',
    { method: 'DELETE', body: { preconditions: { resourceVersion: '7' } } },
    { method: 'DELETE', body: { preconditions: { resourceVersion: '8' } } },
  ],
  [
    'the node that is debugged',
    { method: 'POST', target: pods, body: { metadata: { name: 'node-debugger-n-1-bcdfg' } } },
    { method: 'POST', target: pods, body: { metadata: { name: 'node-debugger-n-2-bcdfg' } } },
  ],
  [
    'a name that looks made up',
    { method: 'POST', target: pods, body: { metadata: { name: 'web-bcdfg' } } },
    { method: 'POST', target: pods, body: { metadata: { name: 'web-24567' } } },
  ],
  [
    'a name of another kind of object',
    {
      method: 'POST',
      target: '/api/v1/namespaces/shop/secrets',
      body: { metadata: { name: 'node-debugger-n-bcdfg' } },
    },
    {
      method: 'POST',
      target: '/api/v1/namespaces/shop/secrets',
      body: { metadata: { name: 'node-debugger-n-24567' } },
    },
  ],
  [
    'a text that looks like one left out',
    { method: 'POST', target: pods, body: { metadata: { name: 'node-debugger-n-bcdfg' } } },
    { method: 'POST', target: pods, body: { metadata: { name: 'node-debugger-n-"?' } } },
  ],
  [
    'where a JSON patch goes',
    { method: 'PATCH', kind: 'json-patch', body: [{ op: 'add', path: '/metadata/uid', value: 'a' }] },
    { method: 'PATCH', kind: 'json-patch', body: [{ op: 'add', path: '/metadata/selfLink', value: 'a' }] },
  ],
  [
    'what a JSON patch sets elsewhere',
    { method: 'PATCH', kind: 'json-patch', body: [{ op: 'add', path: '/spec', value: { metadata: { uid: 'a' } } }] },
    { method: 'PATCH', kind: 'json-patch', body: [{ op: 'add', path: '/spec', value: { metadata: { uid: 'b' } } }] },
  ],
  [
    'an operation that only looks like an object',
    { method: 'PATCH', kind: 'json-patch', body: [{ metadata: { uid: 'a' } }] },
    { method: 'PATCH', kind: 'json-patch', body: [{ metadata: { uid: 'b' } }] },
  ],
];

for (const [name, one, other] of different) {
  test(`calls that differ in ${name} have different shapes`, () => {
    assert.notEqual(shape(one).text.toString(), shape(other).text.toString());
  });
}

test('each part stands behind its length', () => {
  const { text } = shape({ target: '/x?b=1&a=', contentType: 'application/json', body: { b: 1, a: ['é'] } });
  assert.equal(text.toString(), '3:PUT2:/x1:21:b1:11:a0:4:json16:application/json18:{"a":["é"],"b":1}');
});

test('what is left out leaves a mark', () => {
  const { text } = shape({ contentType: 'a', body: { metadata: { uid: 'a', name: 'web' } } });
  assert.ok(text.toString().endsWith(':{"metadata":{"name":"web","uid":?}}'));
});

test('a body that is not JSON though it is said to be is an error', () => {
  for (const body of ['', '{', '{}{}', '\ufeff{}']) assert.throws(() => shape({ body }), JsonError);
});

test('a body as deep as one may be is read', () => {
  const body = `${'['.repeat(257)}${']'.repeat(257)}`;
  assert.ok(shape({ body }).text.toString().endsWith(body));
});

/** Anything but what is volatile: keys that no rule has. */
const key = fc.constantFrom('a', 'b', 'spec', 'status2', '?', '"', '__proto__', 'name');
const { value } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.string(),
    fc.integer(),
    fc.boolean(),
    fc.constant(null),
    fc.array(tie('value'), { maxLength: 3 }),
    fc.array(fc.tuple(key, tie('value')), { maxLength: 3 }).map((members) => Object.fromEntries(members) as unknown),
  ),
}));

test('two values have one shape when they are the same value, and only then', () => {
  fc.assert(
    fc.property(value, value, (one, other) => {
      const [first, second] = [one, other].map((each) => shape({ body: JSON.stringify(each) }).text);
      assert.equal(first?.equals(second as Buffer), canonical(one) === canonical(other));
    }),
  );
});

test('a change of any leaf, key or length changes the shape', () => {
  fc.assert(
    fc.property(value, fc.nat(), (one, seed) => {
      const leaves = countOf(one);
      const changed = changeAt(one, seed % leaves);
      assert.notDeepEqual(changed, one);
      assert.notEqual(
        shape({ body: JSON.stringify(changed) }).text.toString(),
        shape({ body: JSON.stringify(one) }).text.toString(),
      );
    }),
  );
});

function canonical(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  return `{${Object.entries(value)
    .map(([name, inner]) => `${JSON.stringify(name)}:${canonical(inner)}`)
    .toSorted()
    .join()}}`;
}

/** How many values there are in a value, itself with them. */
function countOf(value: unknown): number {
  const inner = typeof value === 'object' && value !== null ? Object.values(value) : [];
  return 1 + inner.reduce((sum: number, each) => sum + countOf(each), 0);
}

/** Another value in place of one of those inside, by its number. */
function changeAt(value: unknown, index: number): unknown {
  if (index === 0) return ['changed', value];
  let left = index - 1;
  const change = (inner: unknown): unknown => {
    const count = countOf(inner);
    const isHere = left >= 0 && left < count;
    const changed = isHere ? changeAt(inner, left) : inner;
    left -= count;
    return changed;
  };
  if (Array.isArray(value)) return value.map(change);
  return Object.fromEntries(Object.entries(value as object).map(([name, inner]) => [name, change(inner)]));
}
