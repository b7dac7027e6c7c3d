// Decisions on streams: by what runs, by its grade, by ports and by the pod.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Decision, DecisionRequest, Effect, StreamRequest } from '@sluice/model';
import { Conditions } from './conditions.ts';
import { evaluate } from './evaluate.ts';
import { denial, request, setOf } from './fixtures.ts';

const conditions = new Conditions();
after(() => conditions.stop());

const exec: StreamRequest = {
  kind: 'exec',
  command: [],
  container: '',
  stdin: false,
  stdout: true,
  stderr: true,
  tty: false,
  ports: [],
};

interface Asked {
  readonly stream?: Partial<StreamRequest>;
  readonly more?: Partial<DecisionRequest>;
  readonly pod?: unknown;
  readonly call?: string;
}

function decide(rules: readonly string[], { stream = {}, more = {}, pod, call = 'get pods/exec shop/web' }: Asked) {
  const grounds = { set: setOf({ rules }), authority: 0, nowMs: 0, conditions: conditions.evaluate };
  const body = pod === undefined ? null : Buffer.from(JSON.stringify(pod));
  const read = pod === undefined ? {} : ({ pod: 'read' } as const);
  return evaluate(grounds, request(call, { stream: { ...exec, ...stream }, ...read, ...more }), body);
}

/** A rule about pods/exec. */
function rule(effect: Effect, fields: string, resources = 'pods/exec'): string {
  return `{ name: ${effect}-it, effect: ${effect}, verbs: [get, create], resources: [${resources}], ${fields} }`;
}

const run = (...command: string[]): Asked => ({ stream: { command } });
const script = (text: string): Asked => run('sh', '-c', text);
const looks = rule('allow', 'exec: { commands: [[ls, "*"], [cat, "/var/log/*"], [uptime]] }');
const looksOrAsks = rule('allow', 'exec: { commands: [[ls, "*"]], opaque: ask, interactive: ask }');
const everything = rule('allow', '', '"*/*"');
const noRm = rule('deny', 'exec: { commands: [[rm, "-rf", "*"]] }');

/** Rules, what is asked, effect. */
const rows: readonly (readonly [rules: readonly string[], asked: Asked, effect: Effect])[] = [
  // An allow speaks of everything that runs.
  [[looks], run('ls'), 'allow'],
  [[looks], run('ls', '-la', '/'), 'allow'],
  [[looks], run('cat', '/var/log/a'), 'allow'],
  [[looks], run('cat'), 'deny'],
  [[looks], run('cat', '/etc/passwd'), 'deny'],
  [[looks], run('cat', '/var/log/a', '/etc/passwd'), 'deny'],
  [[looks], run('uptime', '-p'), 'deny'],
  [[looks], run('/bin/ls'), 'deny'],
  [[looks], script('ls; uptime'), 'allow'],
  [[looks], script('ls; cat /etc/passwd'), 'deny'],
  [[looks], script('ls $x'), 'allow'],
  [[looks], script('cat $x'), 'deny'],
  [[looks], script('cat < /etc/passwd'), 'deny'],
  [[looks], script('ls | cat < /var/log/a'), 'deny'],
  [[looks], run('env', 'ls'), 'deny'],
  [[looks], script('eval ls'), 'deny'],
  [[looks], { stream: { command: ['ls'], tty: true } }, 'deny'],
  [[looks], { stream: { command: ['sh'], stdin: true } }, 'deny'],
  [[looks], { stream: { kind: 'attach' }, call: 'get pods/attach shop/web' }, 'deny'],
  [[rule('allow', 'exec: { commands: [["*"]] }')], run('anything', 'at', 'all'), 'allow'],
  [[rule('allow', 'exec: { commands: [[env], [ls, "*"]] }')], run('env', 'ls'), 'deny'],
  [[rule('allow', 'exec: { commands: [[env, "*"], [ls, "*"]] }')], run('env', 'ls'), 'allow'],
  [[rule('allow', 'exec: { commands: [[env, "*"], [ls, "*"]] }')], run('env', 'rm'), 'deny'],
  [[rule('allow', 'exec: { tty: false }')], { stream: { command: ['sh'], stdin: true } }, 'allow'],
  [[rule('allow', 'exec: { tty: false }')], { stream: { command: ['sh'], tty: true } }, 'deny'],
  [[rule('allow', 'exec: { stdin: false }')], { stream: { command: ['cat'], stdin: true } }, 'deny'],
  [[rule('allow', 'exec: { opaque: ask }')], run('rm', '/'), 'allow'],
  [[rule('allow', 'exec: { opaque: ask }')], script('eval x'), 'ask'],
  [[rule('allow', 'exec: { opaque: deny }')], script('eval x'), 'deny'],
  [
    [rule('allow', 'exec: { commands: [[sh]], interactive: allow }')],
    { stream: { command: ['sh'], stdin: true } },
    'allow',
  ],
  [
    [rule('allow', 'exec: { commands: [[sh]], interactive: allow }')],
    { stream: { command: ['ls'], tty: true } },
    'deny',
  ],
  [[everything], { stream: { command: ['sh'], stdin: true, tty: true } }, 'allow'],
  [[everything], script('eval x'), 'allow'],
  // An allow that asks about what it cannot judge.
  [[looksOrAsks], run('ls'), 'allow'],
  [[looksOrAsks], run('rm'), 'deny'],
  [[looksOrAsks], script('$(echo rm) /'), 'ask'],
  [[looksOrAsks], { stream: { command: ['sh'], stdin: true } }, 'ask'],
  [[looksOrAsks], { stream: { command: ['python3', '-c', 'x'], tty: true } }, 'ask'],
  [
    [rule('allow', 'exec: { commands: [[ls]], opaque: ask }')],
    { stream: { command: ['eval', 'x'], tty: true } },
    'deny',
  ],
  // A deny and an ask speak of anything that runs.
  [[everything, noRm], run('rm', '-rf', '/data'), 'deny'],
  [[everything, noRm], run('/bin/rm', '-rf', '/data'), 'deny'],
  [[everything, noRm], run('rm', '/data'), 'allow'],
  [[everything, noRm], script('ls; r\\m -r""f /data'), 'deny'],
  [[everything, noRm], script('rm $x'), 'deny'],
  [[everything, noRm], script('eval "rm -rf /data"'), 'deny'],
  [[everything, noRm], script('find / | xargs rm'), 'deny'],
  [[everything, noRm], script('eval "$x"'), 'allow'],
  [[everything, rule('deny', 'exec: { opaque: deny }')], script('eval "$x"'), 'deny'],
  [[everything, rule('deny', 'exec: { opaque: deny }')], run('ls'), 'allow'],
  [[everything, rule('deny', 'exec: { interactive: deny }')], { stream: { command: ['sh'], tty: true } }, 'deny'],
  [[everything, rule('deny', 'exec: { commands: [[sh, "*"]] }')], script('ls'), 'deny'],
  [[everything, rule('ask', 'exec: { commands: [[rm, "*"]] }')], run('busybox', 'rm', 'x'), 'ask'],
  [[everything, rule('ask', 'exec: { opaque: ask }')], run('rm'), 'allow'],
  [[everything, rule('ask', 'exec: { interactive: ask }')], { stream: { command: ['bash'], stdin: true } }, 'ask'],
  [
    [everything, rule('ask', 'exec: { interactive: ask }', 'pods/attach')],
    { stream: { kind: 'attach', stdin: true }, call: 'create pods/attach shop/web' },
    'ask',
  ],
  [
    [everything, rule('ask', 'exec: { interactive: ask }', 'pods/attach')],
    { stream: { kind: 'attach' }, call: 'create pods/attach shop/web' },
    'allow',
  ],
  // What runs is no port-forward, and the other way round.
  [
    [rule('allow', 'exec: { opaque: ask }', '"*/*"')],
    { stream: { kind: 'portforward' }, call: 'get pods/portforward shop/web' },
    'deny',
  ],
  [[rule('allow', 'ports: [80]', '"*/*"')], run('ls'), 'deny'],
];

for (const [rules, asked, effect] of rows) {
  const { command = [], ...more } = asked.stream ?? {};
  test(`${rules.join(' ')} ${effect}s ${JSON.stringify([command, more])}`, async () => {
    assert.equal((await decide(rules, asked)).effect, effect);
  });
}

const ports = rule('allow', 'ports: [80, "9000-9100"]', 'pods/portforward');
const noPorts = rule('deny', 'ports: [22]', 'pods/portforward');
const forward = rule('allow', '', 'pods/portforward');

/** Rules, the port of a connection or none, ports that the legacy protocol names at once, effect. */
const forwards: readonly (readonly [readonly string[], number | undefined, readonly number[], Effect])[] = [
  [[ports], undefined, [], 'allow'],
  [[ports], 80, [], 'allow'],
  [[ports], 9100, [], 'allow'],
  [[ports], 9101, [], 'deny'],
  [[ports], 22, [], 'deny'],
  [[ports], undefined, [80, 9000], 'allow'],
  [[ports], undefined, [80, 22], 'deny'],
  [[ports], 22, [80, 22], 'deny'],
  [[forward, noPorts], undefined, [], 'allow'],
  [[forward, noPorts], 22, [], 'deny'],
  [[forward, noPorts], 23, [], 'allow'],
  [[forward, noPorts], undefined, [22], 'deny'],
];

for (const [rules, port, legacy, effect] of forwards) {
  test(`${rules.join(' ')} ${effect}s port ${port ?? `none of ${legacy.join(', ')}`}`, async () => {
    const asked = { stream: { kind: 'portforward', ports: legacy }, call: 'create pods/portforward shop/web' } as const;
    const decision = await decide(rules, { ...asked, ...(port === undefined ? {} : { more: { port } }) });
    assert.equal(decision.effect, effect);
    assert.equal(decision.grade, 'plain');
  });
}

test('a refused port is named', async () => {
  const stream = { kind: 'portforward' } as const;
  const decision = denial(
    await decide([ports], { stream, call: 'create pods/portforward shop/web', more: { port: 22 } }),
  );
  assert.match(decision.reason, /pods\/portforward "web" in namespace "shop" at port 22: no rule allows it/);
  assert.equal(decision.hint, 'Allowed here: get, create on pods/portforward at ports 80, 9000-9100.');
});

const secretPod = { spec: { containers: [{ name: 'c', envFrom: [{ secretRef: { name: 'db' } }] }] } };
const plainPod = { spec: { containers: [{ name: 'c' }] } };
const bySecrets = rule('ask', 'when: "pod.secrets.size() > 0"');

for (const [what, rules, asked, effect, code] of [
  ['a pod with a Secret', [everything, bySecrets], { pod: secretPod }, 'ask', 'ApprovalRequired'],
  ['a pod without', [everything, bySecrets], { pod: plainPod }, 'allow', 'AllowedByRule'],
  ['a pod that is not there', [everything, bySecrets], { more: { pod: 'absent' } }, 'allow', 'AllowedByRule'],
  ['a pod nobody can read', [everything, bySecrets], { more: { pod: 'unreadable' } }, 'deny', 'PodNotReadable'],
  [
    'a pod nobody can read, for an allow',
    [rule('allow', 'when: "pod.secrets.size() == 0"')],
    { more: { pod: 'unreadable' } },
    'deny',
    'PodNotReadable',
  ],
  ['a pod nobody asks about', [everything], { more: { pod: 'unreadable' } }, 'allow', 'AllowedByRule'],
  [
    'a pod that is not there, for a deny',
    [everything, rule('deny', 'when: "pod.spec.hostPID"')],
    { more: { pod: 'absent' } },
    'deny',
    'DeniedByRule',
  ],
  [
    'a name in a macro that is not the pod',
    [rule('allow', 'when: "[1].exists(pod, pod == 1)"')],
    { more: { pod: 'unreadable' } },
    'allow',
    'AllowedByRule',
  ],
] as const) {
  test(`a rule about ${what} ${effect}s`, async () => {
    const decision: Decision = await decide(rules, { ...run('ls'), ...asked });
    assert.deepEqual([decision.effect, decision.reasonCode], [effect, code]);
  });
}

test('conditions speak of what runs', async () => {
  const when = `exec.kind == 'exec' && exec.command[0] == 'ls' && exec.container == 'c' && !exec.tty && !exec.stdin && exec.grade == 'plain' && exec.port == 0`;
  const decision = await decide([rule('allow', `when: "${when}"`)], { stream: { command: ['ls'], container: 'c' } });
  assert.equal(decision.effect, 'allow');
});

for (const [asked, grade] of [
  [run('ls'), 'plain'],
  [script('eval x'), 'opaque'],
  [{ stream: { command: ['eval'], tty: true } }, 'interactive'],
] as const) {
  test(`a decision says ${grade}, whatever it is`, async () => {
    assert.equal((await decide([everything], asked)).grade, grade);
    assert.equal((await decide([rule('deny', '')], asked)).grade, grade);
    assert.equal((await decide([rule('ask', '')], asked)).grade, grade);
  });
}

test('a call that is no stream has no grade', async () => {
  const grounds = { set: setOf({ rules: [everything] }), authority: 0, nowMs: 0, conditions: conditions.evaluate };
  assert.equal('grade' in (await evaluate(grounds, request('get pods shop/web'), null)), false);
});

test('a refusal names the pattern and no argument', async () => {
  const decision = denial(await decide([everything, noRm], script('ls; rm -rf /secret')));
  assert.equal(
    decision.reason,
    'agent "demo" may not get pods/exec "web" in namespace "shop": the rule "deny-it" of the policy "policy-0" denies rm',
  );
});

test('what no rule allows is told what is allowed', async () => {
  const decision = denial(await decide([looks], script('eval x')));
  assert.match(decision.reason, /no rule allows it, as nobody can tell beforehand what it runs$/);
  assert.equal(decision.hint, 'Allowed here: get, create on pods/exec running ls *, cat /var/log/*, uptime.');
});

test('an allow that asks asks by its own terms, or by those of every ask', async () => {
  const own = rule('allow', 'exec: { opaque: ask }, approval: { hold: 5s, expires: 20s }');
  const asked = await decide([own], script('eval x'));
  assert.ok(asked.effect === 'ask');
  assert.deepEqual([asked.terms.holdMs, asked.terms.expiresMs], [5_000, 20_000]);
  assert.match(asked.reason, /needs the approval of a reviewer to get pods\/exec .* allows it, as nobody can tell/);
  const plain = await decide([looksOrAsks], script('eval x'));
  assert.ok(plain.effect === 'ask');
  assert.equal(plain.terms.holdMs, 60_000);
});

test('a stream that nothing is known of is none for an allow and any for a deny', async () => {
  const grounds = (rules: readonly string[]) => ({
    set: setOf({ rules }),
    authority: 0,
    nowMs: 0,
    conditions: conditions.evaluate,
  });
  const asked = request('get pods/exec shop/web');
  assert.equal((await evaluate(grounds([looks]), asked, null)).effect, 'deny');
  assert.equal((await evaluate(grounds([everything]), asked, null)).effect, 'allow');
  assert.equal((await evaluate(grounds([everything, noRm]), asked, null)).effect, 'deny');
  const other = rule('deny', 'exec: { opaque: deny }', '"*/*"');
  assert.equal((await evaluate(grounds([everything, other]), request('get pods/log shop/web'), null)).effect, 'allow');
});

const ephemeral = '{ effect: allow, verbs: [patch, update], resources: [pods/ephemeralcontainers] }';

/** Ephemeral containers, the effect where ls is allowed in pods, opaque ones are asked about and rm is denied. */
for (const [containers, effect] of [
  [[{ name: 'a', command: ['ls'], args: ['/'] }], 'allow'],
  [[{ name: 'a', command: ['rm', '-rf'], args: ['/data'] }], 'deny'],
  [
    [
      { name: 'a', command: ['ls'] },
      { name: 'b', command: ['sh', '-c', 'rm -rf /data'] },
    ],
    'deny',
  ],
  [
    [
      { name: 'a', command: ['ls'] },
      { name: 'b', image: 'busybox' },
    ],
    'ask',
  ],
  [[{ name: 'a', args: ['ls'] }], 'ask'],
  [[{ name: 'a', command: ['sh'], stdin: true, tty: true }], 'ask'],
  [[null], 'ask'],
  [[], 'ask'],
  ['none', 'ask'],
] as const) {
  test(`ephemeral containers ${JSON.stringify(containers)}: ${effect}`, async () => {
    const rules = [ephemeral, looksOrAsks, noRm];
    const grounds = { set: setOf({ rules }), authority: 0, nowMs: 0, conditions: conditions.evaluate };
    const body = Buffer.from(JSON.stringify({ spec: { ephemeralContainers: containers } }));
    const decision = await evaluate(
      grounds,
      request('patch pods/ephemeralcontainers shop/web', { body: 'json' }),
      body,
    );
    assert.equal(decision.effect, effect);
  });
}

const lsIn = (container: object): object => ({ spec: { ephemeralContainers: [{ command: ['ls'], ...container }] } });
const withSecret = { env: [{ name: 'A', valueFrom: { secretKeyRef: { name: 'db', key: 'k' } } }] };

/** A change of ephemeral containers where an exec into a pod with Secrets is asked about. */
for (const [what, pod, body, kind, effect, code] of [
  ['beside a Secret', secretPod, lsIn({}), 'json', 'ask', 'ApprovalRequired'],
  ['in a pod without one', plainPod, lsIn({}), 'json', 'allow', 'AllowedByRule'],
  ['with a Secret of its own', plainPod, lsIn(withSecret), 'json', 'ask', 'ApprovalRequired'],
  ['in a server-side apply', secretPod, lsIn({}), 'apply', 'ask', 'ApprovalRequired'],
  ['in a pod that is not there', 'absent', lsIn({}), 'json', 'allow', 'AllowedByRule'],
  ['in a pod nobody can read', 'unreadable', lsIn({}), 'json', 'deny', 'PodNotReadable'],
  ['in a body nobody can read', plainPod, null, 'opaque', 'deny', 'BodyOpaque'],
  ['in a patch by steps', plainPod, [], 'json-patch', 'deny', 'BodyOpaque'],
] as const) {
  test(`a rule about the pod of a container that is added ${what}: ${effect}`, async () => {
    const rules = [ephemeral, everything, rule('ask', 'when: "pod.secrets.size() > 0"')];
    const grounds = { set: setOf({ rules }), authority: 0, nowMs: 0, conditions: conditions.evaluate };
    const isRead = typeof pod === 'object';
    const sent = body === null ? '' : JSON.stringify(body);
    const more = {
      body: kind,
      pod: isRead ? 'read' : pod,
      ...(isRead && sent !== '' && { bodyBytes: Buffer.byteLength(sent) }),
    } as const;
    const masked = Buffer.from(sent + (isRead ? JSON.stringify(pod) : ''));
    const decision = await evaluate(grounds, request('patch pods/ephemeralcontainers shop/web', more), masked);
    assert.deepEqual([decision.effect, decision.reasonCode], [effect, code]);
  });
}

test('a condition on a container that is added sees its body beside the pod', async () => {
  const when = 'object.spec.ephemeralContainers[0].command[0] == "ls" && pod.spec.containers[0].name == "c"';
  const rules = [
    `{ effect: allow, verbs: [patch], resources: [pods/ephemeralcontainers], when: '${when}' }`,
    everything,
  ];
  const grounds = { set: setOf({ rules }), authority: 0, nowMs: 0, conditions: conditions.evaluate };
  const sent = JSON.stringify(lsIn({}));
  const more = { body: 'json', pod: 'read', bodyBytes: Buffer.byteLength(sent) } as const;
  const masked = Buffer.from(sent + JSON.stringify(plainPod));
  const decision = await evaluate(grounds, request('patch pods/ephemeralcontainers shop/web', more), masked);
  assert.equal(decision.effect, 'allow');
});

for (const body of ['none', 'opaque', 'json-patch'] as const) {
  test(`ephemeral containers in a body that is ${body} are opaque`, async () => {
    const grounds = {
      set: setOf({ rules: [ephemeral, looksOrAsks] }),
      authority: 0,
      nowMs: 0,
      conditions: conditions.evaluate,
    };
    const bytes = body === 'json-patch' ? Buffer.from('[]') : null;
    const decision = await evaluate(grounds, request('update pods/ephemeralcontainers shop/web', { body }), bytes);
    assert.equal(decision.effect, 'ask');
  });
}
