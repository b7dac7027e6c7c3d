import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ApprovalTerms, PolicyFault } from '@sluice/model';
import { compile } from './compile.ts';
import type { PolicySet } from './policy.ts';
import { asking, faults, issuers, pods, policy } from './policy-texts.ts';

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

test('a deadline beyond a day is refused: no timer counts that far', () => {
  const lasting = (deadline: string): string =>
    policy(pods).replace('{ impersonate', `{ deadline: ${deadline}, impersonate`);
  for (const deadline of ['25h', '1441m', '86401s', '999999h'])
    assert.match(errorsOf(lasting(deadline))[0]?.message ?? '', /at most 24h/);
  assert.equal(compiled(lasting('24h')).policies[0]?.obligations?.deadlineMs, 86_400_000);
});

test('a deadline is read in seconds, minutes and hours', () => {
  const deadlines = ['30s', '10m', '2h'].map((deadline) => {
    const text = policy(pods).replace('{ impersonate', `{ deadline: ${deadline}, impersonate`);
    return compiled(text).policies[0]?.obligations?.deadlineMs;
  });
  assert.deepEqual(deadlines, [30_000, 600_000, 7_200_000]);
});

/** How a rule writes its approval, and what it means. */
const approvalsWritten: readonly (readonly [string, ApprovalTerms])[] = [
  ['{}', { reviewers: [], quorum: 1, holdMs: 60_000, expiresMs: 1_800_000 }],
  ['{ quorum: 1, grant: once }', { reviewers: [], quorum: 1, holdMs: 60_000, expiresMs: 1_800_000 }],
  ['{ hold: 0s }', { reviewers: [], quorum: 1, holdMs: 0, expiresMs: 1_800_000 }],
  ['{ hold: 0m, expires: 1m }', { reviewers: [], quorum: 1, holdMs: 0, expiresMs: 60_000 }],
  ['{ expires: 60s }', { reviewers: [], quorum: 1, holdMs: 60_000, expiresMs: 60_000 }],
  ['{ hold: 10m, expires: 12h }', { reviewers: [], quorum: 1, holdMs: 600_000, expiresMs: 43_200_000 }],
  [
    '{ reviewers: ["group:sre", "local:alice"], hold: 90s, expires: 2h }',
    { reviewers: [['group:sre', 'local:alice']], quorum: 1, holdMs: 90_000, expiresMs: 7_200_000 },
  ],
];

for (const [approval, terms] of approvalsWritten) {
  test(`an approval written ${approval} has its terms`, () => {
    assert.deepEqual(compiled(policy(asking(approval))).policies[0]?.rules[0]?.terms, terms);
  });
}

test('a rule that asks and says no more takes any reviewer, holds a minute and is open for half an hour', () => {
  const terms = { reviewers: [], quorum: 1, holdMs: 60_000, expiresMs: 1_800_000 };
  assert.deepEqual(compiled(policy(pods.replace('allow', 'ask'))).policies[0]?.rules[0]?.terms, terms);
  assert.equal(compiled(policy(pods)).policies[0]?.rules[0]?.terms, null);
});

test('a fault of an approval is the only one', () => {
  for (const approval of ['{ hold: 11m }', '{ expires: 13h }', '{ quorum: 2 }', '{ reviewers: [a] }', '{ grant: a }'])
    assert.equal(errorsOf(policy(asking(approval))).length, 1, approval);
});

test('what a policy leaves out is the careful choice', () => {
  const [policyOf] = compiled(policy(pods)).policies;
  assert.equal(policyOf?.otherwise, 'deny');
  assert.deepEqual(policyOf?.obligations, {
    impersonate: { user: 'u', groups: ['g'] },
    isRecordFull: false,
    deadlineMs: null,
    masks: [],
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
