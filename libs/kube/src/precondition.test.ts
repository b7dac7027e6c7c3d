import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ResourceAttributes } from '@sluice/model';
import fc from 'fast-check';
import type { HeldCall } from './held-call.ts';
import { JsonError } from './json.ts';
import { withPrecondition } from './precondition.ts';
import { requestAttributes } from './request-info.ts';
import { parseTarget } from './target.ts';

const object = { uid: 'u-1', resourceVersion: '7' };
const web = '/apis/apps/v1/namespaces/shop/deployments/web';
const pod = '/api/v1/namespaces/shop/pods/web-0';

const types = {
  json: 'application/json',
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  apply: 'application/apply-patch+yaml',
  'json-patch': 'application/json-patch+json',
} as const;

type Form = keyof typeof types | 'none';

function callOf(method: string, raw: string, form: Form, body: string): HeldCall {
  const target = parseTarget(raw);
  const attributes = requestAttributes(method, target);
  assert.ok(attributes !== null);
  const kind = form === 'merge' || form === 'strategic' ? 'json' : form;
  return { attributes, method, target, kind, contentType: form === 'none' ? '' : types[form], body: Buffer.from(body) };
}

function bound(method: string, target: string, form: Form, body: string): string | null {
  return withPrecondition(callOf(method, target, form, body), object)?.body.toString() ?? null;
}

/** Method, target, form and body, and what goes on. */
const calls = [
  // The version is set where the body has none, and all else stays.
  ['PUT', web, 'json', '{"spec":{ "a":1.0 }}', '{"metadata":{"uid":"u-1","resourceVersion":"7"},"spec":{ "a":1.0 }}'],
  [
    'PUT',
    web,
    'json',
    ' {"metadata" : { "name":"web"}} ',
    ' {"metadata" : {"uid":"u-1","resourceVersion":"7", "name":"web"}} ',
  ],
  ['PUT', web, 'json', '{"metadata":{}}', '{"metadata":{"uid":"u-1","resourceVersion":"7"}}'],
  ['PUT', web, 'json', '{"metadata":null,"a":1}', '{"metadata":{"uid":"u-1","resourceVersion":"7"},"a":1}'],
  ['PUT', web, 'json', '{}', '{"metadata":{"uid":"u-1","resourceVersion":"7"}}'],
  [
    'PUT',
    web,
    'json',
    '{"metadata":{"resourceVersion":"","uid":null}}',
    '{"metadata":{"resourceVersion":"7","uid":"u-1"}}',
  ],
  // To the server these are no version: it would write over whatever is there.
  [
    'PUT',
    web,
    'json',
    '{"metadata":{"resourceVersion":"0","uid":"u-1"}}',
    '{"metadata":{"resourceVersion":"7","uid":"u-1"}}',
  ],
  [
    'PUT',
    web,
    'json',
    '{"metadata":{"uid":"u-1","resourceVersion":"000"}}',
    '{"metadata":{"uid":"u-1","resourceVersion":"7"}}',
  ],
  // What the body says itself stays.
  [
    'PUT',
    web,
    'json',
    '{"metadata":{"resourceVersion":"6","uid":"u-0"}}',
    '{"metadata":{"resourceVersion":"6","uid":"u-0"}}',
  ],
  ['PUT', web, 'json', '{"metadata":{"resourceVersion":"6"}}', '{"metadata":{"uid":"u-1","resourceVersion":"6"}}'],
  // But not the version of an object that no reviewer has seen.
  [
    'PUT',
    web,
    'json',
    '{"metadata":{"uid":"u-1","resourceVersion":"10"}}',
    '{"metadata":{"uid":"u-1","resourceVersion":"7"}}',
  ],
  ['PATCH', web, 'merge', '{"metadata":{"resourceVersion":"x"}}', '{"metadata":{"resourceVersion":"7"}}'],
  [
    'DELETE',
    web,
    'json',
    '{"preconditions":{"uid":"u-1","resourceVersion":"8"}}',
    '{"preconditions":{"uid":"u-1","resourceVersion":"7"}}',
  ],
  [
    'DELETE',
    web,
    'json',
    '{"preconditions":{"uid":"u-1","resourceVersion":"6"}}',
    '{"preconditions":{"uid":"u-1","resourceVersion":"6"}}',
  ],
  // Only the metadata of the object itself counts.
  [
    'PUT',
    web,
    'json',
    '{"spec":{"metadata":{"resourceVersion":"6"}},"metadata":{"a":{"uid":"x"}}}',
    '{"spec":{"metadata":{"resourceVersion":"6"}},"metadata":{"uid":"u-1","resourceVersion":"7","a":{"uid":"x"}}}',
  ],
  ['PATCH', web, 'merge', '{"spec":{"replicas":2}}', '{"metadata":{"resourceVersion":"7"},"spec":{"replicas":2}}'],
  ['PATCH', web, 'merge', '{"metadata":{"resourceVersion":null}}', '{"metadata":{"resourceVersion":"7"}}'],
  // Is literally a key to a merge patch.
  ['PATCH', web, 'merge', '{"$patch":"delete"}', '{"metadata":{"resourceVersion":"7"},"$patch":"delete"}'],
  [
    'PATCH',
    web,
    'strategic',
    '{"metadata":{"$setElementOrder/finalizers":["a"],"$deleteFromPrimitiveList/finalizers":["b"]}}',
    '{"metadata":{"resourceVersion":"7","$setElementOrder/finalizers":["a"],"$deleteFromPrimitiveList/finalizers":["b"]}}',
  ],
  [
    'PATCH',
    `${web}?fieldManager=me`,
    'apply',
    '{"apiVersion":"apps/v1","metadata":{"name":"web"}}',
    '{"apiVersion":"apps/v1","metadata":{"uid":"u-1","resourceVersion":"7","name":"web"}}',
  ],
  // A Scale is another object, with the version of its own.
  [
    'PATCH',
    `${web}/scale`,
    'merge',
    '{"spec":{"replicas":2}}',
    '{"metadata":{"resourceVersion":"7"},"spec":{"replicas":2}}',
  ],
  ['PUT', `${web}/scale`, 'json', '{"metadata":{"name":"web"}}', '{"metadata":{"resourceVersion":"7","name":"web"}}'],
  ['PUT', `${web}/status`, 'json', '{}', '{"metadata":{"resourceVersion":"7"}}'],
  ['PATCH', `${pod}/ephemeralcontainers`, 'strategic', '{}', '{"metadata":{"resourceVersion":"7"}}'],
  [
    'PUT',
    '/api/v1/namespaces/shop/finalize',
    'json',
    '{"metadata":{"name":"shop"}}',
    '{"metadata":{"resourceVersion":"7","name":"shop"}}',
  ],

  [
    'PATCH',
    web,
    'json-patch',
    '[{"op":"remove","path":"/spec/paused"}]',
    '[{"op":"add","path":"/metadata/resourceVersion","value":"7"},{"op":"remove","path":"/spec/paused"}]',
  ],
  ['PATCH', `${web}/scale`, 'json-patch', ' [ ] ', ' [{"op":"add","path":"/metadata/resourceVersion","value":"7"} ] '],
  [
    'PATCH',
    `${web}/scale`,
    'json-patch',
    '[{"op":"add","path":"/metadata/labels/resourceVersion","value":""}]',
    '[{"op":"add","path":"/metadata/resourceVersion","value":"7"},{"op":"add","path":"/metadata/labels/resourceVersion","value":""}]',
  ],

  [
    'DELETE',
    web,
    'none',
    '',
    '{"kind":"DeleteOptions","apiVersion":"v1","preconditions":{"uid":"u-1","resourceVersion":"7"}}',
  ],
  // The server does not look at them beside a body.
  [
    'DELETE',
    `${web}?dryRun=All&gracePeriodSeconds=0&propagationPolicy=Orphan&orphanDependents=false&pretty=true`,
    'none',
    '',
    '{"kind":"DeleteOptions","apiVersion":"v1","dryRun":["All"],"gracePeriodSeconds":0,"propagationPolicy":"Orphan","orphanDependents":false,"preconditions":{"uid":"u-1","resourceVersion":"7"}}',
  ],
  ['DELETE', web, 'json', '{}', '{"preconditions":{"uid":"u-1","resourceVersion":"7"}}'],
  [
    'DELETE',
    web,
    'json',
    '{"propagationPolicy":"Background"}',
    '{"preconditions":{"uid":"u-1","resourceVersion":"7"},"propagationPolicy":"Background"}',
  ],
  ['DELETE', web, 'json', '{"preconditions":null}', '{"preconditions":{"uid":"u-1","resourceVersion":"7"}}'],
  ['DELETE', web, 'json', '{"preconditions":{"uid":"u-0"}}', '{"preconditions":{"resourceVersion":"7","uid":"u-0"}}'],
  // Compared as they are, and never the same as those of an object.
  [
    'DELETE',
    web,
    'json',
    '{"preconditions":{"uid":"","resourceVersion":"0"}}',
    '{"preconditions":{"uid":"","resourceVersion":"0"}}',
  ],
  [
    'POST',
    `${pod}/eviction`,
    'json',
    '{"metadata":{"name":"web-0"}}',
    '{"deleteOptions":{"preconditions":{"uid":"u-1","resourceVersion":"7"}},"metadata":{"name":"web-0"}}',
  ],
  [
    'POST',
    `${pod}/eviction`,
    'json',
    '{"deleteOptions":{"gracePeriodSeconds":1}}',
    '{"deleteOptions":{"preconditions":{"uid":"u-1","resourceVersion":"7"},"gracePeriodSeconds":1}}',
  ],
] as const;

for (const [method, target, form, body, expected] of calls) {
  test(`${method} ${target} with ${form} ${body} goes on as ${expected}`, () => {
    assert.equal(bound(method, target, form, body), expected);
  });
}

for (const pointer of ['', 'x', '/metadata', '/metadata/resourceVersion', 'junk/metadata/resourceVersion']) {
  test(`a JSON patch about ${JSON.stringify(pointer)} has to find the version as it was`, () => {
    const test = '{"op":"test","path":"/metadata/resourceVersion","value":"7"}';
    const target = `{"op":"replace","path":${JSON.stringify(pointer)},"value":""}`;
    assert.equal(bound('PATCH', web, 'json-patch', `[${target}]`), `[${test},${target}]`);
    const source = `{"from":${JSON.stringify(pointer)},"op":"move","path":"/a"}`;
    assert.equal(bound('PATCH', web, 'json-patch', `[${source}]`), `[${test},${source}]`);
  });
}

/** What cannot be bound, and why. */
const unbound = [
  ['PUT', web, 'json', '{"metadata":"web"}', 'metadata that is no object'],
  ['PUT', web, 'json', '{"metadata":["uid"]}', 'metadata that is a list'],
  ['PUT', web, 'json', '{"metadata":{"resourceVersion":7}}', 'a version that is no text'],
  ['PUT', web, 'json', '{"metadata":{"uid":{"resourceVersion":"7"}}}', 'a uid that is no text'],
  ['PUT', web, 'json', '["metadata"]', 'a body that is no object'],
  ['PUT', web, 'none', '', 'no body'],
  ['PUT', web, 'opaque', 'k8s', 'a body that cannot be read'],
  ['PUT', web, 'merge', '{}', 'a type of body that the method does not have'],
  ['PATCH', web, 'json', '{}', 'a type of patch that there is not'],
  ['PATCH', web, 'merge', '{"metadata":null}', 'a patch that takes all metadata away'],
  ['PATCH', web, 'apply', '{"metadata":null}', 'an apply without metadata'],
  ['PATCH', web, 'strategic', '{"$patch":"delete"}', 'a directive that takes the object away'],
  ['PATCH', web, 'strategic', '{"metadata":{"$patch":"delete"}}', 'a directive that takes the metadata away'],
  ['PATCH', web, 'strategic', '{"metadata":{"$retainKeys":["name"]}}', 'a directive that keeps only other keys'],
  ['PATCH', web, 'json-patch', '{}', 'a JSON patch that is no list'],
  ['PUT', `${pod}/proxy`, 'json', '{}', 'a subresource that is not known'],
  ['PATCH', '/apis/rig.example/v1/namespaces/shop/widgets/a/gears', 'merge', '{}', 'a subresource that is not known'],
  ['PUT', '/api/v1/watch/namespaces/shop/pods/web-0', 'json', '{}', 'a legacy prefix'],
  ['DELETE', '/apis/apps/v1/namespaces/shop/deployments', 'none', '', 'a collection'],
  ['DELETE', `${pod}/ephemeralcontainers`, 'none', '', 'a subresource that is deleted'],
  ['DELETE', `${web}?gracePeriodSeconds=1e2`, 'none', '', 'an option that the server may read in its own way'],
  ['DELETE', `${web}?orphanDependents=constructor`, 'none', '', 'an option that is no boolean'],
  ['DELETE', web, 'json', '{"preconditions":[]}', 'preconditions that are no object'],
  ['DELETE', web, 'json', '{"preconditions":{"uid":1}}', 'a precondition that is no text'],
  ['POST', `${pod}/eviction`, 'none', '', 'an eviction without a body'],
  ['POST', `${pod}/eviction`, 'json', '{"deleteOptions":"now"}', 'options that are no object'],
  ['POST', `${pod}/exec`, 'none', '', 'a command'],
  ['POST', `${pod}/binding`, 'json', '{}', 'a binding'],
  ['POST', '/apis/rig.example/v1/namespaces/shop/pods/a/eviction', 'json', '{}', 'a pod of another group'],
  ['POST', '/api/v1/namespaces/shop/pods', 'json', '{}', 'a create'],
  ['GET', web, 'none', '', 'a read'],
  ['PUT', '/version', 'json', '{}', 'no resource'],
] as const;

for (const [method, target, form, body, why] of unbound) {
  test(`${why} cannot be bound: ${method} ${target} ${body}`, () => {
    const call = form === 'opaque' ? { ...callOf(method, target, 'json', body), kind: form } : null;
    assert.equal(withPrecondition(call ?? callOf(method, target, form as Form, body), object), null);
  });
}

test('a made body has the type of one, and any other keeps its own', () => {
  assert.equal(withPrecondition(callOf('DELETE', web, 'none', ''), object)?.contentType, 'application/json');
  assert.equal(withPrecondition(callOf('PATCH', web, 'apply', '{}'), object)?.contentType, types.apply);
});

for (const body of ['', '{', '{"metadata":{}', '{}{}', '\ufeff{}', '{"metadata":nil}', '[}']) {
  test(`${JSON.stringify(body)} is an error, for it is not JSON`, () => {
    if (body.startsWith('[')) assert.throws(() => bound('PATCH', web, 'json-patch', body), JsonError);
    else assert.throws(() => bound('PUT', web, 'json', body), JsonError);
  });
}

type Json = Record<string, unknown>;

const metadata = fc.oneof(
  fc.constant(undefined),
  fc.record(
    {
      name: fc.string(),
      resourceVersion: fc.constantFrom('', '0', '5', '7', '12', '99999999999999999999999'),
      uid: fc.constantFrom('', 'u'),
      a: fc.json(),
    },
    { requiredKeys: [] },
  ),
);

test('of any object, version and, but for a patch, uid are set where they were not, and nothing else is', () => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.string(), fc.jsonValue(), { maxKeys: 5 }),
      metadata,
      fc.constantFrom(undefined, 2, '\t'),
      fc.constantFrom<Form>('json', 'apply', 'merge'),
      (rest, metadata, indent, form) => {
        const { metadata: _, ...other } = rest;
        const body: Json = { ...other, ...(metadata === undefined ? {} : { metadata }) };
        const text = bound(form === 'json' ? 'PUT' : 'PATCH', web, form, JSON.stringify(body, null, indent));
        assert.ok(text !== null);
        const { uid = '', resourceVersion = '' } = metadata ?? {};
        const version = resourceVersion === '5' ? '5' : '7';
        const named = form === 'merge' ? {} : { uid: uid || 'u-1' };
        const expected = { ...body, metadata: { ...metadata, ...named, resourceVersion: version } };
        assert.deepEqual(JSON.parse(text), JSON.parse(JSON.stringify(expected)));
      },
    ),
  );
});

test('attributes decide about the method, too', () => {
  const call = callOf('PUT', web, 'json', '{}');
  assert.ok(call.attributes.kind === 'resource');
  const attributes: ResourceAttributes = { ...call.attributes, verb: 'patch' };
  assert.equal(withPrecondition({ ...call, attributes }, object), null);
});
