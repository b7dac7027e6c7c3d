import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Decision, DecisionRequest } from '@sluice/model';
import { Conditions } from './conditions.ts';
import { evaluate } from './evaluate.ts';
import { denial, request, setOf } from './fixtures.ts';

const conditions = new Conditions();
after(() => conditions.stop());

/** `rules`: each `effect verb resource`. */
function decide(rules: readonly string[], call: string, body: DecisionRequest['body'] = 'none'): Promise<Decision> {
  const texts = rules.map((rule, n) => {
    const [effect, verb, resource] = rule.split(' ');
    return `{ name: r${n}, effect: ${effect}, verbs: ["${verb}"], resources: ["${resource}"] }`;
  });
  const grounds = { set: setOf({ name: 'p', rules: texts }), authority: 1, nowMs: 0, conditions: conditions.evaluate };
  return evaluate(grounds, request(call, { body }), body === 'none' ? null : Buffer.from('{}'));
}

/** A call, its body, the rule that allows the call itself, and the one that allows what it amounts to besides. */
const derivations = [
  [
    'a server-side apply may create',
    'patch deployments.apps shop/web',
    'apply',
    'patch deployments.apps',
    'create deployments.apps',
  ],
  ['an eviction deletes', 'create pods/eviction shop/web', 'json', 'create pods/eviction', 'delete pods'],
  ['an exec by GET is one', 'get pods/exec shop/web', 'none', 'get pods/exec', 'create pods/exec'],
  ['an attach by GET is one', 'get pods/attach shop/web', 'none', 'get pods/attach', 'create pods/attach'],
  ['a port-forward by GET is one', 'get pods/portforward shop/web', 'none', 'get pods/*', 'create pods/portforward'],
  ['a proxy to a pod lets anything through', 'get pods/proxy shop/web', 'none', 'get pods/proxy', 'proxy pods/proxy'],
  [
    'a proxy to a service does so',
    'create services/proxy shop/web',
    'opaque',
    'create services/proxy',
    'proxy */proxy',
  ],
  ['a proxy to a node does so', 'get nodes/proxy /n1', 'none', 'get nodes/proxy', 'proxy nodes/proxy'],
  ['the proxy of old does so', 'proxy nodes /n1', 'none', 'proxy nodes', 'proxy nodes/proxy'],
  [
    'an ephemeral container runs commands',
    'patch pods/ephemeralcontainers shop/web',
    'json',
    'patch pods/ephemeralcontainers',
    'create pods/exec',
  ],
  [
    'and so by PUT',
    'update pods/ephemeralcontainers shop/web',
    'json',
    'update pods/ephemeralcontainers',
    'create pods/exec',
  ],
  ['a watch lists', 'watch pods shop/', 'none', 'watch pods', 'list pods'],
  [
    'a PUT of a lease may create it',
    'update leases.coordination.k8s.io shop/a',
    'json',
    'update leases.coordination.k8s.io',
    'create leases.coordination.k8s.io',
  ],
] as const;

for (const [what, call, body, itself, besides] of derivations) {
  test(`${what}: ${call} needs ${besides} as well`, async () => {
    assert.equal((await decide([`allow ${itself}`], call, body)).reasonCode, 'NoRuleMatched');
    assert.equal((await decide([`allow ${besides}`], call, body)).reasonCode, 'NoRuleMatched');
    const both = [`allow ${itself}`, `allow ${besides}`];
    assert.equal((await decide(both, call, body)).effect, 'allow');
    assert.equal((await decide([...both, `deny ${besides}`], call, body)).effect, 'deny');
    assert.equal((await decide([...both, `ask ${besides}`], call, body)).effect, 'ask');
    assert.equal((await decide([...both, `deny ${itself}`], call, body)).effect, 'deny');
  });
}

/** Calls that are only what they are. */
for (const [call, body] of [
  ['patch deployments.apps shop/web', 'json'],
  ['patch deployments.apps/scale shop/web', 'apply'],
  ['update deployments.apps shop/web', 'json'],
  ['create pods/exec shop/web', 'none'],
  ['get pods/log shop/web', 'none'],
  ['list pods shop/', 'none'],
  ['delete pods shop/web', 'json'],
] as const) {
  test(`${call} (${body}) needs nothing besides`, async () => {
    const [verb = '', resource = ''] = call.split(' ');
    assert.equal((await decide([`allow ${verb} ${resource}`], call, body)).effect, 'allow');
  });
}

test('a refusal of what a call amounts to says so', async () => {
  const get = await decide(['allow get pods/exec'], 'get pods/exec shop/web');
  assert.equal(
    denial(get).reason,
    'agent "demo" may not create pods/exec "web" in namespace "shop", which get pods/exec "web" in namespace "shop" amounts to as well: no rule allows it',
  );
  const evict = await decide(['allow create */*', 'deny delete pods'], 'create pods/eviction shop/web', 'json');
  assert.equal(
    denial(evict).reason,
    'agent "demo" may not delete pods "web" in namespace "shop", which create pods/eviction "web" in namespace "shop" amounts to as well: the rule "r1" of the policy "p" denies it',
  );
});

test('an ask for what a call amounts to says so', async () => {
  const decision = await decide(['allow watch pods', 'ask list pods'], 'watch pods shop/');
  assert.ok(decision.effect === 'ask');
  assert.match(
    decision.reason,
    /approval of a reviewer to list pods in namespace "shop", which watch pods .* amounts to/,
  );
  assert.equal(decision.rule, 'r1');
});

test('of a call and what it amounts to, a deny of either goes before an ask of the other', async () => {
  const call = 'watch pods shop/';
  assert.equal((await decide(['ask watch pods', 'deny list pods'], call)).effect, 'deny');
  assert.equal((await decide(['deny watch pods', 'ask list pods'], call)).effect, 'deny');
  assert.equal((await decide(['ask watch pods'], call)).effect, 'deny');
});

test('conditions speak of what the call amounts to', async () => {
  const set = setOf({
    rules: [
      '{ effect: allow, verbs: [patch], resources: [pods], when: \'request.verb == "patch"\' }',
      '{ effect: allow, verbs: [create], resources: [pods], when: \'request.verb == "create" && object.n == 1\' }',
    ],
  });
  const grounds = { set, authority: 1, nowMs: 0, conditions: conditions.evaluate };
  const apply = (body: string): Promise<Decision> =>
    evaluate(grounds, request('patch pods shop/web', { body: 'apply' }), Buffer.from(body));
  assert.equal((await apply('{"n":1}')).effect, 'allow');
  assert.equal((await apply('{"n":2}')).effect, 'deny');
});
