import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { type ApiAnswer, type ApiRequest, answer } from './api.ts';
import { kindOf } from './kinds.ts';
import { Kubelet } from './kubelet.ts';
import { ApiError, at, isObject, type Json, listAt, textAt } from './objects.ts';
import { seed } from './seed.ts';
import { Store } from './store.ts';

const shop = '/api/v1/namespaces/shop';
const web = '/apis/apps/v1/namespaces/shop/deployments/web';
let store: Store;
let kubelet: Kubelet;

beforeEach(() => {
  store = new Store();
  seed(store);
  kubelet = new Kubelet(store);
});

function ask(method: string, target: string, body?: Json, more: Partial<ApiRequest> = {}): ApiAnswer {
  const { pathname: path, searchParams: query } = new URL(target, 'https://demo');
  return answer(kubelet, {
    method,
    path,
    query,
    accept: 'application/json',
    contentType: 'application/json',
    body: body === undefined ? '' : JSON.stringify(body),
    user: { username: 'demo', groups: [] },
    ...more,
  });
}

function json(...request: Parameters<typeof ask>): Json {
  const answered = ask(...request);
  assert.ok(answered.kind === 'json');
  return answered.body;
}

const patch = (target: string, body: Json): Json =>
  json('PATCH', target, body, { contentType: 'application/merge-patch+json' });

function names(target: string): string[] {
  return listAt(json('GET', target), 'items').map((item) => textAt(item, 'metadata', 'name'));
}

/** The events of a watch so far, and those to come. */
function watch(target: string, more: Partial<ApiRequest> = {}): { events: Json[]; stop: () => void } {
  const answered = ask('GET', target, undefined, more);
  assert.ok(answered.kind === 'stream');
  const events: Json[] = [];
  const stop = answered.start(
    (line) => events.push(JSON.parse(line) as Json),
    () => undefined,
  );
  return { events, stop };
}

const brief = (event: Json): string => `${textAt(event, 'type')} ${textAt(event, 'object', 'metadata', 'name')}`;

test('stringData of a Secret is folded into data', () => {
  const body = { metadata: { name: 's' }, data: { a: 'MQ==' }, stringData: { b: '2' } };
  const created = json('POST', `${shop}/secrets`, body);
  assert.deepEqual(created['data'], { a: 'MQ==', b: 'Mg==' });
  assert.equal(created['stringData'], undefined);
});

test('a created object is there once, in a namespace that exists, under a valid name', () => {
  json('POST', `${shop}/configmaps`, { metadata: { name: 'one' } });
  const create = (namespace: string, name: string) => (): ApiAnswer =>
    ask('POST', `/api/v1/namespaces/${namespace}/configmaps`, { metadata: { name } });
  assert.throws(create('shop', 'one'), { code: 409, reason: 'AlreadyExists' });
  assert.throws(create('nowhere', 'one'), { code: 404, message: 'namespaces "nowhere" not found' });
  assert.throws(create('shop', 'Not_A_Name'), { code: 422, reason: 'Invalid' });
  assert.match(
    textAt(json('POST', `${shop}/configmaps`, { metadata: { generateName: 'g-' } }), 'metadata', 'name'),
    /^g-./,
  );
});

test('a write that names another version is a conflict; one that changes nothing gives no new version', () => {
  const current = json('GET', `${shop}/configmaps/web`);
  assert.deepEqual(json('PUT', `${shop}/configmaps/web`, current), current);
  const changed = json('PUT', `${shop}/configmaps/web`, { ...current, data: { LOG_LEVEL: 'debug' } });
  assert.notEqual(textAt(changed, 'metadata', 'resourceVersion'), textAt(current, 'metadata', 'resourceVersion'));
  assert.throws(() => ask('PUT', `${shop}/configmaps/web`, current), { code: 409, reason: 'Conflict' });
  assert.throws(() => patch(`${shop}/configmaps/web`, { metadata: { resourceVersion: '1' } }), { code: 409 });
});

/** What is said to a request that is refused. */
function refusal(...request: Parameters<typeof ask>): Pick<ApiError, 'code' | 'reason' | 'message'> {
  try {
    ask(...request);
  } catch (error) {
    assert.ok(error instanceof ApiError);
    const { code, reason, message } = error;
    return { code, reason, message };
  }
  return assert.fail('it is answered');
}

const patchOf = (type: string): Partial<ApiRequest> => ({ contentType: `application/${type}` });
const modified = 'the object has been modified; please apply your changes to the latest version and try again';

test('each kind of change of another version is a conflict, of a Scale too; 0 is any version', () => {
  const { resourceVersion } = store.get(kindOf('deployments'), 'shop', 'web').metadata;
  patch(web, { metadata: { labels: { touched: 'yes' } } });
  const message = `Operation cannot be fulfilled on deployments.apps "web": ${modified}`;
  const conflict = { code: 409, reason: 'Conflict', message };
  const stale = { metadata: { name: 'web', resourceVersion } };
  const scaled = { ...stale, spec: { replicas: 5 } };
  assert.deepEqual(refusal('PUT', web, stale), conflict);
  for (const type of ['merge-patch+json', 'strategic-merge-patch+json', 'apply-patch+yaml']) {
    assert.deepEqual(refusal('PATCH', web, stale, patchOf(type)), conflict);
    if (type !== 'apply-patch+yaml')
      assert.deepEqual(refusal('PATCH', `${web}/scale`, scaled, patchOf(type)), conflict);
  }
  const body = JSON.stringify([{ op: 'add', path: '/metadata/resourceVersion', value: resourceVersion }]);
  for (const target of [web, `${web}/scale`])
    assert.deepEqual(refusal('PATCH', target, undefined, { ...patchOf('json-patch+json'), body }), conflict);
  assert.deepEqual(refusal('PUT', `${web}/scale`, scaled), conflict);

  const current = textAt(json('GET', `${web}/scale`), 'metadata', 'resourceVersion');
  const bound = { metadata: { resourceVersion: current }, spec: { replicas: 3 } };
  assert.equal(at(patch(`${web}/scale`, bound), 'spec', 'replicas'), 3);
  patch(web, { metadata: { resourceVersion: '0', labels: { touched: 'again' } } });
});

test('another uid is a conflict for a PUT, invalid in a patch, and never makes an object by apply', () => {
  const { uid } = store.get(kindOf('deployments'), 'shop', 'web').metadata;
  const other = { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'web', uid: 'other' } };
  const precondition = `Precondition failed: UID in precondition: other, UID in object meta: ${uid}`;
  const error = `StorageError: invalid object, Code: 4, Key: /registry/deployments/shop/web, ResourceVersion: 0, AdditionalErrorMsg: ${precondition}`;
  const message = `Operation cannot be fulfilled on deployments.apps "web": ${error}`;
  assert.deepEqual(refusal('PUT', web, other), { code: 409, reason: 'Conflict', message });
  assert.deepEqual(refusal('PUT', `${web}/scale`, other), { code: 409, reason: 'Conflict', message });
  assert.deepEqual(refusal('PATCH', web, other, patchOf('merge-patch+json')), {
    code: 422,
    reason: 'Invalid',
    message: 'Deployment.apps "web" is invalid: metadata.uid: Invalid value: "other": field is immutable',
  });
  assert.deepEqual(refusal('PATCH', `${web}2`, other, patchOf('apply-patch+yaml')), {
    code: 409,
    reason: 'Conflict',
    message:
      'Operation cannot be fulfilled on deployments.apps "web2": uid mismatch: the provided object specified uid other, and no existing object was found',
  });
  patch(web, { metadata: { uid } });
});

test('a delete and an eviction are held to their preconditions', () => {
  const [name = ''] = names(`${shop}/pods`);
  const pod = `${shop}/pods/${name}`;
  const { uid, resourceVersion } = store.get(kindOf('pods'), 'shop', name).metadata;
  const requests = (preconditions: Json): Parameters<typeof ask>[] => [
    ['DELETE', pod, { kind: 'DeleteOptions', apiVersion: 'v1', preconditions }],
    ['POST', `${pod}/eviction`, { metadata: { name }, deleteOptions: { preconditions } }],
  ];
  for (const request of requests({ uid: 'other' })) {
    assert.deepEqual(refusal(...request), {
      code: 409,
      reason: 'Conflict',
      message: `Operation cannot be fulfilled on Pod "${name}": the UID in the precondition (other) does not match the UID in record (${uid}). The object might have been deleted and then recreated`,
    });
  }
  for (const request of requests({ uid, resourceVersion: '1' })) {
    assert.deepEqual(refusal(...request), {
      code: 409,
      reason: 'Conflict',
      message: `Operation cannot be fulfilled on Pod "${name}": the ResourceVersion in the precondition (1) does not match the ResourceVersion in record (${resourceVersion}). The object might have been modified`,
    });
  }
  const [deletion, eviction] = requests({ uid, resourceVersion });
  assert.ok(deletion !== undefined && eviction !== undefined);
  json('POST', `${pod}/eviction?dryRun=All`, eviction[2]);
  assert.ok(names(`${shop}/pods`).includes(name));
  const evicted = ask(...eviction);
  assert.ok(evicted.kind === 'json');
  assert.deepEqual([evicted.code, evicted.body['status']], [201, 'Success']);
  assert.ok(!names(`${shop}/pods`).includes(name));
  assert.throws(() => ask(...deletion), { code: 404 });
  assert.throws(() => ask('POST', `${web}/eviction`, {}), { code: 404 });
});

test('beside a body, the query of a delete is not looked at', () => {
  json('DELETE', `${shop}/configmaps/web?dryRun=All`, { kind: 'DeleteOptions', apiVersion: 'v1' });
  assert.deepEqual(names(`${shop}/configmaps`), []);
});

test('who asks for the metadata alone gets no more: of an object, of a list, of a watch', () => {
  const accept = 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1';
  const { metadata } = store.get(kindOf('configmaps'), 'shop', 'web');
  const partial = { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata };
  assert.deepEqual(json('GET', `${shop}/configmaps/web`, undefined, { accept }), partial);
  const { events, stop } = watch(`${shop}/configmaps?watch=1`, { accept });
  stop();
  assert.deepEqual(events, [{ type: 'ADDED', object: partial }]);
  const list = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1';
  assert.deepEqual(json('GET', `${shop}/configmaps`, undefined, { accept: list }), {
    kind: 'PartialObjectMetadataList',
    apiVersion: 'meta.k8s.io/v1',
    metadata: { resourceVersion: String(store.version) },
    items: [partial],
  });
});

test('dryRun=All changes nothing on any write, in the query or in the options of a delete', () => {
  const before = store.version;
  json('POST', `${shop}/configmaps?dryRun=All`, { metadata: { name: 'one' } });
  assert.deepEqual(patch(`${shop}/configmaps/web?dryRun=All`, { data: null })['data'], undefined);
  json('PUT', `${shop}/configmaps/web?dryRun=All`, { data: {} });
  patch(`${web}/scale?dryRun=All`, { spec: { replicas: 9 } });
  json('DELETE', `${shop}/configmaps/web?dryRun=All`);
  json('DELETE', `${shop}/configmaps/web`, { kind: 'DeleteOptions', dryRun: ['All'] });
  json('DELETE', `${shop}/configmaps`, { kind: 'DeleteOptions', dryRun: ['All'] });
  assert.equal(store.version, before);
});

test('a delete whose options cannot be read deletes nothing', () => {
  const contentType = 'application/vnd.kubernetes.protobuf';
  assert.throws(() => ask('DELETE', `${shop}/configmaps/web`, {}, { contentType }), { code: 415 });
  assert.deepEqual(names(`${shop}/configmaps`), ['web']);
});

test('server-side apply creates what is missing and merges into what is there', () => {
  const apply = (text: string): Json =>
    json('PATCH', `${shop}/configmaps/made`, undefined, { contentType: 'application/apply-patch+yaml', body: text });
  apply('metadata: { name: made }\ndata: { a: "1" }');
  assert.deepEqual(apply('metadata: { name: made }\ndata: { b: "2" }')['data'], { a: '1', b: '2' });
});

test('a deployment has its pods at once, keeps them, scales them and takes them with it', () => {
  const pods = (): string[] => names(`${shop}/pods?labelSelector=app=web`);
  assert.equal(pods().length, 2);
  patch(`${web}/scale`, { spec: { replicas: 3 } });
  const [deleted = ''] = pods();
  json('DELETE', `${shop}/pods/${deleted}`);
  assert.equal(pods().length, 3);
  assert.ok(!pods().includes(deleted));
  json('DELETE', web);
  assert.deepEqual(pods(), []);
  assert.deepEqual(names('/apis/apps/v1/namespaces/shop/replicasets'), []);
});

test('a changed template replaces the pods, a changed label does not, and the status is up to date at once', () => {
  const pods = `${shop}/pods?labelSelector=app=web`;
  const before = names(pods);
  assert.equal(at(patch(web, { metadata: { labels: { tier: 'front' } } }), 'metadata', 'generation'), 1);
  assert.deepEqual(names(pods), before);
  const template = { metadata: { annotations: { restarted: 'now' } } };
  const changed = patch(web, { spec: { template } });
  assert.equal(at(changed, 'metadata', 'generation'), 2);
  assert.equal(at(changed, 'status', 'observedGeneration'), 2);
  assert.ok(names(pods).every((name) => !before.includes(name)));
});

test('a namespace takes with it what is inside, and a new one has its service account', () => {
  json('DELETE', shop);
  assert.deepEqual(names('/api/v1/pods'), []);
  assert.deepEqual(names(`${shop}/secrets`), []);
  json('POST', '/api/v1/namespaces', { metadata: { name: 'fresh' } });
  assert.deepEqual(names('/api/v1/namespaces/fresh/serviceaccounts'), ['default']);
});

test('a watch goes on from a version, through selectors, to the deletion', () => {
  const from = store.version;
  json('POST', `${shop}/configmaps`, { metadata: { name: 'one', labels: { a: 'b' } } });
  const { events, stop } = watch(`${shop}/configmaps?watch=true&labelSelector=a=b&resourceVersion=${from}`);
  json('POST', `${shop}/configmaps`, { metadata: { name: 'other' } });
  patch(`${shop}/configmaps/one`, { data: { x: 'y' } });
  json('DELETE', `${shop}/configmaps/one`);
  stop();
  json('POST', `${shop}/configmaps`, { metadata: { name: 'late', labels: { a: 'b' } } });
  assert.deepEqual(events.map(brief), ['ADDED one', 'MODIFIED one', 'DELETED one']);
});

test('a watch without a version begins with what is there; a watch-list says where that ends', () => {
  const plain = watch(`${shop}/configmaps?watch=1`);
  const list = watch(`${shop}/configmaps?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan`);
  json('POST', `${shop}/configmaps`, { metadata: { name: 'later' } });
  assert.deepEqual(plain.events.map(brief), ['ADDED web', 'ADDED later']);
  assert.deepEqual(list.events.map(brief), ['ADDED web', 'BOOKMARK ', 'ADDED later']);
  assert.equal(textAt(list.events[1], 'object', 'metadata', 'annotations', 'k8s.io/initial-events-end'), 'true');
  plain.stop();
  list.stop();
});

test('a watch may ask for Tables', () => {
  const { events, stop } = watch(`${shop}/configmaps?watch=1`, {
    accept: 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json',
  });
  stop();
  assert.equal(textAt(events[0], 'object', 'kind'), 'Table');
});

test('a version that is forgotten is 410', () => {
  for (let index = 0; index < 5_001; index++) patch(`${shop}/configmaps/web`, { data: { index: String(index) } });
  assert.throws(() => ask('GET', `${shop}/configmaps?watch=1&resourceVersion=101`), { code: 410, reason: 'Expired' });
});

test('who asks is who is impersonated', () => {
  const user = { username: 'bob', groups: ['devs'] };
  const reviewed = json('POST', '/apis/authentication.k8s.io/v1/selfsubjectreviews', {}, { user });
  assert.deepEqual(at(reviewed, 'status', 'userInfo'), user);
});

test('every resource that discovery names is served, and nothing else', () => {
  const groups = listAt(json('GET', '/apis'), 'groups').map((group) => `/apis/${textAt(group, 'name')}/v1`);
  for (const path of ['/api/v1', ...groups]) {
    for (const resource of listAt(json('GET', path), 'resources')) {
      const name = textAt(resource, 'name');
      if (name.includes('/') || !listAt(resource, 'verbs').includes('list')) continue;
      assert.equal(json('GET', `${path}/${name}`)['kind'], `${textAt(resource, 'kind')}List`);
    }
  }
  assert.throws(() => ask('GET', '/api/v1/nothings'), { code: 404 });
  assert.throws(() => ask('POST', `${shop}/pods/web/exec`), { code: 404 });
  assert.throws(() => ask('POST', `${shop}/configmaps/web`, {}), { code: 405 });
  assert.ok(isObject(json('GET', '/openapi/v3/apis/apps/v1')['components']));
});

test('to a kubectl that reads OpenAPI v2 it says of each kind that it dry-runs', () => {
  const answered = ask('GET', '/openapi/v2');
  assert.ok(answered.kind === 'bytes');
  // The extension as a real API server (1.20.2) has it in its own document; the parameter, without its description.
  const kind = 'jN\n\x1fx-kubernetes-group-version-kind\x12+\x12)group: apps\nkind: Deployment\nversion: v1\n';
  const parameter = 'B\x15\n\x13\x12\x11\x1a\x0f\x12\x05query"\x06dryRun';
  assert.ok(answered.body.includes(`${parameter}${kind}`));
  const length = (answered.body[1] ?? 0) - 128 + ((answered.body[2] ?? 0) << 7);
  assert.equal(length, answered.body.length - 3, 'one field of two bytes of length holds all');
});

test('the log of a pod that echoes is what it echoes', () => {
  const container = { name: 'main', image: 'demo/echo:1', command: ['echo', 'first', 'second'] };
  ask('POST', `${shop}/pods`, { metadata: { name: 'echo' }, spec: { containers: [container] } });
  const answered = ask('GET', `${shop}/pods/echo/log`);
  assert.equal(answered.kind === 'bytes' && answered.body.toString(), 'first second\n');
});

test('a container that is added to a pod runs there', () => {
  const body = { spec: { ephemeralContainers: [{ name: 'debugger', image: 'demo/debug:1' }] } };
  const contentType = 'application/strategic-merge-patch+json';
  ask('PATCH', `${shop}/pods/toolbox/ephemeralcontainers`, body, { contentType });
  const pod = store.get(kindOf('pods'), 'shop', 'toolbox');
  assert.equal(textAt(listAt(pod, 'status', 'ephemeralContainerStatuses')[0], 'name'), 'debugger');
  assert.equal(kubelet.container(pod, 'debugger').spec['image'], 'demo/debug:1');
  assert.equal(kubelet.container(pod, '').spec['image'], 'demo/toolbox:1');
});

test('the server of a pod, and the statistics of a node, are behind their proxies', () => {
  const page = ask('GET', `${shop}/pods/toolbox:8080/proxy/index.html`);
  assert.ok(page.kind === 'bytes');
  assert.deepEqual([page.contentType, page.body.toString()], ['text/html', 'hello from toolbox\n']);
  assert.throws(() => ask('GET', `${shop}/pods/toolbox:8081/proxy/index.html`), { code: 503 });
  assert.throws(() => ask('GET', `${shop}/pods/toolbox:8080/proxy/other`), { code: 404 });
  const stats = json('GET', '/api/v1/nodes/demo-node/proxy/stats/summary');
  assert.equal(textAt(stats, 'node', 'nodeName'), 'demo-node');
  assert.throws(() => ask('GET', '/api/v1/nodes/demo-node/proxy/run'), { code: 404 });
});

test('the log of a pod with several containers has to be asked for by container, and has an end to ask for', () => {
  assert.throws(() => ask('GET', `${shop}/pods/console/log`), { code: 400 });
  const answered = ask('GET', `${shop}/pods/toolbox/log?tailLines=1&timestamps=true`);
  assert.match(answered.kind === 'bytes' ? answered.body.toString() : '', /^\d{4}-\S+Z serving as toolbox\n$/);
});

test('the log of a pod has what its command says, with values of its environment', async () => {
  const env = [{ name: 'PASSWORD', valueFrom: { secretKeyRef: { name: 'web-db', key: 'password' } } }];
  const script = 'echo "$PASSWORD, $0"; sleep 1000';
  const container = { name: 'main', image: 'demo/shell:1', command: ['sh', '-c', script], args: ['$(PASSWORD)'], env };
  ask('POST', `${shop}/pods`, { metadata: { name: 'talks' }, spec: { containers: [container] } });
  const answered = ask('GET', `${shop}/pods/talks/log?follow=true`);
  assert.ok(answered.kind === 'stream');
  const line = await new Promise<string>((resolve) => answered.start(resolve, () => undefined));
  assert.equal(line, 'demo-password-of-nobody, demo-password-of-nobody\n');
});
