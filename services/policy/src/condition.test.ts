import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkCondition, FaultyCondition } from './condition.ts';

function faultOf(text: string, secrets = false): FaultyCondition {
  try {
    checkCondition(text, { secrets });
  } catch (error) {
    if (error instanceof FaultyCondition) return error;
    throw error;
  }
  assert.fail(`accepted: ${text}`);
}

/** What is wrong, condition, character at fault, what the message says. */
const faults: readonly (readonly [string, string, number, RegExp])[] = [
  ['nothing', '', 0, /not a condition in CEL/],
  ['an operator without a right side', 'request.verb ==', 15, /not a condition in CEL/],
  ['a field without a name', 'object.spec.', 12, /not a condition in CEL/],
  ['an open text', 'request.verb == "get', 16, /Unterminated string/],
  ['an assignment', 'object.replicas = 3', 16, /not a condition in CEL/],
  [
    'an unknown variable',
    'true && user == "demo"',
    8,
    /Unknown variable: user.*known here: request, agent, object, now/,
  ],
  ['an unknown variable inside has()', 'has(task.intent)', 4, /Unknown variable: task/],
  ['an unknown field of request', 'request.verbs == "get"', 8, /No such key: verbs/],
  ['an unknown field of request, by index', 'request["verbs"] == "get"', 0, /No such key: verbs/],
  ['an unknown field of agent', '"ops" in agent.group', 15, /No such key: group/],
  ['an unknown function', 'object.replicas < lookup(3)', 18, /'lookup\(int\)'/],
  ['types that do not compare', 'request.verb == 1', 0, /string == int/],
  ['a list as a text', 'agent.groups.startsWith("ops")', 0, /startsWith/],
  ['a text', 'request.verb', 0, /is true or false, and this one is of the type string/],
  ['a number', '1 + 2', 0, /of the type int/],
  ['a list', 'agent.groups.filter(g, g != "")', 0, /of the type list<string>/],
  ['something optional', 'object.?spec.?paused', 0, /of the type optional/],
  ['more than 4096 characters', `request.verb == "${'x'.repeat(4_096)}"`, 0, /at most 4096 characters/],
  ['parentheses 60 deep', `${'('.repeat(60)}true${')'.repeat(60)}`, 50, /maxDepth/],
  ['a path 60 deep', `object${'.a'.repeat(60)} == 1`, 104, /maxDepth/],
  ['calls 60 deep', `${'dyn('.repeat(60)}true${')'.repeat(60)}`, 200, /maxDepth/],
  ['too many parts', Array(600).fill('true').join('&&'), 0, /maxAstNodes/],
  ['a list of 201', `1 in [${Array(201).fill('1').join()}]`, 406, /maxListElements/],
];

for (const [what, text, at, message] of faults) {
  test(`a condition with ${what} is refused at ${at}`, () => {
    const fault = faultOf(text);
    assert.match(fault.message, message);
    assert.equal(fault.at, at);
    assert.equal(fault.code, 'FaultyCondition');
  });
}

test('a message is one line', () => {
  for (const [, text] of faults) assert.doesNotMatch(faultOf(text).message, /\n/);
});

const accepted = [
  'true',
  'object',
  'object.spec.replicas <= 10',
  'object.?spec.?replicas.orValue(1) <= 10',
  'object.spec.containers.all(c, c.image.startsWith("registry.example/"))',
  'has(object.spec.hostPID) && object.spec.hostPID',
  'request.namespace in ["shop", "web"] && request.name.matches("^web-[0-9]+$")',
  '[request.apiGroup, request.version, request.resource, request.subresource, request.generateName] != []',
  'request.path.startsWith("/api") || request.connection == "prod"',
  'agent.name == "demo" && agent.issuer.endsWith(".example") && "ops" in agent.groups',
  'now.getHours("Europe/Berlin") >= 8 && now < timestamp("2030-01-01T00:00:00Z")',
  `request.verb == "${'x'.repeat(4_078)}"`,
];

for (const text of accepted) {
  test(`a condition may be: ${text.slice(0, 100)}`, () => {
    assert.equal(checkCondition(text, { secrets: true }).text, text);
  });
}

/** Condition, and where it speaks of the masked field. */
const masked: readonly (readonly [string, number])[] = [
  ['object.data.password == "x"', 0],
  ['true && object.stringData.a == "x"', 8],
  ['object["data"]["password"] == "x"', 0],
  ["object['stringData'].a == 'x'", 0],
  ['object.?data.?password.orValue("") == "x"', 0],
  ['object[?"data"].hasValue()', 0],
  ['object.data.exists(k, k == "password")', 0],
  ['size(object.data) > 3', 5],
  ['has(object.data.a) && object.data.a == "x"', 22],
  ['has(object.spec) ? object.data == {} : true', 19],
];

for (const [text, at] of masked) {
  test(`where the rule can match Secrets, no condition reads masked data: ${text}`, () => {
    const fault = faultOf(text, true);
    assert.match(fault.message, /^object\.(data|stringData) is masked before a policy sees it.*has\(\) of it works$/);
    assert.equal(fault.at, at);
  });
  test(`where it cannot, data is any field: ${text}`, () => {
    assert.ok(checkCondition(text, { secrets: false }).readsBody);
  });
}

for (const text of [
  'has(object.data)',
  'has(object.data.password)',
  '!has(object.stringData.password) || has(object.stringData.tls.crt)',
  'has(object.?data.?tls.crt)',
]) {
  test(`whether there is masked data may be asked: ${text}`, () => {
    assert.ok(checkCondition(text, { secrets: true }).readsBody);
  });
}

test('a field that is named data elsewhere is no masked one', () => {
  assert.ok(checkCondition('object.spec.data == "x" && object.metadata.labels.data == "y"', { secrets: true }));
});

for (const [text, at] of [
  ['object.metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"] != ""', 28],
  ['"kubectl.kubernetes.io/last-applied-configuration" in object.metadata.annotations', 0],
  ["object.metadata.annotations.exists(k, k == 'kubectl.kubernetes.io/last-applied-configuration')", 43],
] as const) {
  test(`no condition reads the annotation with the last applied manifest: ${text}`, () => {
    const fault = faultOf(text);
    assert.match(fault.message, /^kubectl\.kubernetes\.io\/last-applied-configuration is masked/);
    assert.equal(fault.at, at);
  });
}

test('it is known which conditions look at the body', () => {
  const readsBody = (text: string): boolean => checkCondition(text, { secrets: false }).readsBody;
  assert.ok(readsBody('object.spec.replicas > 3'));
  assert.ok(readsBody('request.verb == "get" || has(object.spec)'));
  assert.ok(readsBody('[1, 2].exists(n, n == object.n)'));
  assert.ok(readsBody('cel.bind(o, object, o.n > 1)'));
  assert.ok(!readsBody('request.resource == "object" && "object" in agent.groups'));
  assert.ok(!readsBody('{"object": 1}.object == 1'));
});
