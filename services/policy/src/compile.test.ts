import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PolicyFault } from '@sluice/model';
import { compile } from './compile.ts';
import type { PolicySet } from './policy.ts';

const issuers = ['https://id.example'];
const pods = '{ effect: allow, verbs: [get], resources: [pods] }';

/** A policy with one rule. Its rule begins at line 8, column 7. */
function policy(rule: string, name = 'p'): string {
  return `apiVersion: sluice.internal/v1alpha1
kind: AccessPolicy
metadata: { name: ${name} }
spec:
  subjects: [{ agent: demo }]
  obligations: { impersonate: { user: u, groups: [g] } }
  rules:
    - ${rule}
`;
}

function compiled(...texts: string[]): PolicySet {
  const result = compile(
    texts.map((text, index) => ({ name: `${index}.yaml`, text })),
    issuers,
  );
  if (result.kind === 'errors') assert.fail(JSON.stringify(result.errors));
  return result.set;
}

function errorsOf(text: string, known: readonly string[] = issuers): readonly PolicyFault[] {
  const result = compile([{ name: 'p.yaml', text }], known);
  assert.equal(result.kind, 'errors');
  return result.kind === 'errors' ? result.errors : [];
}

/** What is wrong, text, line, column, what the message says. */
const faults: readonly (readonly [string, string, number, number, RegExp])[] = [
  ['no policy at all', '# nothing\n', 1, 1, /no AccessPolicy here/],
  ['a list instead of a policy', '- a\n', 1, 1, /a policy is a mapping of apiVersion/],
  [
    'another apiVersion',
    policy(pods).replace('v1alpha1', 'v2'),
    1,
    13,
    /apiVersion must be sluice\.internal\/v1alpha1/,
  ],
  ['another kind', policy(pods).replace('AccessPolicy', 'Policy'), 2, 7, /kind must be AccessPolicy/],
  [
    'a label',
    policy(pods).replace('name: p', 'name: p, labels: {}'),
    3,
    22,
    /unknown field "labels".*known here: name/,
  ],
  ['an unknown field of the spec', policy(pods).replace('  rules', '  fallback: ask\n  rules'), 7, 3, /"fallback"/],
  [
    'an otherwise that allows',
    policy(pods).replace('  rules', '  otherwise: allow\n  rules'),
    7,
    14,
    /otherwise is deny or ask/,
  ],
  [
    'an empty spec',
    'apiVersion: sluice.internal/v1alpha1\nkind: AccessPolicy\nmetadata: { name: p }\nspec:\n',
    4,
    6,
    /spec is/,
  ],
  [
    'a subject of both kinds',
    policy(pods).replace('demo', 'a, group: b'),
    5,
    14,
    /either \{ agent: NAME \} or \{ group/,
  ],
  ['a subject of neither kind', policy(pods).replace('{ agent: demo }', '{}'), 5, 14, /either \{ agent: NAME \}/],
  ['an issuer that is not configured', policy(pods).replace('demo', 'demo, issuer: x'), 5, 37, /https:\/\/id\.example/],
  ['no subjects', policy(pods).replace('[{ agent: demo }]', '[]'), 5, 13, /a list with at least one entry/],
  ['a system user', policy(pods).replace('user: u', 'user: "system:admin"'), 6, 39, /system: user/],
  ['a system group', policy(pods).replace('[g]', '[g, "system:masters"]'), 6, 54, /system: group/],
  ['an unknown obligation', policy(pods).replace('{ impersonate', '{ notify: sre, impersonate'), 6, 18, /"notify"/],
  [
    'a record that is not full',
    policy(pods).replace('{ impersonate', '{ record: some, impersonate'),
    6,
    26,
    /record must be full/,
  ],
  [
    'a deadline without unit',
    policy(pods).replace('{ impersonate', '{ deadline: "30", impersonate'),
    6,
    28,
    /30s, 10m/,
  ],
  ['a deadline of nothing', policy(pods).replace('{ impersonate', '{ deadline: 0s, impersonate'), 6, 28, /30s, 10m/],
  ['a deadline in days', policy(pods).replace('{ impersonate', '{ deadline: 1d, impersonate'), 6, 28, /30s, 10m/],
  [
    'an ask without identity',
    policy(pods.replace('allow', 'ask')).replace(/ {2}obligations.*\n/, ''),
    5,
    3,
    /needs obligations\.impersonate/,
  ],
  [
    'otherwise ask without identity',
    policy(pods.replace('allow', 'deny')).replace(/obligations.*\n/, 'otherwise: ask\n'),
    5,
    3,
    /needs obligations\.impersonate/,
  ],
  [
    'an allow without identity',
    policy(pods).replace(/ {2}obligations.*\n/, ''),
    5,
    3,
    /needs obligations\.impersonate/,
  ],
  [
    'a misspelt field',
    policy('{ effect: deny, verbs: [get], resources: [pods], whn: "x" }'),
    8,
    56,
    /unknown field "whn"/,
  ],
  [
    'a condition of an unknown variable',
    policy('{ effect: deny, verbs: [get], resources: [pods], when: "x" }'),
    8,
    63,
    /Unknown variable: x/,
  ],
  [
    'a condition that is no text',
    policy('{ effect: deny, verbs: [get], resources: [pods], when: true }'),
    8,
    62,
    /a text is wanted here/,
  ],
  [
    'a condition for a URL at fault',
    policy('{ effect: deny, verbs: [get], nonResourceURLs: [/x], when: "request.pat == \'/x\'" }'),
    8,
    75,
    /No such key: pat/,
  ],
  [
    'a condition on the value of a Secret',
    policy('{ effect: deny, verbs: [create], resources: ["*"], when: "object.data.a == \'\'" }'),
    8,
    65,
    /object\.data is masked/,
  ],
  ['no effect', policy('{ verbs: [get], resources: [pods] }'), 8, 7, /effect is missing/],
  [
    'another effect',
    policy('{ effect: audit, verbs: [get], resources: [pods] }'),
    8,
    17,
    /effect is deny or allow or ask/,
  ],
  ['no verbs', policy('{ effect: deny, resources: [pods] }'), 8, 7, /verbs is missing/],
  ['verbs that are no list', policy('{ effect: deny, verbs: get, resources: [pods] }'), 8, 30, /a list/],
  ['an empty list of verbs', policy('{ effect: deny, verbs: [], resources: [pods] }'), 8, 30, /at least one entry/],
  [
    'an empty list of namespaces',
    policy('{ effect: deny, verbs: [get], resources: [pods], namespaces: [] }'),
    8,
    68,
    /a list/,
  ],
  [
    'a number for a name',
    policy('{ effect: deny, verbs: [get], resources: [pods], names: [1] }'),
    8,
    64,
    /put quotes around/,
  ],
  ['neither resources nor URLs', policy('{ effect: deny, verbs: [get] }'), 8, 7, /either resources or nonResourceURLs/],
  [
    'resources and URLs',
    policy('{ effect: deny, verbs: [get], resources: [pods], nonResourceURLs: [/x] }'),
    8,
    7,
    /either resources or nonResourceURLs/,
  ],
  [
    'a namespace for a URL',
    policy('{ effect: deny, verbs: [get], nonResourceURLs: [/x], namespaces: [a] }'),
    8,
    72,
    /namespaces has no meaning beside nonResourceURLs/,
  ],
  ['a field given twice', policy('{ effect: deny, effect: allow, verbs: [get], resources: [pods] }'), 8, 23, /unique/],
  [
    'a verb that does not exist',
    policy('{ effect: deny, verbs: [detele], resources: [pods] }'),
    8,
    31,
    /no such verb; known here: get/,
  ],
  ['a glob for a verb', policy('{ effect: deny, verbs: ["del*"], resources: [pods] }'), 8, 31, /no such verb/],
  [
    'a glob inside a resource',
    policy('{ effect: deny, verbs: [get], resources: ["pod*"] }'),
    8,
    49,
    /resource\[\.group\]/,
  ],
  ['a resource in capitals', policy('{ effect: deny, verbs: [get], resources: [Pods] }'), 8, 49, /lower case/],
  ['an empty subresource', policy('{ effect: deny, verbs: [get], resources: [pods/] }'), 8, 49, /resource\[\.group\]/],
  [
    'a URL without a slash',
    policy('{ effect: deny, verbs: [get], nonResourceURLs: [version] }'),
    8,
    55,
    /begins with \//,
  ],
  [
    'a URL with a star inside',
    policy('{ effect: deny, verbs: [get], nonResourceURLs: ["/a*b"] }'),
    8,
    55,
    /only at its end/,
  ],
  ['a second policy of the same name', `${policy(pods)}---\n${policy(pods)}`, 12, 19, /second policy named "p"/],
  ['a tab for indentation', policy(pods).replace('    -', '\t-'), 8, 1, /[Tt]ab/],
];

for (const [what, text, line, column, message] of faults) {
  test(`${what} is refused at ${line}:${column}`, () => {
    const [first] = errorsOf(text);
    assert.deepEqual([first?.file, first?.line, first?.column], ['p.yaml', line, column]);
    assert.match(first?.message ?? '', message);
  });
}

/** How a rule writes a condition whose last word is at fault, and where that word stands in the file. */
const writings: readonly (readonly [string, string, number, number])[] = [
  ['plain', 'request.verb == "get" && nobody', 10, 38],
  ['plain, over two lines', 'request.verb == "get"\n         && nobody', 11, 13],
  ['in double quotes', '"request.verb == \'get\' && nobody"', 10, 39],
  ['in double quotes, with escapes', '"request.verb == \\"get\\" && nobody"', 10, 41],
  ['in single quotes', '\'request.verb == "get" && nobody\'', 10, 39],
  ['in single quotes, doubled inside', "'request.verb == ''get'' && nobody'", 10, 41],
  ['as a block', '|\n        request.verb == "get"\n          && nobody', 12, 14],
  ['as a block under a comment', '|- # only this\n        request.verb == "get" &&\n\n        nobody', 13, 9],
  ['as a folded block', '>\n        request.verb == "get"\n        && nobody', 12, 12],
  ['as an empty block', '|\n', 10, 13],
];

for (const [how, when, line, column] of writings) {
  test(`a fault in a condition written ${how} is at ${line}:${column}`, () => {
    const rule = `effect: deny\n      verbs: [get]\n      when: ${when}\n      resources: [pods]`;
    const [fault, ...more] = errorsOf(policy(rule));
    assert.deepEqual([fault?.line, fault?.column, more.length], [line, column, 0]);
  });
}

test('a condition that stops short is at fault behind its end', () => {
  const rule = (when: string): string => policy(`{ effect: deny, verbs: [get], resources: [pods], when: ${when} }`);
  assert.deepEqual(
    ["'request.'", '"request."', 'request. '].map((when) => errorsOf(rule(when))[0]?.column),
    [71, 71, 70],
  );
});

test('a deadline is read in seconds, minutes and hours', () => {
  const deadlines = ['30s', '10m', '2h'].map((deadline) => {
    const text = policy(pods).replace('{ impersonate', `{ deadline: ${deadline}, impersonate`);
    return compiled(text).policies[0]?.obligations?.deadlineMs;
  });
  assert.deepEqual(deadlines, [30_000, 600_000, 7_200_000]);
});

test('what a policy leaves out is the careful choice', () => {
  const [policyOf] = compiled(policy(pods)).policies;
  assert.equal(policyOf?.otherwise, 'deny');
  assert.deepEqual(policyOf?.obligations, {
    impersonate: { user: 'u', groups: ['g'] },
    isRecordFull: false,
    deadlineMs: null,
  });
  assert.equal(policyOf?.rules[0]?.when, null);
});

test('lines end with CR LF as well', () => {
  const text = policy('{ effect: audit, verbs: [get], resources: [pods] }').replaceAll('\n', '\r\n');
  assert.deepEqual(
    errorsOf(text).map(({ line, column }) => [line, column]),
    [[8, 17]],
  );
});

test('a fault in the second document of a file counts lines from the top of the file', () => {
  const text = `${policy(pods, 'first')}---\n${policy('{ effect: audit, verbs: [get], resources: [pods] }', 'second')}`;
  assert.deepEqual(
    errorsOf(text).map(({ line, column }) => [line, column]),
    [[17, 17]],
  );
});

test('all faults of all files are reported, each with its file', () => {
  const broken = policy('{ effect: audit, verbs: [get], resources: [pods] }');
  const result = compile(
    [
      { name: 'a.yaml', text: broken },
      { name: 'b.yaml', text: broken.replace('AccessPolicy', 'Policy').replace('name: p', 'name: q') },
    ],
    issuers,
  );
  assert.ok(result.kind === 'errors');
  assert.deepEqual(
    result.errors.map(({ file, line, column }) => `${file}:${line}:${column}`),
    ['a.yaml:8:17', 'b.yaml:2:7', 'b.yaml:8:17'],
  );
});

test('an empty document, from a line --- too many, is passed over', () => {
  assert.equal(compiled(`---\n${policy(pods)}---\n`).policies.length, 1);
});

test('an empty set of files is refused', () => {
  assert.equal(compile([], issuers).kind, 'errors');
});

test('two policies may not have the same name, in one file or in two', () => {
  assert.match(errorsOf(`${policy(pods)}---\n${policy(pods)}`)[0]?.message ?? '', /second policy named "p"/);
  const result = compile(
    ['a.yaml', 'b.yaml'].map((name) => ({ name, text: policy(pods) })),
    issuers,
  );
  assert.ok(result.kind === 'errors');
  assert.deepEqual(
    result.errors.map(({ file }) => file),
    ['b.yaml'],
  );
});

test('an issuer may be left out only while one is configured', () => {
  const [fault] = errorsOf(policy(pods), ['https://a.example', 'https://b.example']);
  assert.deepEqual([fault?.line, fault?.column], [5, 14]);
  assert.match(fault?.message ?? '', /several issuers are configured/);
  const named = policy(pods).replace('agent: demo', 'agent: demo, issuer: "https://b.example"');
  assert.equal(compile([{ name: 'p.yaml', text: named }], ['https://a.example', 'https://b.example']).kind, 'set');
});

test('a policy that only denies needs no identity', () => {
  const text = policy('{ effect: deny, verbs: [get], resources: [pods] }').replace(/ {2}obligations.*\n/, '');
  assert.equal(compiled(text).policies[0]?.obligations, null);
});

test('policies are sorted by name, whatever file they are in', () => {
  const set = compiled(`${policy(pods, 'c')}---\n${policy(pods, 'a')}`, policy(pods, 'b'));
  assert.deepEqual(
    set.policies.map(({ name }) => name),
    ['a', 'b', 'c'],
  );
});

test('a rule without a name is called by its position', () => {
  const set = compiled(`${policy(pods)}    - { name: named, effect: allow, verbs: [get], resources: [pods] }\n`);
  assert.deepEqual(
    set.policies[0]?.rules.map(({ name }) => name),
    ['rules[0]', 'named'],
  );
});

test('the version is 16 hex digits, changes with any text, and not with the order of files', () => {
  const [a, b] = [policy(pods, 'a'), policy(pods, 'b')];
  assert.match(compiled(a, b).version, /^[0-9a-f]{16}$/);
  assert.equal(compiled(a, b).version, compiled(b, a).version);
  assert.notEqual(compiled(a, b).version, compiled(a, `${b}# more\n`).version);
});
